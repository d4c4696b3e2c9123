/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// BpfObject<Skeleton>: owner of one BPF object, and the two ways of running its programs.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "iterators/kernel_btf.h"
#include "user/util/result.h"
#include "user/util/unique_fd.h"

namespace bpfckpt::iterators {

// From here on libbpf takes the ids of iterators from KernelBtf, instead of reading all types of the kernel for each
// object that has one. Once for the process; safe from several threads.
Result<> handle_iterator_sections();

Error load_error(int err);

// Why libbpf failed, in its own words: what it said in this thread since the last call, as one line. Empty: nothing. It
// says nothing elsewhere once handle_iterator_sections() has been called.
std::string libbpf_complaint();

// Owns a skeleton made by bpftool. `Skeleton` is e.g. task_bpf with its static functions open, load, destroy.
template <class Skeleton>
class BpfObject {
public:
	// Opened, not yet loaded: sizes of maps and read-only variables may still be set through ->.
	// Errors: KernelLacks without BTF.
	static Result<BpfObject> open()
	{
		// Once to learn which kernel types it names, once with just these.
		BpfObject named(Skeleton::open());
		if (!named.skeleton_)
			return errno_error(errno, "cannot open BPF object");
		auto names = relocatable_names(bpf_object__btf(named.skeleton_->obj));
		if (names.empty())
			return named;
		std::shared_ptr<const KernelBtf> kernel = TRY(KernelBtf::get());
		TRY(handle_iterator_sections());
		UniqueFd types = TRY(kernel->cut_down(names));
		std::string path = fmt::format("/proc/self/fd/{}", types.get());
		LIBBPF_OPTS(bpf_object_open_opts, options, .btf_custom_path = path.c_str());
		BpfObject object(Skeleton::open(&options));
		if (!object.skeleton_)
			return errno_error(errno, "cannot open BPF object");
		object.types_ = std::move(types);
		return object;
	}

	// Errors: Permission without CAP_BPF and CAP_PERFMON, Limit where its maps do not fit into memory, KernelLacks
	// without BTF or with a kernel type that is not there.
	Result<> load()
	{
		libbpf_complaint();
		int err = -Skeleton::load(skeleton_.get());
		return err ? Result<>(load_error(err)) : Result<>();
	}

	Skeleton *operator->() const { return skeleton_.get(); }

private:
	struct Destroy {
		void operator()(Skeleton *skeleton) const { Skeleton::destroy(skeleton); }
	};
	explicit BpfObject(Skeleton *skeleton) : skeleton_(skeleton) {}

	std::unique_ptr<Skeleton, Destroy> skeleton_;
	UniqueFd types_; // read by load()
};

// Which tasks an iterator visits. Numbers are those of the PID namespace of the caller (kernel/bpf/task_iter.c).
struct IterFilter {
	unsigned pid = 0; // all threads of this process; 0: no filter
	unsigned tid = 0; // this task only
};

// An attached iterator program. attach() allocates, run() only opens and drains the iterator: attach before the freeze.
class IterLink {
public:
	static Result<IterLink> attach(bpf_program *program, IterFilter filter = {});
	// One whole pass. The program writes to maps; its seq_file must stay empty.
	Result<> run() const;

private:
	struct Destroy {
		void operator()(bpf_link *link) const { bpf_link__destroy(link); }
	};
	std::unique_ptr<bpf_link, Destroy> link_;
};

// One program, attached to each of many tasks. A link is a descriptor, and thousands of processes need more than there
// may be (RLIMIT_NOFILE): beyond a share of these a link is made anew for each pass.
class IterLinks {
public:
	// In place of the earlier ones.
	Result<> attach(bpf_program *program, std::vector<IterFilter> filters);
	// One pass for each filter, in their order.
	Result<> run() const;
	Result<> run(size_t index) const;
	[[nodiscard]] size_t size() const { return filters_.size(); }

private:
	bpf_program *program_ = nullptr;
	std::vector<IterFilter> filters_;
	std::vector<IterLink> links_; // of the first ones
};

// For each process all of its threads, or its leader only.
std::vector<IterFilter> each_process(std::span<const unsigned> pids);
std::vector<IterFilter> each_leader(std::span<const unsigned> pids);

// Runs a SEC("syscall") program once with `context` as its argument; returns the program's return value.
Result<int> run_syscall_program(const bpf_program *program, std::span<std::byte> context);

} // namespace bpfckpt::iterators
