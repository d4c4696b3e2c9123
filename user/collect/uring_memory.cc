// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The memory that a ring shares with its program: struct io_rings with CQEs and SQ array, and the SQEs.
#include <cstring>

#include <algorithm>

#include <linux/io_uring.h>

#include "user/collect/uring_index.h"
#include "user/util/uring_abi.h"

namespace bpfckpt::collect {

namespace {

constexpr uint32_t kMaxEntries = 32768; // IORING_MAX_ENTRIES

template <class T>
T load(std::string_view bytes, size_t offset)
{
	T value = {};
	if (offset + sizeof(T) <= bytes.size())
		std::memcpy(&value, bytes.data() + offset, sizeof(T));
	return value;
}

void collect_layout(const UringIndex &index, const uring_ring_record &record, images::RingLayout &layout)
{
	auto offset = [&](const char *path) {
		auto field = index.layout.field("io_rings", path);
		return field ? field->offset : 0;
	};
	layout.set_sq_head(offset("sq.head"));
	layout.set_sq_tail(offset("sq.tail"));
	layout.set_cq_head(offset("cq.head"));
	layout.set_cq_tail(offset("cq.tail"));
	layout.set_cqes(record.cqes_offset);
	layout.set_sq_array(record.sq_array_offset);
	layout.set_cqe_size(record.flags & IORING_SETUP_CQE32 ? 32 : 16);
	layout.set_sqe_size(record.flags & IORING_SETUP_SQE128 ? 128 : 64);
}

void collect_counters(const UringIndex &index, const uring_ring_record &record, images::Ring &ring)
{
	if (auto counts = UringIndex::of(index.counts, record.ring); !counts.empty()) {
		const uring_counters &counters = counts.back()->counters;
		// The kernel's own copies are those that it goes by.
		ring.set_sq_head(counters.cached_sq_head);
		ring.set_sq_tail(counters.sq_tail);
		ring.set_cq_head(counters.cq_head);
		ring.set_cq_tail(counters.cached_cq_tail);
	}
	ring.set_sq_dropped(record.sq_dropped);
	ring.set_cq_overflow_count(record.cq_overflow);
	ring.set_sq_flags(record.sq_flags);
	ring.set_cq_flags(record.cq_flags);
}

void add_cqe(std::string_view memory, size_t offset, bool wide, images::Ring &ring)
{
	images::Cqe *cqe = ring.add_cqes();
	cqe->set_user_data(load<uint64_t>(memory, offset));
	cqe->set_res(load<int32_t>(memory, offset + 8));
	cqe->set_flags(load<uint32_t>(memory, offset + 12));
	if (wide || (ring.flags() & kSetupCqeMixed && cqe->flags() & kCqe32)) {
		cqe->add_extra(load<uint64_t>(memory, offset + 16));
		cqe->add_extra(load<uint64_t>(memory, offset + 24));
	}
}

void collect_cqes(std::string_view memory, images::Ring &ring)
{
	uint32_t count = ring.cq_tail() - ring.cq_head(), mask = ring.cq_entries() - 1;
	if (count > std::min(ring.cq_entries(), 2 * kMaxEntries))
		return; // the program wrote nonsense to its head
	for (uint32_t i = 0; i < count; i++) {
		size_t slot = (ring.cq_head() + i) & mask;
		size_t offset = ring.layout().cqes() + slot * ring.layout().cqe_size();
		if (offset + ring.layout().cqe_size() > memory.size())
			return;
		add_cqe(memory, offset, ring.layout().cqe_size() == 32, ring);
		if (ring.cqes().rbegin()->extra_size() && ring.layout().cqe_size() == 16)
			i++; // it fills two slots
	}
}

void collect_unsubmitted(std::string_view memory, std::string_view sqes, images::Ring &ring)
{
	uint32_t count = ring.sq_tail() - ring.sq_head(), mask = ring.sq_entries() - 1;
	if (count > std::min(ring.sq_entries(), kMaxEntries))
		return;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t slot = (ring.sq_head() + i) & mask;
		uint32_t entry = slot;
		if (!(ring.flags() & kSetupNoSqArray)) {
			size_t place = ring.layout().sq_array() + slot * sizeof(entry);
			if (place + sizeof(entry) > memory.size())
				return;
			entry = load<uint32_t>(memory, place);
		}
		size_t offset = static_cast<size_t>(entry) * ring.layout().sqe_size();
		bool beyond = offset + ring.layout().sqe_size() > sqes.size();
		if (beyond && ring.flags() & kSetupNoSqArray)
			return;
		images::Sqe *sqe = ring.add_unsubmitted();
		sqe->set_index(entry);
		if (beyond)
			continue; // an index that the kernel will drop
		sqe->set_opcode(static_cast<images::Opcode>(static_cast<uint8_t>(sqes[offset])));
		sqe->set_user_data(load<uint64_t>(sqes, offset + offsetof(io_uring_sqe, user_data)));
		sqe->set_raw(std::string(sqes.substr(offset, ring.layout().sqe_size())));
	}
}

} // namespace

std::string content_of_region(const UringIndex &index, uint64_t owner, uring_region region, size_t size)
{
	auto pages = UringIndex::of(index.pages, owner);
	size = std::min(size, pages.size() * URING_PAGE_BYTES);
	std::string bytes(size, '\0');
	for (const uring_page_record *page : pages) {
		size_t offset = static_cast<size_t>(page->index) * URING_PAGE_BYTES;
		if (page->region == region && offset < size)
			std::memcpy(bytes.data() + offset, page->data,
				    std::min<size_t>(URING_PAGE_BYTES, size - offset));
	}
	return bytes;
}

void collect_ring_memory(const UringIndex &index, const uring_ring_record &record, bool with_bytes, images::Ring &ring)
{
	collect_layout(index, record, *ring.mutable_layout());
	collect_counters(index, record, ring);
	std::string memory = content_of_region(index, record.ring, URING_REGION_QUEUES, record.ring_bytes);
	std::string sqes = content_of_region(index, record.ring, URING_REGION_SQES, record.sqe_bytes);
	collect_cqes(memory, ring);
	collect_unsubmitted(memory, sqes, ring);
	if (!with_bytes)
		return;
	ring.set_sq_ring(std::move(memory));
	ring.set_sqes(std::move(sqes));
}

} // namespace bpfckpt::collect
