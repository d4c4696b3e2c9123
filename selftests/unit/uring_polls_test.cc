// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/restorable_polls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/io_uring.h>
#include <sys/epoll.h>

namespace bpfckpt::uring {

namespace {

using testing::HasSubstr;

class UringPolls : public testing::Test {
protected:
	UringPolls()
	{
		epoll_.set_kind("epoll");
		item_ = epoll_.mutable_epoll()->add_items();
		item_->set_file(1);
		item_->set_events(EPOLLIN | EPOLLERR | EPOLLHUP);
		request_.set_multishot(true);
	}
	std::string obstacle()
	{
		return epoll_obstacle(document_, request_, epoll_,
				      [this](uint32_t id) { return id == 1 ? &file_ : nullptr; });
	}
	bool is_possible() { return !obstacle().empty(); }

	images::Document document_;
	images::File epoll_, file_;
	images::Request request_;
	images::EpollItem *item_;
};

} // namespace

TEST_F(UringPolls, an_epoll_instance_is_ready_if_a_file_on_its_list_may_be)
{
	file_.set_kind("eventfd");
	file_.mutable_eventfd()->set_count(1);
	EXPECT_FALSE(is_possible()) << "an edge that was fetched";
	item_->set_ready(true);
	EXPECT_TRUE(is_possible());
	file_.mutable_eventfd()->set_count(0);
	EXPECT_FALSE(is_possible()) << "it was read since";
	item_->set_events(EPOLLIN | EPOLLOUT);
	EXPECT_TRUE(is_possible());
	request_.set_woken(true);
	EXPECT_FALSE(is_possible()) << "it is to be told";
}

TEST_F(UringPolls, the_end_of_a_pipe_counts)
{
	file_.set_kind("pipe");
	file_.mutable_pipe()->set_readers(1);
	file_.mutable_pipe()->set_writers(1);
	item_->set_ready(true);
	EXPECT_FALSE(is_possible());
	file_.mutable_pipe()->set_writers(0);
	EXPECT_TRUE(is_possible());
}

TEST_F(UringPolls, of_what_changes_by_itself_nothing_is_known)
{
	for (const char *kind : {"epoll", "io_uring", "signalfd", "chardev"}) {
		file_.set_kind(kind);
		EXPECT_TRUE(is_possible()) << kind;
	}
	request_.set_woken(true);
	EXPECT_TRUE(is_possible());
	item_->set_file(2);
	EXPECT_TRUE(is_possible()) << "no such file";
	request_.set_multishot(false);
	EXPECT_FALSE(is_possible());
}

TEST_F(UringPolls, signals_are_events_of_who_watches_for_them)
{
	request_.set_multishot(false);
	file_.mutable_signalfd();
	EXPECT_THAT(obstacle(), HasSubstr("watches signals"));
	file_.clear_signalfd();
	file_.mutable_epoll();
	EXPECT_EQ(obstacle(), "");
	file_.mutable_epoll()->add_items()->set_file(1);
	EXPECT_THAT(obstacle(), HasSubstr("watches signals")) << "nobody knows how deep it goes";
}

TEST_F(UringPolls, a_process_that_has_ended_is_told_by_its_descriptor)
{
	file_.set_kind("pidfd");
	file_.mutable_pidfd()->set_pid(7);
	images::Process &process = *document_.add_processes();
	process.set_pid(7);
	EXPECT_FALSE(is_possible());
	process.set_state(images::Process::ZOMBIE);
	EXPECT_TRUE(is_possible());
	file_.mutable_pidfd()->set_pid(0);
	EXPECT_TRUE(is_possible());
}

TEST_F(UringPolls, a_signal_that_was_told_and_is_still_pending)
{
	images::Process process;
	images::Thread &thread = *process.add_threads();
	Maker submitter = {&process, &thread};
	images::Request request;
	images::File signalfd;
	signalfd.set_id(4);
	signalfd.mutable_signalfd()->set_mask(1 << (10 - 1));
	EXPECT_THAT(signalfd_obstacle(request, signalfd, submitter), HasSubstr("no descriptor"));
	process.add_files()->set_file(4);
	EXPECT_EQ(signalfd_obstacle(request, signalfd, submitter), "");
	thread.add_pending_signals()->set_signal(10);
	EXPECT_EQ(signalfd_obstacle(request, signalfd, submitter), "");
	request.set_multishot(true);
	EXPECT_EQ(signalfd_obstacle(request, signalfd, submitter), "") << "it has not begun";
	request.set_file(4);
	EXPECT_THAT(signalfd_obstacle(request, signalfd, submitter), HasSubstr("still pending"));
	thread.mutable_pending_signals(0)->set_signal(11);
	EXPECT_EQ(signalfd_obstacle(request, signalfd, submitter), "");
	process.add_pending_signals()->set_signal(10);
	request.set_woken(true);
	EXPECT_EQ(signalfd_obstacle(request, signalfd, submitter), "") << "it is to be told";
	request.set_exited(true);
	EXPECT_THAT(signalfd_obstacle(request, signalfd, submitter), HasSubstr("has exited"));
}

TEST_F(UringPolls, a_signalfd_that_a_request_has_or_will_look_up)
{
	images::Ring ring;
	images::Process process;
	images::FdEntry &entry = *process.add_files();
	entry.set_fd(5);
	entry.set_file(1);
	file_.mutable_signalfd();
	images::Request request;
	request.set_opcode(images::IORING_OP_READ);
	auto found = [&] {
		return signalfd_of(ring, request, &process, [this](uint32_t id) { return id == 1 ? &file_ : nullptr; });
	};
	request.set_fd(5);
	EXPECT_EQ(found(), 0u) << "it is done";
	request.set_class_(images::Request::REARMABLE);
	EXPECT_EQ(found(), 1u);
	request.set_fd(6);
	EXPECT_EQ(found(), 0u);
	request.set_file(1);
	EXPECT_EQ(found(), 1u);
	request.set_file(0);
	request.set_flags(IOSQE_FIXED_FILE);
	request.set_fixed_slot(3);
	EXPECT_EQ(found(), 0u);
	images::FixedFile &slot = *ring.add_fixed_files();
	slot.set_slot(3);
	slot.set_file(1);
	EXPECT_EQ(found(), 1u);
	request.set_opcode(images::IORING_OP_TIMEOUT);
	EXPECT_EQ(found(), 0u);
}

} // namespace bpfckpt::uring
