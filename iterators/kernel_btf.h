/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// The types of the running kernel (/sys/kernel/btf/vmlinux), parsed once, and cut down to what one BPF object names.
//
// libbpf looks for each type that an object relocates against by going through all 120,000 types of the kernel, and
// reads them anew for each object: most of the time of a load. Given only the types that the object names
// (bpf_object_open_opts.btf_custom_path), it finds the same candidates at once. Pointers in the copy lead to void: a
// CO-RE access never follows one within one relocation.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <bpf/btf.h>

#include "user/util/result.h"
#include "user/util/unique_fd.h"

namespace bpfckpt::iterators {

struct FreeBtf {
	void operator()(btf *types) const { btf__free(types); }
};
using Btf = std::unique_ptr<btf, FreeBtf>;

class KernelBtf {
public:
	// Parsed at the first call, and at the first one after forget(). Safe from several threads. Errors:
	// kKernelLacks without CONFIG_DEBUG_INFO_BTF.
	static Result<std::shared_ptr<const KernelBtf>> get();
	// 8 MiB, once that is loaded which a dump always needs.
	static void forget();

	[[nodiscard]] const btf *types() const { return types_.get(); }

	// The BTF id of the function that stands for a kind of BPF iterator, "bpf_iter_task"; 0 if this kernel has
	// none.
	[[nodiscard]] unsigned iterator_id(const std::string &name) const;

	// A memory file with every struct, union and enum that has one of these names, and what they hold by value.
	Result<UniqueFd> cut_down(const std::unordered_set<std::string> &names) const;

private:
	static Result<KernelBtf> parse();

	Btf types_;
	std::unordered_map<std::string_view, std::vector<unsigned>> by_name_; // see is_indexed()
};

// The names that `object` may relocate against: its own structs, unions, enums and typedefs, without the "___flavour".
std::unordered_set<std::string> relocatable_names(const btf *object);

} // namespace bpfckpt::iterators
