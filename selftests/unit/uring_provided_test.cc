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
	images::Ring ring;
	images::BufferGroup group;
	EXPECT_TRUE(runs_of(ring, group).empty());
	add_buffer(group, 4, 0x1000);
	add_buffer(group, 5, 0x1040);
	add_buffer(group, 6, 0x1080);
	add_buffer(group, 8, 0x10c0);     // another number
	add_buffer(group, 9, 0x2000);     // another place
	add_buffer(group, 10, 0x2040, 8); // another size
	add_buffer(group, 3, 0x2048, 8);  // backwards
	auto runs = runs_of(ring, group);
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
	EXPECT_EQ(requests_to_provide(ring), 1u + 258);
	add_ring(ring, 16, 150).set_incremental(true); // each buffer once, 15 of 16 at a time
	EXPECT_EQ(requests_to_provide(ring), 1u + 258 + 11);
	add_buffer(*ring.add_buffer_groups(), 0, 0x1000);
	EXPECT_EQ(requests_to_provide(ring), 1u + 258 + 11 + 1);
}

TEST(UringProvided, what_was_taken_by_those_that_wait_is_taken_again)
{
	images::Ring ring;
	images::BufferGroup &group = add_ring(ring, 16, 1);
	EXPECT_EQ(first_head(ring, group), 1u);
	for (uint32_t other : {0U, 0U, 1U}) {
		images::Request &request = *ring.add_in_flight();
		request.set_buffer_group(other);
		request.set_taken_buffer(0);
	}
	ring.add_in_flight()->set_buffer_group(0);
	EXPECT_EQ(first_head(ring, group), 65535u) << "it is a counter of 16 bits";
	EXPECT_EQ(requests_to_provide(ring), 258u);
}

TEST(UringProvided, taken_buffers_are_provided_first)
{
	images::Ring ring;
	images::BufferGroup group;
	add_buffer(group, 4, 0x1000);
	images::Request &request = *ring.add_in_flight();
	request.set_taken_buffer(8);
	request.set_address(0x2000);
	request.set_length(10);
	auto runs = runs_of(ring, group);
	ASSERT_EQ(runs.size(), 2u);
	EXPECT_EQ(runs[0].first.id(), 8u);
	EXPECT_EQ(runs[0].first.address(), 0x2000u);
	EXPECT_EQ(runs[0].first.length(), 10u);
	EXPECT_EQ(runs[1].first.id(), 4u);
}

TEST(UringProvided, a_buffer_is_lent_where_there_is_none)
{
	images::Ring ring;
	images::BufferGroup &group = add_ring(ring, 16, 7);
	group.set_tail(7);
	images::Request &read = *ring.add_in_flight();
	read.set_opcode(images::IORING_OP_READ);
	read.set_flags(IOSQE_BUFFER_SELECT);
	read.set_where(name_of_place(URING_PLACE_POLL));
	EXPECT_TRUE(needs_loan(ring, read));
	read.set_woken(true);
	EXPECT_FALSE(needs_loan(ring, read)) << "it finds none now";
	read.set_woken(false);
	group.set_tail(8);
	EXPECT_FALSE(needs_loan(ring, read));
	read.set_opcode(images::IORING_OP_SEND);
	EXPECT_FALSE(needs_loan(ring, read));
	read.set_taken_buffer(3);
	EXPECT_TRUE(needs_loan(ring, read));
	group.set_ring(false);
	EXPECT_FALSE(needs_loan(ring, read)) << "it is provided again";
}

} // namespace bpfckpt::uring
