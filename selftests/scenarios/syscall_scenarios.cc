// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// System calls that were in progress: the source does not notice the dump, what is restored goes on where it was.
#include <array>
#include <chrono>
#include <thread>

#include <sys/syscall.h>

#include "selftests/scenarios/driver.h"
#include "selftests/scenarios/process.h"

namespace bpfckpt::selftests {

static void run_waits(const char *program)
{
	run_scenario(program, {.always_leave_running = true});
}

// How many threads of the program were in a system call that is entered again.
static size_t resumed_threads(const Json &document)
{
	size_t count = 0;
	for (const Json &process : document["processes"]) {
		for (const Json &thread : process["threads"]) {
			std::string resume = thread.value("syscall", Json::object()).value("resume", "AS_IS");
			count += resume == "RESTART" || resume == "RESTART_REMAINING";
		}
	}
	return count;
}

TEST(Syscall, timed_waits_end_on_time)
{
	run_waits("syscall_timed_waits");
}

TEST(Syscall, poll_in_a_stopped_process_keeps_its_timeout)
{
	run_waits("syscall_stopped_poll");
}

TEST(Syscall, endless_waits_sleep_on)
{
	run_waits("syscall_endless_waits");
}

TEST(Syscall, futex_waits_of_every_kind)
{
	run_waits("syscall_futex_waits");
}

TEST(Syscall, handlers_end_waits_or_not_as_they_would_have)
{
	run_waits("syscall_handlers");
}

TEST(Syscall, ring_waits_sleep_on)
{
	run_waits("syscall_ring_waits");
}

TEST(Syscall, socket_waits_sleep_on)
{
	run_waits("syscall_socket_waits");
}

// Half of the time is over at the dump: what is left is less than all of it, the dumps of the others included.
static void expect_what_remained(bool restore)
{
	using Clock = std::chrono::steady_clock;
	const milliseconds whole(patience() > 1 ? 12'000 : 6000);
	std::array<const char *, 3> programs = {"syscall_timed_waits", "syscall_socket_waits", "syscall_ring_waits"};
	std::array<Scenario, 3> scenarios;
	std::array<Clock::time_point, 3> thawed;
	for (size_t i = 0; i < programs.size(); i++)
		SCENARIO_START(scenarios[i], programs[i], {std::to_string(whole.count())});
	std::this_thread::sleep_for(whole / 2);
	for (size_t i = 0; i < programs.size(); i++) {
		ASSERT_EQ(scenarios[i].dump(restore ? Args() : Args{"-R"}).exit, 0) << programs[i];
		if (restore) {
			ASSERT_TRUE(scenarios[i].restore()) << programs[i];
		}
		thawed[i] = Clock::now();
	}
	for (size_t i = 0; i < programs.size(); i++) {
		EXPECT_TRUE(scenarios[i].go()) << programs[i];
		EXPECT_LT(Clock::now() - thawed[i], whole - milliseconds(500))
			<< programs[i] << ": the time began anew";
	}
}

TEST(Syscall, waits_last_for_what_remained)
{
	expect_what_remained(false);
	if (restore_obstacle().empty())
		expect_what_remained(true);
}

TEST(Syscall, images_say_how_each_wait_goes_on)
{
	Scenario s;
	SCENARIO_START(s, "syscall_endless_waits");
	DumpResult dump = s.dump({"-R"});
	ASSERT_EQ(dump.exit, 0);
	EXPECT_GE(resumed_threads(s.show()), 10u);
	EXPECT_GE(number(dump.stats["fixed_syscalls"]), 2u);
	EXPECT_EQ(number(dump.stats["injected_syscalls"]), 0u);
	EXPECT_TRUE(s.check_target());
	EXPECT_TRUE(s.go());
}

TEST(Syscall, eight_dumps_in_a_row_disturb_no_wait)
{
	Scenario s;
	SCENARIO_START(s, "syscall_endless_waits");
	for (int i = 0; i < 8; i++)
		ASSERT_EQ(s.dump({"-R"}).exit, 0);
	EXPECT_TRUE(s.check_target());
	EXPECT_TRUE(s.go());
}

// The kernel is restarting them already (restart_syscall), and the registers do not say which calls they were.
TEST(Syscall, waits_that_were_dumped_before_are_restored_too)
{
	if (!restore_obstacle().empty())
		GTEST_SKIP() << restore_obstacle();
	Scenario s;
	SCENARIO_START(s, "syscall_timed_waits");
	ASSERT_EQ(s.dump({"-R"}).exit, 0);
	ASSERT_EQ(s.dump({"-R"}).exit, 0);
	ASSERT_EQ(s.dump({}).exit, 0);
	Json document = s.show();
	for (const Json &process : document["processes"]) {
		for (const Json &thread : process["threads"]) {
			Json call = thread.value("syscall", Json::object());
			EXPECT_NE(call.value("nr", 0), SYS_restart_syscall);
			// The first thread waits for what the test tells it.
			bool timed = thread["tid"] == process["pid"] || call.value("timed", false);
			EXPECT_TRUE(timed || call.value("nr", 0) != SYS_poll) << thread;
		}
	}
	ASSERT_TRUE(s.restore());
	EXPECT_TRUE(s.go());
}

} // namespace bpfckpt::selftests
