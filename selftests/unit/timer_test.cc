// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/timer.h"

#include <csignal>
#include <ctime>

#include <gtest/gtest.h>

namespace bpfckpt::collect {

static constexpr int64_t kSecond = 1'000'000'000;
static constexpr CaptureTime kNow = {
	.realtime_ns = 1000 * kSecond,
	.monotonic_ns = 100 * kSecond,
	.boottime_ns = 200 * kSecond,
	.tai_ns = 1037 * kSecond,
};

static timer_record monotonic_timer()
{
	timer_record record = {};
	record.id = 3;
	record.pid = 10;
	record.clock = CLOCK_MONOTONIC;
	record.base_clock = CLOCK_MONOTONIC;
	record.notify = SIGEV_SIGNAL;
	record.signal = SIGALRM;
	record.overrun = -1;
	return record;
}

static images::PosixTimer collected(const timer_record &record)
{
	images::PosixTimer message;
	collect_timer(record, kNow, &message);
	return message;
}

TEST(Timer, disarmed)
{
	timer_record record = monotonic_timer();
	record.expires_ns = 42; // stale
	images::PosixTimer message = collected(record);
	EXPECT_FALSE(message.armed());
	EXPECT_EQ(message.remaining_ns(), 0);
	EXPECT_EQ(message.overrun(), 0);
	EXPECT_EQ(message.clock(), "CLOCK_MONOTONIC");
}

TEST(Timer, armed_once)
{
	timer_record record = monotonic_timer();
	record.flags = TIMER_ARMED;
	record.expires_ns = 103 * kSecond;
	images::PosixTimer message = collected(record);
	EXPECT_TRUE(message.armed());
	EXPECT_EQ(message.remaining_ns(), 3 * kSecond);
}

TEST(Timer, due_but_not_run_yet_is_armed_with_nothing_left)
{
	timer_record record = monotonic_timer();
	record.flags = TIMER_ARMED;
	record.expires_ns = 99 * kSecond;
	EXPECT_TRUE(collected(record).armed());
	EXPECT_EQ(collected(record).remaining_ns(), 0);
}

TEST(Timer, relative_realtime_runs_on_the_monotonic_clock)
{
	timer_record record = monotonic_timer();
	record.clock = CLOCK_REALTIME;
	record.flags = TIMER_ARMED;
	record.expires_ns = 107 * kSecond;
	EXPECT_EQ(collected(record).remaining_ns(), 7 * kSecond);
	EXPECT_EQ(collected(record).clock(), "CLOCK_REALTIME");
	EXPECT_EQ(collected(record).absolute_ns(), 0);
}

TEST(Timer, absolute_realtime_keeps_its_expiry)
{
	timer_record record = monotonic_timer();
	record.clock = CLOCK_REALTIME;
	record.base_clock = CLOCK_REALTIME;
	record.flags = TIMER_ARMED;
	record.expires_ns = 1007 * kSecond;
	EXPECT_EQ(collected(record).remaining_ns(), 7 * kSecond);
	EXPECT_EQ(collected(record).absolute_ns(), 1007 * kSecond);
}

TEST(Timer, periodic_with_its_signal_waiting_goes_on)
{
	timer_record record = monotonic_timer();
	record.flags = TIMER_REQUEUE_PENDING | TIMER_SIGNAL_QUEUED;
	record.interval_ns = 2 * kSecond;
	record.expires_ns = 95 * kSecond; // then 97, 99, 101
	images::PosixTimer message = collected(record);
	EXPECT_TRUE(message.armed());
	EXPECT_TRUE(message.signal_pending());
	EXPECT_EQ(message.remaining_ns(), kSecond);
	EXPECT_EQ(message.overrun(), 2); // 97 and 99
}

TEST(Timer, expiry_at_this_very_moment_is_the_next_period)
{
	timer_record record = monotonic_timer();
	record.flags = TIMER_REQUEUE_PENDING;
	record.interval_ns = 2 * kSecond;
	record.expires_ns = 100 * kSecond;
	EXPECT_EQ(collected(record).remaining_ns(), 2 * kSecond);
}

TEST(Timer, times_that_no_sum_holds)
{
	timer_record record = monotonic_timer();
	record.flags = TIMER_REQUEUE_PENDING;
	record.interval_ns = 1;
	record.expires_ns = INT64_MIN;
	record.overrun = INT64_MAX;
	EXPECT_EQ(collected(record).remaining_ns(), 1);
	EXPECT_EQ(collected(record).overrun(), INT64_MAX);
	record = monotonic_timer();
	record.flags = TIMER_ARMED;
	record.expires_ns = INT64_MAX; // KTIME_MAX: it never expires
	EXPECT_EQ(collected(record).remaining_ns(), INT64_MAX - 100 * kSecond);
}

TEST(Timer, silent_timer_is_never_queued)
{
	timer_record record = monotonic_timer();
	record.notify = SIGEV_NONE;
	record.expires_ns = 103 * kSecond;
	EXPECT_TRUE(collected(record).armed());
	EXPECT_EQ(collected(record).remaining_ns(), 3 * kSecond);
	EXPECT_EQ(collected(record).signal(), 0u);
	record.expires_ns = 97 * kSecond;
	EXPECT_FALSE(collected(record).armed());
	EXPECT_EQ(collected(record).remaining_ns(), 0);
	record.interval_ns = 10 * kSecond;
	EXPECT_EQ(collected(record).remaining_ns(), 7 * kSecond);
}

TEST(Timer, cpu_clock_of_another_process)
{
	timer_record record = monotonic_timer();
	record.clock = (~0u << 3) | 2; // CPUCLOCK_SCHED of the process itself
	record.flags = TIMER_CPU | TIMER_ARMED;
	record.target = 12;
	record.expires_ns = 5 * kSecond;
	record.cpu_now_ns = kSecond;
	images::PosixTimer message = collected(record);
	EXPECT_EQ(message.clock(), "CLOCK_PROCESS_CPUTIME_ID of 12");
	EXPECT_EQ(message.remaining_ns(), 4 * kSecond);
	record.target = record.pid;
	EXPECT_EQ(collected(record).clock(), "CLOCK_PROCESS_CPUTIME_ID");
	record.flags |= TIMER_NO_TARGET;
	EXPECT_FALSE(collected(record).armed());
	EXPECT_TRUE(collected(record).clock_gone());
}

} // namespace bpfckpt::collect
