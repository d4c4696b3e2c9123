// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/target/interrupted_syscall.h"

#include <cerrno>

#include <gtest/gtest.h>
#include <sys/syscall.h>

namespace bpfckpt::target {

namespace {

using Message = images::InterruptedSyscall;

user_regs_struct stopped_in(long nr, long result)
{
	user_regs_struct regs = {};
	regs.orig_rax = static_cast<unsigned long long>(nr);
	regs.rax = static_cast<unsigned long long>(result);
	regs.rip = 0x401002;
	return regs;
}

} // namespace

TEST(InterruptedSyscallTest, user_mode_is_no_system_call)
{
	EXPECT_FALSE(analyse_stop(stopped_in(-1, -EINTR), true));
}

TEST(InterruptedSyscallTest, restart_codes_are_left_to_the_kernel)
{
	for (long code : {-512L, -513L, -514L, -516L}) {
		auto regs = stopped_in(SYS_read, code);
		auto call = analyse_stop(regs, true);
		ASSERT_TRUE(call);
		EXPECT_FALSE(call->fix);
		EXPECT_EQ(call->message.resume(), Message::RESTART);
		EXPECT_EQ(static_cast<long>(call->resume_registers(regs, {}).rax), code);
	}
}

TEST(InterruptedSyscallTest, our_eintr_becomes_erestartnohand)
{
	for (long nr : {SYS_epoll_wait, SYS_rt_sigtimedwait, SYS_semop, SYS_io_getevents, SYS_recvfrom, SYS_read,
			SYS_fallocate}) {
		auto regs = stopped_in(nr, -EINTR);
		auto call = analyse_stop(regs, true);
		ASSERT_TRUE(call);
		EXPECT_TRUE(call->fix);
		EXPECT_EQ(call->message.result(), -EINTR);
		auto fixed = call->resume_registers(regs, {});
		EXPECT_EQ(static_cast<long>(fixed.rax), -514);
		EXPECT_EQ(fixed.orig_rax, regs.orig_rax);
		EXPECT_EQ(fixed.rip, regs.rip);
	}
}

TEST(InterruptedSyscallTest, of_registrations_those_that_wait)
{
	for (auto [opcode, waits] :
	     {std::pair(24U, true), {1, true}, {3, true}, {24U | 1U << 31, true}, {0, false}, {33, false}}) {
		auto regs = stopped_in(SYS_io_uring_register, -EINTR);
		regs.rsi = opcode;
		auto call = analyse_stop(regs, true);
		ASSERT_TRUE(call);
		EXPECT_EQ(call->fix, waits) << opcode;
	}
}

TEST(InterruptedSyscallTest, eintr_of_a_group_stop_is_the_programs_own)
{
	auto call = analyse_stop(stopped_in(SYS_epoll_wait, -EINTR), false);
	ASSERT_TRUE(call);
	EXPECT_FALSE(call->fix);
	EXPECT_EQ(call->message.resume(), Message::AS_IS);
}

TEST(InterruptedSyscallTest, calls_that_must_not_be_repeated_keep_their_eintr)
{
	auto close = analyse_stop(stopped_in(SYS_close, -EINTR), true);
	ASSERT_TRUE(close);
	EXPECT_EQ(close->message.resume(), Message::AS_IS);
	// Only submits: what was submitted must not be submitted twice.
	auto enter = analyse_stop(stopped_in(SYS_io_uring_enter, -EINTR), true);
	ASSERT_TRUE(enter);
	EXPECT_EQ(enter->message.resume(), Message::AS_IS);
}

TEST(InterruptedSyscallTest, partial_results_go_back_unchanged)
{
	auto regs = stopped_in(SYS_write, 65536);
	auto call = analyse_stop(regs, true);
	ASSERT_TRUE(call);
	EXPECT_EQ(call->message.resume(), Message::AS_IS);
	EXPECT_EQ(call->resume_registers(regs, {}).rax, 65536u);
}

TEST(InterruptedSyscallTest, epoll_wait_goes_on_for_what_remains)
{
	auto regs = stopped_in(SYS_epoll_wait, -EINTR);
	regs.r10 = 400;
	auto call = analyse_stop(regs, true);
	ASSERT_TRUE(call);
	set_deadline(&*call, {.clock = CLOCK_MONOTONIC, .ns = 1'000'500'000}, 900'000'000);
	EXPECT_EQ(call->message.resume(), Message::RESTART_REMAINING);
	EXPECT_EQ(call->message.remaining_ns(), 100'500'000);
	EXPECT_EQ(call->resume_registers(regs, 100'500'000).r10, 101u);
	EXPECT_EQ(call->resume_registers(regs, -5).r10, 0u);
	EXPECT_EQ(call->resume_registers(regs, 900'000'000'000).r10, 400u);
}

TEST(InterruptedSyscallTest, infinite_epoll_wait_stays_infinite)
{
	auto regs = stopped_in(SYS_epoll_wait, -EINTR);
	regs.r10 = 0xffffffff;
	auto call = analyse_stop(regs, true);
	ASSERT_TRUE(call);
	EXPECT_EQ(call->timeout, InterruptedSyscall::Timeout::kNone);
	EXPECT_EQ(call->resume_registers(regs, 5).r10, 0xffffffffu);
}

TEST(InterruptedSyscallTest, absolute_sleeps_keep_their_arguments)
{
	auto regs = stopped_in(SYS_clock_nanosleep, -514);
	regs.rsi = TIMER_ABSTIME;
	auto call = analyse_stop(regs, true);
	ASSERT_TRUE(call);
	set_deadline(&*call, {.clock = CLOCK_MONOTONIC, .ns = 2000}, 1000);
	EXPECT_EQ(call->message.resume(), Message::RESTART);
	EXPECT_TRUE(call->message.timed());
}

TEST(InterruptedSyscallTest, relative_sleeps_are_restored_with_what_remains)
{
	auto call = analyse_stop(stopped_in(SYS_nanosleep, -516), true);
	ASSERT_TRUE(call);
	set_deadline(&*call, {.clock = CLOCK_MONOTONIC, .ns = 2000}, 1000);
	EXPECT_EQ(call->message.resume(), Message::RESTART_REMAINING);
	EXPECT_EQ(call->message.remaining_ns(), 1000);
}

} // namespace bpfckpt::target
