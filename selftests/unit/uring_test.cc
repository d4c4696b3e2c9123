// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Requests in flight: each once, and the proof that none is missing; registered buffers and their pages.
#include <set>

#include <gtest/gtest.h>

#include "user/uring/buffer_pages.h"
#include "user/uring/sighting.h"

namespace bpfckpt::uring {

namespace {

uring_request_record request_at(uint64_t request, uring_place place, uint64_t tctx = 1)
{
	uring_request_record record = {};
	record.request = request;
	record.place = place;
	record.tctx = tctx;
	return record;
}

std::vector<Sighting> merge(const std::vector<uring_request_record> &records)
{
	std::vector<const uring_request_record *> pointers;
	pointers.reserve(records.size());
	for (const auto &record : records)
		pointers.push_back(&record);
	return sightings(pointers);
}

uring_count_record count_of(uint32_t allocated, uint32_t free)
{
	uring_count_record record = {};
	record.counters.allocated = allocated;
	record.counters.free = free;
	return record;
}

// Frame n has its struct page at kFirst + 64 n; page p of the process is frame p + 100.
constexpr uint64_t kFirst = 0x1000;
const iterators::PageFrames kFrames(kFirst, 64);

uring_bvec bvec_of(uint64_t frame, uint32_t length, uint32_t offset)
{
	return {.page = kFirst + 64 * frame, .length = length, .offset = offset};
}

uint64_t entry_of(uint64_t page)
{
	return 1ULL << 63 | (page + 100);
}

bool match(uint64_t address, const std::vector<uring_bvec> &bvecs)
{
	return pages_match(address, bvecs, kFrames, entry_of);
}

} // namespace

TEST(UringBuffer, pages_match_where_each_frame_is_the_one_mapped)
{
	EXPECT_TRUE(match(0x5000, {bvec_of(105, 4096, 0), bvec_of(106, 4096, 0)}));
	EXPECT_TRUE(match(0x5123, {bvec_of(105, 4096 - 0x123, 0x123), bvec_of(106, 10, 0)}));
	EXPECT_FALSE(match(0x5000, {bvec_of(105, 4096, 0), bvec_of(107, 4096, 0)}));
	EXPECT_FALSE(match(0x5000, {bvec_of(105, 4096, 8)}));
	EXPECT_FALSE(match(0x5000, {}));
}

TEST(UringBuffer, a_piece_of_a_large_folio_begins_inside_of_it)
{
	EXPECT_TRUE(match(0x5010, {bvec_of(100, 12000, 5 * 4096 + 0x10)}));
	EXPECT_FALSE(match(0x5010, {bvec_of(101, 12000, 5 * 4096 + 0x10)}));
}

TEST(UringBuffer, a_page_that_is_gone_does_not_match)
{
	auto gone = [](uint64_t page) { return page == 6 ? 0 : entry_of(page); };
	std::vector bvecs = {bvec_of(105, 8192, 0)};
	EXPECT_FALSE(pages_match(0x5000, bvecs, kFrames, gone));
}

TEST(UringBuffer, a_page_is_looked_for_in_all_mappings_that_can_have_it)
{
	const mm_record mm = {};
	vma_record vmas[4] = {};
	const uint64_t first[] = {0, 100, 5, 102};
	for (size_t i = 0; i < std::size(vmas); i++) {
		vmas[i].start = 0x10000 * (i + 1);
		vmas[i].end = vmas[i].start + (i == 0 ? uint64_t{200} : 4) * 4096;
		vmas[i].pgoff = first[i];
	}
	const iterators::AddressSpace space = {
		.mm = &mm, .vmas = std::span<const vma_record>(vmas), .pids = {7}, .tid = 7};
	MappingIndex index({&space, 1});
	std::set<uint64_t> found;
	EXPECT_TRUE(index.search(103, [&](const iterators::AddressSpace &, uint64_t address) {
		found.insert(address);
		return false;
	}));
	EXPECT_EQ(found, (std::set<uint64_t>{0x10000 + 103 * 4096, 0x20000 + 3 * 4096, 0x40000 + 4096}));
	EXPECT_TRUE(index.search(300, [&](auto &&...) { return ADD_FAILURE(), true; }));
}

TEST(UringBuffer, a_search_among_too_many_mappings_is_given_up)
{
	const mm_record mm = {};
	std::vector<vma_record> vmas(1 << 15);
	for (vma_record &vma : vmas)
		vma.end = 4096; // of the same page of an object
	const iterators::AddressSpace space = {.mm = &mm, .vmas = vmas, .pids = {7}, .tid = 7};
	MappingIndex index({&space, 1});
	auto nowhere = [](auto &&...) { return false; };
	uint64_t searches = 0;
	while (index.search(0, nowhere) && searches < vmas.size())
		searches++;
	EXPECT_EQ(searches, MappingIndex::kMostSteps / vmas.size());
}

TEST(UringSighting, a_request_in_two_places_is_one)
{
	std::vector records = {request_at(1, URING_PLACE_LINK), request_at(2, URING_PLACE_POLL),
			       request_at(1, URING_PLACE_LINK_TIMEOUT)};
	auto merged = merge(records);
	ASSERT_EQ(merged.size(), 2u);
	EXPECT_EQ(merged[0].record->place, URING_PLACE_LINK_TIMEOUT);
	EXPECT_EQ(merged[1].record->request, 2u);
}

TEST(UringSighting, a_woken_poll_stays_a_poll_with_work_queued)
{
	std::vector records = {request_at(1, URING_PLACE_TASK_WORK), request_at(1, URING_PLACE_POLL)};
	records[0].task_work = 77;
	auto merged = merge(records);
	ASSERT_EQ(merged.size(), 1u);
	EXPECT_EQ(merged[0].record->place, URING_PLACE_POLL);
	EXPECT_TRUE(merged[0].queued);
	EXPECT_EQ(merged[0].work, 77u);
}

TEST(UringSighting, messages_of_other_rings_are_not_requests)
{
	std::vector records = {request_at(1, URING_PLACE_TASK_WORK, 0), request_at(2, URING_PLACE_TASK_WORK)};
	auto merged = merge(records);
	ASSERT_EQ(merged.size(), 1u);
	EXPECT_EQ(merged[0].record->request, 2u);
}

TEST(UringProof, holds_when_as_many_are_found_as_the_kernel_counts)
{
	auto before = count_of(12, 4), after = before;
	std::vector<const uring_count_record *> counts = {&before, &after};
	EXPECT_TRUE(proof_of(counts).holds(8));
	EXPECT_FALSE(proof_of(counts).holds(7));
}

TEST(UringProof, does_not_hold_when_something_moved)
{
	auto before = count_of(12, 4), after = before;
	after.counters.cached_cq_tail++;
	std::vector<const uring_count_record *> counts = {&before, &after};
	EXPECT_FALSE(proof_of(counts).holds(8));
}

TEST(UringProof, does_not_hold_while_the_ring_is_locked_or_torn_down)
{
	auto count = count_of(12, 4);
	count.counters.mutex_owner = 1;
	std::vector<const uring_count_record *> counts = {&count, &count};
	EXPECT_FALSE(proof_of(counts).holds(8));
	count = count_of(12, 4);
	count.unknown = 1;
	EXPECT_FALSE(proof_of(counts).holds(8));
	EXPECT_FALSE(proof_of({}).holds(0));
}

} // namespace bpfckpt::uring
