// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What cannot be submitted again, and is seldom met: requests of threads that have exited, buffers that were taken.
#include "user/uring/rearm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/io_uring.h>

#include "user/uring/sighting.h"

namespace bpfckpt::uring {

namespace {

using testing::HasSubstr;

class UringRearm : public testing::Test {
protected:
	images::Request &add(images::Opcode opcode, uring_place place = URING_PLACE_POLL)
	{
		images::Request &request = *ring_.add_in_flight();
		request.set_opcode(opcode);
		request.set_where(name_of_place(place));
		request.set_class_(images::Request::REARMABLE);
		request.set_sqe(std::string(sizeof(io_uring_sqe), '\0'));
		request.set_tid(1);
		return request;
	}
	images::Request &add_of_exited(images::Opcode opcode, uring_place place = URING_PLACE_POLL)
	{
		images::Request &request = add(opcode, place);
		request.set_tid(0);
		request.set_exited(true);
		request.set_exited_from(7);
		return request;
	}
	images::BufferGroup &add_group(uint32_t id, bool ring)
	{
		images::BufferGroup &group = *ring_.add_buffer_groups();
		group.set_id(id);
		group.set_ring(ring);
		group.set_entries(4);
		return group;
	}
	images::Request &add_selecting(images::Opcode opcode, uint32_t group)
	{
		images::Request &request = add(opcode);
		request.set_flags(IOSQE_BUFFER_SELECT);
		request.set_buffer_group(group);
		return request;
	}
	std::string obstacle(const images::Request &request)
	{
		return rearm_obstacle(ring_, request, nullptr, nullptr);
	}

