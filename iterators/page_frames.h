/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// PageFrames: from the address of a struct page to the number of its frame, as /proc/PID/pagemap shows it.
#pragma once

#include <cstdint>

#include "user/util/result.h"

namespace bpfckpt::iterators {

class PageFrames {
public:
	// `first` is the struct page of frame 0, each has `size` bytes.
	PageFrames(uint64_t first, uint32_t size) : first_(first), size_(size) {}

	// Loads a BPF program and looks at a page of our own: before the freeze. Errors: those of BpfObject::load();
	// kPermission where the page map hides the numbers (CAP_SYS_ADMIN).
	static Result<PageFrames> learn();

	[[nodiscard]] uint64_t frame_of(uint64_t page) const { return (page - first_) / size_; }

private:
	uint64_t first_;
	uint32_t size_;
};

} // namespace bpfckpt::iterators
