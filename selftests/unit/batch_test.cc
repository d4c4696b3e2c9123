// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The stub and its batches, in real children.
#include "user/target/batch.h"

#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <gtest/gtest.h>

#include "user/target/stub_process.h"
#include "user/util/io.h"

namespace bpfckpt::target {

class BatchTest : public testing::Test {
protected:
	void SetUp() override
	{
		StubLayout stub(find_hole({}, StubLayout::size_for(4)).value(), 4);
		Result<Tracee> made = clone_stub_process(0, SIGCHLD, stub);
		ASSERT_TRUE(made) << made.error().message;
		tracee_.emplace_back(*made);
	}
	void TearDown() override
	{
		if (!tracee_.empty())
			kill_and_reap(tracee().pid());
	}
	Tracee &tracee() { return tracee_.front(); }

	std::vector<Tracee> tracee_;
};

TEST_F(BatchTest, nothing_but_the_stub_is_mapped)
{
	std::vector<RemoteRange> maps = mappings_of(tracee().pid()).value();
	ASSERT_EQ(maps.size(), 1u);
	EXPECT_EQ(maps[0].address, tracee().stub().area().address);
	EXPECT_EQ(maps[0].size, tracee().stub().area().size);
}

TEST_F(BatchTest, results_and_outputs_come_back)
{
	SyscallBatch batch;
	size_t pid = batch.add(SYS_getpid);
	Blob name = batch.buffer(16);
	batch.add(SYS_prctl, 15, batch.text("stubby"));
	batch.add(SYS_prctl, 16, name);
	ASSERT_TRUE(batch.run(tracee()));
	EXPECT_EQ(batch.result(pid), tracee().pid());
	EXPECT_STREQ(reinterpret_cast<const char *>(batch.output(name).data()), "stubby");
}

TEST_F(BatchTest, a_failure_ends_the_batch_and_is_named)
{
	SyscallBatch batch;
	batch.add_optional(SYS_close, 77);
	batch.add(SYS_dup3, 1, 2, 0);
	size_t never = batch.add(SYS_umask, 0123);
	Result<> run = batch.run(tracee());
	ASSERT_FALSE(run);
	EXPECT_EQ(run.error().sys_errno, EBADF);
	EXPECT_NE(run.error().message.find("dup3(0x1, 0x2"), std::string::npos) << run.error().message;
	SyscallBatch after;
	size_t mask = after.add(SYS_umask, 0);
	ASSERT_TRUE(after.run(tracee()));
	EXPECT_NE(after.result(mask), 0123);
	EXPECT_EQ(batch.result(never), 0);
}

TEST_F(BatchTest, more_calls_than_a_slot_holds_run_in_rounds)
{
	SyscallBatch batch;
	for (int i = 0; i < 10000; i++)
		batch.add(SYS_prctl, 15, batch.text(std::to_string(i)));
	Blob name = batch.buffer(16);
	batch.add(SYS_prctl, 16, name);
	ASSERT_TRUE(batch.run(tracee()));
	EXPECT_STREQ(reinterpret_cast<const char *>(batch.output(name).data()), "9999");
}

TEST_F(BatchTest, a_blob_can_point_into_itself)
{
	int fds[2];
	ASSERT_EQ(pipe(fds), 0);
	pid_t self = getpid();
	SyscallBatch batch;
	batch.add(SYS_pidfd_open, self, 0);
	batch.add(SYS_pidfd_getfd, 0, fds[1], 0);
	struct {
		uint64_t base, length;
		char text[8];
	} vector = {0, 5, "hello"};
	batch.add(SYS_writev, 1, batch.data(std::as_bytes(std::span(&vector, 1)), {{0, 16}}), 1);
	ASSERT_TRUE(batch.run(tracee()));
	char text[8] = {};
	EXPECT_EQ(read(fds[0], text, sizeof(text)), 5);
	EXPECT_STREQ(text, "hello");
	close(fds[0]);
	close(fds[1]);
}

TEST_F(BatchTest, children_are_attached_and_have_the_stub)
{
	SyscallBatch batch;
	clone_args args = {};
	args.flags = CLONE_PTRACE;
	args.exit_signal = SIGCHLD;
	size_t clone = batch.add(SYS_clone3, batch.value(args), sizeof(args));
	ASSERT_TRUE(batch.run(tracee()));
	auto child = static_cast<pid_t>(batch.result(clone));
	ASSERT_GT(child, 0);
	Tracee second(child, child, tracee().stub(), tracee().slot());
	second.take_registers_of(tracee());
	ASSERT_TRUE(second.wait_first_stop());
	SyscallBatch hello;
	size_t parent = hello.add(SYS_getppid);
	ASSERT_TRUE(hello.run(second));
	EXPECT_EQ(hello.result(parent), tracee().pid());
	kill_and_reap(second.pid());
}

TEST_F(BatchTest, a_call_to_its_exit_stop_can_unmap_the_stub)
{
	RemoteRange area = tracee().stub().area();
	uint64_t args[] = {area.address, area.size};
	EXPECT_EQ(tracee().call_to_exit_stop(SYS_munmap, args).value(), 0);
	EXPECT_TRUE(mappings_of(tracee().pid()).value().empty());
}

TEST_F(BatchTest, a_call_to_its_exit_stop_keeps_an_ignored_sigtrap)
{
	struct {
		uint64_t handler, flags, restorer, mask;
	} ignore = {1, 0, 0, 0}, found = {};
	SyscallBatch batch;
	batch.add(SYS_getpid);
	ASSERT_TRUE(batch.run(tracee()));
	uint64_t at = tracee().slot().address;
	ASSERT_TRUE(tracee().write(at, std::as_bytes(std::span(&ignore, 1))));
	uint64_t set[] = {SIGTRAP, at, 0, 8};
	ASSERT_EQ(tracee().call_to_exit_stop(SYS_rt_sigaction, set).value(), 0);
	uint64_t get[] = {SIGTRAP, 0, at, 8};
	ASSERT_EQ(tracee().call_to_exit_stop(SYS_rt_sigaction, get).value(), 0);
	ASSERT_TRUE(tracee().read(at, std::as_writable_bytes(std::span(&found, 1))));
	EXPECT_EQ(found.handler, 1u);
}

TEST_F(BatchTest, a_blocked_call_can_be_interrupted)
{
	uint64_t none[] = {0};
	Result<int64_t> result = tracee().interrupt_in_call(SYS_pause, none);
	ASSERT_TRUE(result);
	EXPECT_EQ(*result, -514); // ERESTARTNOHAND
}

TEST_F(BatchTest, a_call_that_does_not_sleep_gives_its_result)
{
	uint64_t none[] = {0};
	EXPECT_EQ(tracee().interrupt_in_call(SYS_getpid, none).value(), tracee().pid());
}

TEST_F(BatchTest, a_tracee_that_dies_is_an_error)
{
	SyscallBatch batch;
	batch.add(SYS_exit_group, 3);
	Result<> run = batch.run(tracee());
	ASSERT_FALSE(run);
	EXPECT_NE(run.error().message.find("exited"), std::string::npos);
	tracee_.clear();
}

TEST(StubProcessTest, a_pid_in_use_is_told)
{
	StubLayout stub(find_hole({}, StubLayout::size_for(0)).value(), 0);
	Result<Tracee> made = clone_stub_process(getpid(), SIGCHLD, stub);
	ASSERT_FALSE(made);
	EXPECT_EQ(made.error().sys_errno, EEXIST);
}

TEST(StubProcessTest, has_no_alternate_signal_stack_of_ours)
{
	std::vector<std::byte> own(1 << 16);
	stack_t ours = {};
	ours.ss_sp = own.data();
	ours.ss_size = own.size();
	stack_t before = {};
	ASSERT_EQ(sigaltstack(&ours, &before), 0);
	StubLayout stub(find_hole({}, StubLayout::size_for(0)).value(), 0);
	Result<Tracee> made = clone_stub_process(0, SIGCHLD, stub);
	ASSERT_EQ(sigaltstack(&before, nullptr), 0);
	ASSERT_TRUE(made) << made.error().message;
	SyscallBatch batch;
	Blob told = batch.buffer(sizeof(stack_t));
	batch.add(SYS_sigaltstack, 0, told);
	Result<> run = batch.run(*made);
	kill_and_reap(made->pid());
	ASSERT_TRUE(run) << run.error().message;
	stack_t theirs = {};
	memcpy(&theirs, batch.output(told).data(), sizeof(theirs));
	EXPECT_EQ(theirs.ss_flags, SS_DISABLE);
}

TEST(StubProcessTest, the_hole_avoids_what_is_occupied)
{
	RemoteRange low = {0x10000000, 0x100000000000};
	uint64_t hole = find_hole({{low}}, 1 << 20).value();
	EXPECT_GE(hole, low.end());
}

} // namespace bpfckpt::target