	images::Ring ring_;
};

} // namespace

TEST_F(UringRearm, what_ends_with_its_thread_cannot_be_of_one_that_has_exited)
{
	EXPECT_EQ(obstacle(add_of_exited(images::IORING_OP_POLL_ADD)), "");
	EXPECT_THAT(obstacle(add_of_exited(images::IORING_OP_FUTEX_WAIT)), HasSubstr("which ends such a request"));
	EXPECT_THAT(obstacle(add_of_exited(images::IORING_OP_FUTEX_WAITV)), HasSubstr("which ends such a request"));
	EXPECT_THAT(obstacle(add_of_exited(images::IORING_OP_SPLICE, URING_PLACE_WQ_WORKER)),
		    HasSubstr("which ends such a request"));
	EXPECT_THAT(obstacle(add_of_exited(images::IORING_OP_READ, URING_PLACE_WQ_QUEUE)),
		    HasSubstr("which ends such a request"));
}

TEST_F(UringRearm, of_exited_threads_what_nobody_can_submit_is_refused)
{
	images::Request &waitid = add_of_exited(images::IORING_OP_WAITID, URING_PLACE_WAITID);
	EXPECT_EQ(obstacle(waitid), "");
	waitid.set_exited_from(0);
	EXPECT_THAT(obstacle(waitid), HasSubstr("the process that submitted it has ended"));
	images::Request &woken = add_of_exited(images::IORING_OP_POLL_ADD);
	woken.set_woken(true);
	EXPECT_THAT(obstacle(woken), HasSubstr("its event has come"));
	images::Request &drained = add_of_exited(images::IORING_OP_NOP, URING_PLACE_DEFERRED);
	EXPECT_EQ(obstacle(drained), "");
	add(images::IORING_OP_SPLICE, URING_PLACE_WQ_WORKER);
	EXPECT_THAT(obstacle(drained), HasSubstr("works of others"));
	drained.set_exited(false);
	EXPECT_THAT(obstacle(drained), HasSubstr("is not known"));
}

TEST_F(UringRearm, a_send_takes_its_buffer_again_if_its_group_is_there)
{
	images::Request &send = add_selecting(images::IORING_OP_SEND, 3);
	EXPECT_EQ(obstacle(send), "") << "it waits first";
	send.set_taken_buffer(1);
	EXPECT_THAT(obstacle(send), HasSubstr("buffer group 3, of which it has taken one, is gone"));
	images::BufferGroup &group = add_group(3, false);
	EXPECT_EQ(obstacle(send), "");
	group.set_ring(true);
	EXPECT_EQ(obstacle(send), "");
	send.set_where(name_of_place(URING_PLACE_WQ_QUEUE));
	EXPECT_THAT(obstacle(send), HasSubstr("waits for a worker"));
}

TEST_F(UringRearm, a_part_of_a_buffer_is_of_an_incremental_ring)
{
	images::BufferGroup &group = add_group(3, true);
	images::Request &send = add_selecting(images::IORING_OP_SEND, 3);
	send.set_taken_buffer(1);
	send.set_buffer_kept(true);
	EXPECT_THAT(obstacle(send), HasSubstr("is another by now"));
	group.set_incremental(true);
	EXPECT_EQ(obstacle(send), "");
}

TEST_F(UringRearm, several_buffers_are_of_a_plain_ring_that_has_room_for_them)
{
	constexpr uint32_t kBundle = 1 << 4;
	images::BufferGroup &group = add_group(3, true);
	images::Request &send = add_selecting(images::IORING_OP_SEND, 3);
	send.set_ioprio(kBundle);
	send.set_taken_buffer(1);
	for (int i = 0; i < 4; i++)
		send.add_iovecs();
	EXPECT_EQ(obstacle(send), "");
	send.set_buffers_left(true);
	EXPECT_THAT(obstacle(send), HasSubstr("more provided buffers than group 3 has"));
	group.set_incremental(true);
	EXPECT_THAT(obstacle(send), HasSubstr("no plain ring"));
	group.set_incremental(false);
	group.set_ring(false);
	EXPECT_THAT(obstacle(send), HasSubstr("no plain ring"));
}

TEST_F(UringRearm, a_read_takes_its_classic_buffer_again)
{
	images::BufferGroup &group = add_group(3, false);
	images::Request &read = add_selecting(images::IORING_OP_READ, 3);
	read.set_taken_buffer(1);
	EXPECT_EQ(obstacle(read), "");
	group.set_ring(true);
	EXPECT_THAT(obstacle(read), HasSubstr("is a ring by now"));
}

TEST_F(UringRearm, what_has_copies_of_names_only_before_it_begins)
{
	for (images::Opcode opcode : {images::IORING_OP_STATX, images::IORING_OP_RENAMEAT, images::IORING_OP_SETXATTR,
				      images::IORING_OP_EPOLL_CTL}) {
		EXPECT_EQ(obstacle(add(opcode, URING_PLACE_LINK)), "");
		EXPECT_EQ(obstacle(add(opcode, URING_PLACE_WQ_QUEUE)), "");
		EXPECT_THAT(obstacle(add(opcode, URING_PLACE_WQ_WORKER)), HasSubstr("a worker is at it"));
	}
}

TEST_F(UringRearm, a_read_that_waits_in_a_worker_has_read_nothing_of_a_pipe)
{
	images::File pipe, timer, socket;
	pipe.set_kind("pipe");
	timer.set_kind("timerfd");
	socket.set_kind("socket");
	auto obstacle_of = [&](images::Opcode opcode, const images::File &file) {
		images::Request &read = add(opcode, URING_PLACE_WQ_WORKER);
		read.set_file(1);
		return rearm_obstacle(ring_, read, &file, nullptr);
	};
	EXPECT_EQ(obstacle_of(images::IORING_OP_READ, pipe), "");
	EXPECT_EQ(obstacle_of(images::IORING_OP_READV, pipe), "");
	EXPECT_EQ(obstacle_of(images::IORING_OP_READ, timer), "");
	EXPECT_THAT(obstacle_of(images::IORING_OP_READV, timer), HasSubstr("a worker is at it"));
	EXPECT_THAT(obstacle_of(images::IORING_OP_READ, socket), HasSubstr("a worker is at it"));
	EXPECT_THAT(obstacle_of(images::IORING_OP_WRITE, pipe), HasSubstr("a worker is at it"));
}

TEST_F(UringRearm, what_is_linked_to_one_that_ends_at_once_must_not_take_the_buffer_of_another)
{
	add_group(3, true);
	add_selecting(images::IORING_OP_SEND, 3).set_taken_buffer(1);
	images::Request &front = add(images::IORING_OP_READ);
	add(images::IORING_OP_NOP, URING_PLACE_LINK).set_link(4);
	images::Request &last = add_selecting(images::IORING_OP_SEND, 3);
	last.set_where(name_of_place(URING_PLACE_LINK));
	front.set_link(3);
	EXPECT_EQ(obstacle(front), "");
	front.set_woken(true);
	EXPECT_THAT(obstacle(front), HasSubstr("takes a buffer of group 3, as requests have that wait"));
	front.set_woken(false);
	front.set_where(name_of_place(URING_PLACE_TIMEOUT));
	EXPECT_THAT(obstacle(front), HasSubstr("it may end at once"));
	last.set_buffer_group(4);
	EXPECT_EQ(obstacle(front), "");
}

TEST_F(UringRearm, a_read_needs_a_buffer_to_look_at)
{
	images::Request &read = add_selecting(images::IORING_OP_READ, 3);
	EXPECT_EQ(obstacle(read), "") << "restore shows it one";
	images::BufferGroup &group = add_group(3, false);
	EXPECT_EQ(obstacle(read), "");
	read.set_woken(true);
	EXPECT_THAT(obstacle(read), HasSubstr("buffer group 3 has none left"));
	read.set_woken(false);
	images::Request &other = add_selecting(images::IORING_OP_SEND, 3);
	other.set_taken_buffer(1);
	EXPECT_THAT(obstacle(read), HasSubstr("others wait with its buffers"));
	other.clear_taken_buffer();
	ring_.mutable_restrictions();
	EXPECT_THAT(obstacle(read), HasSubstr("restrictions"));
	ring_.clear_restrictions();
	group.add_buffers();
	EXPECT_EQ(obstacle(read), "");
	group.set_ring(true);
	EXPECT_EQ(obstacle(read), "") << "restore lends it one";
	read.set_woken(true);
	EXPECT_THAT(obstacle(read), HasSubstr("has none left"));
	group.set_tail(1);
	EXPECT_EQ(obstacle(read), "");
}

TEST_F(UringRearm, zero_copy_sends_only_before_they_begin)
{
	EXPECT_EQ(obstacle(add(images::IORING_OP_SEND_ZC, URING_PLACE_LINK)), "");
	EXPECT_EQ(obstacle(add(images::IORING_OP_SENDMSG_ZC, URING_PLACE_DEFERRED)), "");
	EXPECT_THAT(obstacle(add(images::IORING_OP_SEND_ZC)), HasSubstr("once it has begun"));
}

} // namespace bpfckpt::uring
