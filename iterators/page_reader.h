/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// PageReader: what pages belong to, and their content, by the address of their struct page; for those that no process
// maps. In rounds of a fixed size, so the memory that it needs does not grow with their number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "iterators/page_frames.h"
#include "iterators/page_record.h"
#include "user/util/result.h"

namespace bpfckpt::iterators {

class PageReader {
public:
	// Loads the BPF object: before the freeze, if pages of that kind are there by then. Errors: those of
	// BpfObject::load().
	static Result<PageReader> load();
	PageReader(PageReader &&) noexcept;
	PageReader &operator=(PageReader &&) noexcept;
	~PageReader();

	// In their order.
	Result<std::vector<page_record>> describe(std::span<const uint64_t> pages);
	// What the page cache has of an inode (struct inode), by index. Errors: kLimit if that is more than fits into
	// kMostCached.
	Result<std::span<const page_cache_record>> cache_of(uint64_t inode);
	static constexpr uint32_t kMostCached = 1 << 16;
	// PAGE_CONTENT_BYTES of each, in their order. Errors: kKernelLacks where the content cannot be reached.
	Result<std::vector<std::byte>> read(std::span<const uint64_t> pages, const PageFrames &frames);
	// The same by the addresses at which the kernel has the content, multiples of PAGE_CONTENT_BYTES.
	Result<std::vector<std::byte>> read_at(std::span<const uint64_t> addresses);

private:
	struct Objects;
	explicit PageReader(std::unique_ptr<Objects> objects);
	std::unique_ptr<Objects> objects_;
};

} // namespace bpfckpt::iterators
