/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// PageFrames: from the address of a struct page to the number of its frame, as /proc/PID/pagemap shows it, and to the
// address where the kernel has its content.
#pragma once

#include <cstdint>

#include "user/util/result.h"

namespace bpfckpt::iterators {

class PageFrames {
public:
	// `first` is the struct page of frame 0, each has `size` bytes; `contents` is where the content of frame 0
	// would be, 0: not known.
	PageFrames(uint64_t first, uint32_t size, uint64_t contents = 0)
		: first_(first), contents_(contents), size_(size)
	{
	}

	// Loads a BPF program and looks at pages of our own: before the freeze. Errors: those of BpfObject::load();
	// kPermission where the page map hides the numbers (CAP_SYS_ADMIN).
	static Result<PageFrames> learn();

	[[nodiscard]] uint64_t frame_of(uint64_t page) const { return (page - first_) / size_; }
	// struct page
	[[nodiscard]] uint64_t page_of(uint64_t frame) const { return first_ + frame * size_; }
	[[nodiscard]] bool has_contents() const { return contents_ != 0; }
	[[nodiscard]] uint64_t content_of(uint64_t page) const { return contents_ + frame_of(page) * 4096; }

private:
	uint64_t first_;
	uint64_t contents_;
	uint32_t size_;
};

} // namespace bpfckpt::iterators
