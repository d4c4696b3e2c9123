/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// The pages that registered buffers have pinned (struct io_mapped_ubuf, io_uring/rsrc.c), and where they are mapped.
// The kernel keeps pages, not whose memory they were. They part from their address when the program unmaps, moves or
// discards the memory, or when a copy on write gives it another page: fixed reads and writes go to the pinned pages all
// the same.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <unordered_map>
#include <vector>

#include "iterators/page_frames.h"
#include "iterators/page_reader.h"
#include "iterators/uring_reader.h"
#include "iterators/vma_reader.h"
#include "user/uring/region_places.h"

namespace bpfckpt::uring {

// A pinned page that is not the one at its address.
struct PinnedPage {
	uint64_t address = 0;  // where the buffer has it
	uint64_t page = 0;     // struct page
	uint64_t mm = 0;       // struct mm_struct that has it mapped elsewhere,
	uint64_t moved_to = 0; // there;
	uint64_t inode = 0;    // else struct inode whose page it is,
	uint64_t offset = 0;   // in bytes. Neither: only the buffer has it
	bool unsought = false; // it may be anywhere: the search was given up, or it is no memory of a program
	[[nodiscard]] bool is_cut_off() const { return !mm && !inode && !unsought; }
};

struct BufferPlace {
	uint64_t mm = 0; // struct mm_struct that has its pages, or most of them; 0: none
	std::vector<PinnedPage> elsewhere;
};

struct BufferPages {
	std::unordered_map<uint64_t, BufferPlace> places; // by struct io_mapped_ubuf; missing: a buffer of the kernel
	bool compared = true;                             // false: nothing is known of any
	[[nodiscard]] bool all_in_place() const;
};

// Reads the page maps of the processes, so it belongs into the freeze. The memory of threads that use its ring is
// looked at first (`memory_of`). `frames` may be null.
BufferPages compare_buffers(const iterators::UringRecords &records, const iterators::PageFrames *frames,
			    std::span<const iterators::AddressSpace> spaces, const MemoryOf &memory_of);

// The mappings of a tree by the part of their object that they show, so that a page is looked for in few of them.
class MappingIndex {
public:
	// The work of all searches together: some tenths of a second.
	static constexpr uint64_t kMostSteps = 1 << 24;

	explicit MappingIndex(std::span<const iterators::AddressSpace> spaces);
	// Calls visit(space, address) wherever a page with this index would be mapped, until that says true. False: the
	// search was given up.
	bool search(uint64_t index, const std::function<bool(const iterators::AddressSpace &, uint64_t)> &visit);

private:
	struct Place {
		uint64_t first; // in pages of the object
		uint64_t end;
		uint64_t furthest; // end of this one or of one before it
		uint64_t address;
		const iterators::AddressSpace *space;
	};
	std::vector<Place> places_; // by first
	uint64_t steps_ = 0;
};

// Where the pages are that are not at their address. In the freeze, too. Errors: those of PageReader.
Result<> find_pages(BufferPages &buffers, iterators::PageReader &reader, const iterators::PageFrames &frames,
		    std::span<const iterators::AddressSpace> spaces);

// Gives the entry of /proc/PID/pagemap for a page by its number; 0 where there is none.
using PageEntry = std::function<uint64_t(uint64_t page)>;
// Those whose frames are not the ones mapped at `address` and behind it.
std::vector<PinnedPage> pages_elsewhere(uint64_t address, std::span<const uring_bvec> bvecs,
					const iterators::PageFrames &frames, const PageEntry &entry_of);
bool pages_match(uint64_t address, std::span<const uring_bvec> bvecs, const iterators::PageFrames &frames,
		 const PageEntry &entry_of);

} // namespace bpfckpt::uring
