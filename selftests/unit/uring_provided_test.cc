// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/provided.h"

#include <gtest/gtest.h>
#include <linux/io_uring.h>

#include "user/uring/sighting.h"

namespace bpfckpt::uring {

namespace {

void add_buffer(images::BufferGroup &group, uint32_t id, uint64_t address, uint32_t length = 64)
{
	images::ProvidedBuffer *buffer = group.add_buffers();
	buffer->set_id(id);
	buffer->set_address(address);
	buffer->set_length(length);
}

images::BufferGroup &add_ring(images::Ring &ring, uint32_t entries, uint32_t head)
{
	images::BufferGroup &group = *ring.add_buffer_groups();
	group.set_ring(true);
	group.set_entries(entries);
	group.set_head(head);
	return group;
}

} // namespace

TEST(UringProvided, neighbours_are_provided_together)
{
	Takers nobody{images::Ring()};
	images::BufferGroup group;
	EXPECT_TRUE(runs_of(group, nobody).empty());
	add_buffer(group, 4, 0x1000);
	add_buffer(group, 5, 0x1040);
	add_buffer(group, 6, 0x1080);
	add_buffer(group, 8, 0x10c0);     // another number
	add_buffer(group, 9, 0x2000);     // another place
	add_buffer(group, 10, 0x2040, 8); // another size
	add_buffer(group, 3, 0x2048, 8);  // backwards
	auto runs = runs_of(group, nobody);
	ASSERT_EQ(runs.size(), 5u);
	EXPECT_EQ(runs[0].first.id(), 4u);
	EXPECT_EQ(runs[0].count, 3u);
	for (size_t i = 1; i < runs.size(); i++)
		EXPECT_EQ(runs[i].count, 1u);
}

TEST(UringProvided, requests_are_no_fewer_than_it_takes)
{
	images::Ring ring;
	EXPECT_EQ(requests_to_provide(ring), 0u);
	add_ring(ring, 16, 0);
	EXPECT_EQ(requests_to_provide(ring), 0u);
	add_ring(ring, 16, 1);
	EXPECT_EQ(requests_to_provide(ring), 1u);
	add_ring(ring, 16, 65535);
	EXPECT_EQ(requests_to_provide(ring), 1u + 259);
	add_ring(ring, 16, 150).set_incremental(true); // each buffer once, 15 of 16 at a time
	EXPECT_EQ(requests_to_provide(ring), 1u + 259 + 12);
	add_buffer(*ring.add_buffer_groups(), 0, 0x1000);
	EXPECT_EQ(requests_to_provide(ring), 1u + 259 + 12 + 1);
	add_ring(ring, 16, 2); // two in one go the kernel does not take
	EXPECT_EQ(requests_to_provide(ring), 1u + 259 + 12 + 1 + 2);
}

TEST(UringProvided, what_was_taken_by_those_that_wait_is_taken_again)
{
	images::Ring ring;
	images::BufferGroup &group = add_ring(ring, 16, 1);
	EXPECT_EQ(first_head(group, Takers(ring)), 1u);
	for (uint32_t other : {0U, 0U, 1U}) {
		images::Request &request = *ring.add_in_flight();
		request.set_buffer_group(other);
		request.set_taken_buffer(0);
	}
	ring.add_in_flight()->set_buffer_group(0);
	EXPECT_EQ(first_head(group, Takers(ring)), 65535u) << "it is a counter of 16 bits";
	EXPECT_EQ(requests_to_provide(ring), 259u);
}

TEST(UringProvided, a_part_moves_a_ring_by_nothing_and_a_bundle_by_all_that_it_has)
{
	images::Ring ring;
	images::BufferGroup &group = add_ring(ring, 16, 20);
	images::Request &part = *ring.add_in_flight();
	part.set_opcode(images::IORING_OP_SEND);
	part.set_taken_buffer(0);
	part.set_buffer_kept(true);
	EXPECT_EQ(buffers_used_up(part), 0u);
	EXPECT_EQ(first_head(group, Takers(ring)), 20u);
	images::Request &bundle = *ring.add_in_flight();
	bundle.set_opcode(images::IORING_OP_SEND);
	bundle.set_taken_buffer(0);
	bundle.set_ioprio(1 << 4); // IORING_RECVSEND_BUNDLE
	for (int i = 0; i < 3; i++)
		bundle.add_iovecs();
	EXPECT_EQ(buffers_used_up(bundle), 3u);
	EXPECT_EQ(first_head(group, Takers(ring)), 17u);
}

TEST(UringProvided, taken_buffers_are_provided_first)
{
	images::Ring ring;
	images::BufferGroup group;
	add_buffer(group, 4, 0x1000);
	for (uint32_t id : {8U, 6U}) {
		images::Request &request = *ring.add_in_flight();
		request.set_taken_buffer(id);
		request.set_address(0x2000);
		request.set_length(10);
	}
	auto runs = runs_of(group, Takers(ring));
	ASSERT_EQ(runs.size(), 3u);
	EXPECT_EQ(runs[0].first.id(), 8u);
	EXPECT_EQ(runs[0].first.address(), 0x2000u);
	EXPECT_EQ(runs[0].first.length(), 10u);
	EXPECT_EQ(runs[1].first.id(), 6u);
	EXPECT_EQ(runs[2].first.id(), 4u);
}

TEST(UringProvided, who_takes_from_a_ring_or_looks_into_it)
{
	images::Ring ring;
	images::BufferGroup &group = add_ring(ring, 16, 7);
	images::Request &request = *ring.add_in_flight();
	request.set_opcode(images::IORING_OP_READ);
	request.set_flags(IOSQE_BUFFER_SELECT);
	request.set_where(name_of_place(URING_PLACE_POLL));
	EXPECT_TRUE(looks_into_ring(ring, request));
	EXPECT_FALSE(takes_from_ring(ring, request));
	request.set_woken(true);
	EXPECT_FALSE(looks_into_ring(ring, request)) << "it takes what there is now";
	request.set_woken(false);
	request.set_opcode(images::IORING_OP_SEND);
	EXPECT_FALSE(looks_into_ring(ring, request));
	request.set_taken_buffer(3);
	EXPECT_TRUE(takes_from_ring(ring, request));
	group.set_ring(false);
	EXPECT_FALSE(takes_from_ring(ring, request)) << "it is provided again";
	request.set_buffer_group(1);
	EXPECT_FALSE(takes_from_ring(ring, request)) << "there is no such group";
}

TEST(UringProvided, who_looks_where_nothing_is)
{
	images::Ring ring;
	images::Request &request = *ring.add_in_flight();
	request.set_opcode(images::IORING_OP_READ_MULTISHOT);
	request.set_flags(IOSQE_BUFFER_SELECT);
	request.set_where(name_of_place(URING_PLACE_POLL));
	EXPECT_TRUE(looks_into_empty(ring, request));
	images::BufferGroup &group = *ring.add_buffer_groups();
	EXPECT_TRUE(looks_into_empty(ring, request));
	request.set_taken_buffer(1);
	EXPECT_FALSE(looks_into_empty(ring, request));
	request.clear_taken_buffer();
	group.set_ring(true);
	EXPECT_FALSE(looks_into_empty(ring, request)) << "it looks into that";
	group.set_ring(false);
	add_buffer(group, 1, 0x1000);
	EXPECT_FALSE(looks_into_empty(ring, request));
}

} // namespace bpfckpt::uring
