/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// KernelLayout: where the fields of io_uring's types lie in the running kernel, from its own BTF.
//
// BPF programs relocate what they read themselves (CO-RE). The commands of requests (struct io_sr_msg, struct io_rw ...
// about forty types) are copied raw instead and decoded here, after the thaw: that keeps the programs small, quick to
// load, and the frozen window short.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "user/util/result.h"

namespace bpfckpt::iterators {

struct FieldLayout {
	uint32_t offset = 0;
	uint32_t size = 0; // bytes
	bool is_signed = false;
};

class KernelLayout {
public:
	// Reads /sys/kernel/btf/vmlinux. Errors: KernelLacks without it.
	static Result<KernelLayout> load();
	KernelLayout(KernelLayout &&) noexcept;
	KernelLayout &operator=(KernelLayout &&) noexcept;
	~KernelLayout();

	// `path` names a field, also inside members ("kiocb.ki_pos") and anonymous unions. Nothing: this kernel has
	// none.
	[[nodiscard]] std::optional<FieldLayout> field(std::string_view type, std::string_view path) const;
	// 0 if the kernel has no such type.
	[[nodiscard]] uint32_t size_of(std::string_view type) const;
	// Mask of a REQ_F_* flag (include/linux/io_uring_types.h): request_flag("REQ_F_ISREG") is 0 where there is
	// none.
	[[nodiscard]] uint64_t request_flag(std::string_view name) const;
	// Value of an enumerator of a named enum.
	[[nodiscard]] std::optional<int64_t> enumerator(std::string_view type, std::string_view name) const;

private:
	struct Impl;
	explicit KernelLayout(std::unique_ptr<Impl> impl);
	std::unique_ptr<Impl> impl_;
};

// Bytes that are a kernel object of a type, and its fields as integers.
class KernelObject {
public:
	KernelObject(const KernelLayout &layout, std::string_view type, std::span<const uint8_t> bytes)
		: layout_(&layout), type_(type), bytes_(bytes)
	{
	}
	[[nodiscard]] bool has(std::string_view path) const { return locate(path).has_value(); }
	// 0 for a field that the kernel has not, or that was not copied.
	[[nodiscard]] uint64_t get(std::string_view path) const;
	[[nodiscard]] std::span<const uint8_t> bytes_of(std::string_view path) const;
	// Bytes from a field to the end of what was copied.
	[[nodiscard]] std::span<const uint8_t> bytes_from(std::string_view path) const;

private:
	[[nodiscard]] std::optional<FieldLayout> locate(std::string_view path) const;

	const KernelLayout *layout_;
	std::string_view type_;
	std::span<const uint8_t> bytes_;
};

} // namespace bpfckpt::iterators
