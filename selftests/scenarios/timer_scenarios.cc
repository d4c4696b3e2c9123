// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <fstream>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "selftests/scenarios/driver.h"
#include "selftests/scenarios/process.h"

namespace bpfckpt::selftests {

constexpr uint64_t kSecond = 1'000'000'000;

static Json timer_of(const Json &document, Scenario &s, const char *name)
{
	Json found = where(document["processes"][0]["timers"], "id", std::stoul(s.fact(name)));
	EXPECT_EQ(found.size(), 1u) << name;
	return found.empty() ? Json::object() : found[0];
}

static void expect_running(const Json &timer, uint64_t first)
{
	EXPECT_TRUE(timer["armed"]);
	EXPECT_LE(number(timer["remaining_ns"]), first) << timer;
	EXPECT_GE(number(timer["remaining_ns"]), first - 60 * kSecond) << timer;
}

static void verify_posix_timers(const Json &document, Scenario &s)
{
	const Json &process = document["processes"][0];
	ASSERT_EQ(process["timers"].size(), std::stoul(s.fact("timers")));
	EXPECT_EQ(process["timers"][0]["id"], 7); // oldest first
	EXPECT_EQ(process["timers"][8]["id"], 506);

	Json far = timer_of(document, s, "far");
	EXPECT_EQ(far["clock"], "CLOCK_MONOTONIC");
	EXPECT_EQ(far["notify"], "SIGNAL");
	EXPECT_EQ(far["signal"], 40);
	EXPECT_EQ(number(far["value"]), 0x123456789000u + 40);
	expect_running(far, 1000 * kSecond);
	Json sparse = timer_of(document, s, "sparse");
	EXPECT_EQ(sparse["clock"], "CLOCK_REALTIME");
	EXPECT_EQ(number(sparse["interval_ns"]), 30 * kSecond);
	expect_running(sparse, 2000 * kSecond);
	EXPECT_EQ(timer_of(document, s, "boottime")["notify"], "NONE");
	expect_running(timer_of(document, s, "boottime"), 3000 * kSecond);
	Json thread = timer_of(document, s, "thread");
	EXPECT_EQ(thread["notify"], "THREAD_ID");
	EXPECT_EQ(thread["notify_tid"], std::stoi(s.fact("thread_id")));
	Json cpu = timer_of(document, s, "process_cpu");
	EXPECT_EQ(cpu["clock"], "CLOCK_PROCESS_CPUTIME_ID");
	EXPECT_EQ(cpu["clock_target"], s.pid());
	expect_running(cpu, 5000 * kSecond);
	Json thread_cpu = timer_of(document, s, "thread_cpu");
	EXPECT_EQ(thread_cpu["clock"], "CLOCK_THREAD_CPUTIME_ID of " + std::to_string(s.pid()));
	expect_running(timer_of(document, s, "tai"), 7000 * kSecond);
	EXPECT_EQ(timer_of(document, s, "tai")["clock"], "CLOCK_TAI");
	if (process["timers"].size() > 10) {
		expect_running(timer_of(document, s, "alarm"), 8000 * kSecond);
		expect_running(timer_of(document, s, "boottime_alarm"), 9000 * kSecond);
		EXPECT_EQ(timer_of(document, s, "boottime_alarm")["clock"], "CLOCK_BOOTTIME_ALARM");
	}
	EXPECT_FALSE(timer_of(document, s, "disarmed")["armed"]);
	EXPECT_EQ(number(timer_of(document, s, "disarmed")["remaining_ns"]), 0u);
}

static void verify_expired_timers(const Json &document, Scenario &s)
{
	Json overrun = timer_of(document, s, "overrun");
	EXPECT_TRUE(overrun["armed"]);
	EXPECT_TRUE(overrun["signal_pending"]);
	EXPECT_GE(number(overrun["overrun"]), 3u); // 50 ms at 10 ms each
	EXPECT_LE(number(overrun["remaining_ns"]), kSecond / 100);
	Json once = timer_of(document, s, "once");
	EXPECT_FALSE(once["armed"]);
	EXPECT_TRUE(once["signal_pending"]);
	// Their signals are in the queue too, and say which timer they are of.
	const Json &queue = document["processes"][0]["pending_signals"];
	EXPECT_EQ(where(queue, "timer", 505).size(), 1u);
	EXPECT_EQ(where(queue, "timer", 506).size(), 1u);
	EXPECT_EQ(queue.size(), 2u);
}

TEST(Timer, posix_timers_with_sparse_ids)
{
	Scenario s;
	SCENARIO_START(s, "timer_posix");
	for (const Json &document : {s.inspect(), s.inspect()}) {
		verify_posix_timers(document, s);
		verify_expired_timers(document, s);
	}
	EXPECT_TRUE(s.go());
	ASSERT_EQ(s.dump({"-R"}).exit, 0);
	verify_posix_timers(s.show(), s);
	verify_expired_timers(s.show(), s);
	EXPECT_TRUE(s.go());
	EXPECT_TRUE(s.check_target());
	if (!restore_obstacle().empty())
		return;
	s.dump({});
	ASSERT_TRUE(s.restore());
	EXPECT_TRUE(s.go());
}

static void expect_itimer(const Json &process, const char *which, uint64_t interval, uint64_t least, uint64_t most)
{
	Json found = where(process["interval_timers"], "which", which);
	ASSERT_EQ(found.size(), 1u) << which;
	EXPECT_EQ(number(found[0]["interval_ns"]), interval) << which;
	EXPECT_GE(number(found[0]["remaining_ns"]), least) << which;
	EXPECT_LE(number(found[0]["remaining_ns"]), most) << which;
}

static void verify_interval_timers(const Json &document)
{
	const Json &process = document["processes"][0];
	expect_itimer(process, "ITIMER_REAL", 7 * kSecond, 240 * kSecond, 300 * kSecond);
	// The kernel adds a tick to CPU timers when they are set.
	expect_itimer(process, "ITIMER_VIRTUAL", 0, 390 * kSecond, 401 * kSecond);
	expect_itimer(process, "ITIMER_PROF", kSecond / 4, 490 * kSecond, 501 * kSecond);
}

TEST(Timer, interval_timers)
{
	run_scenario("timer_interval", {.verify = verify_interval_timers});
}

// The program and bpfckpt, not this process, are in a time namespace whose clocks are months ahead of the kernel's.
class TimeNamespace {
public:
	TimeNamespace() : own_(open("/proc/self/ns/time", O_RDONLY | O_CLOEXEC))
	{
		if (own_ >= 0 && unshare(CLONE_NEWTIME) == 0)
			std::ofstream("/proc/self/timens_offsets") << "monotonic 9504000 0\nboottime 3456000 0\n";
		std::ifstream offsets("/proc/self/timens_offsets");
		std::string name;
		entered_ = offsets >> name && name == "monotonic" && offsets >> seconds_ && seconds_ == 9504000;
	}
	~TimeNamespace()
	{
		if (own_ >= 0)
			setns(own_, CLONE_NEWTIME);
		close(own_);
	}
	TimeNamespace(const TimeNamespace &) = delete;
	TimeNamespace &operator=(const TimeNamespace &) = delete;
	[[nodiscard]] bool entered() const { return entered_; }

private:
	int own_;
	int64_t seconds_ = 0;
	bool entered_ = false;
};

TEST(Timer, clocks_of_a_time_namespace)
{
	TimeNamespace ahead;
	if (!ahead.entered())
		GTEST_SKIP() << "no time namespace can be made here";
	run_scenario("timer_interval", {.verify = verify_interval_timers});
	run_scenario("syscall_timed_waits");
}

// Periodic and expired, ITIMER_REAL is in no queue until its SIGALRM is taken; it goes on all the same.
TEST(Timer, interval_timer_whose_signal_waits)
{
	run_scenario("timer_interval", {.args = {"pending"}, .verify = [](const Json &document) {
						const Json &process = document["processes"][0];
						expect_itimer(process, "ITIMER_REAL", 7 * kSecond, 1, 7 * kSecond);
						EXPECT_EQ(where(process["pending_signals"], "signal", SIGALRM).size(),
							  1u);
					}});
}

TEST(Timer, ids_of_ten_thousand_and_the_largest_one)
{
	run_scenario("timer_ids", {.args = {"15000", "prctl"}, .inspect_args = {"--timers"}});
}

// As on kernels before 6.15.
TEST(Timer, ids_are_counted_where_the_kernel_cannot_be_told)
{
	run_scenario("timer_ids", {.args = {"20000"}, .restore_args = {"--count-timer-ids"}});
}

TEST(Timer, counting_of_ids_has_a_bound)
{
	if (!restore_obstacle().empty())
		GTEST_SKIP() << restore_obstacle();
	Scenario s;
	SCENARIO_START(s, "timer_ids", {"50", "prctl"});
	DumpResult dumped = s.dump({});
	ASSERT_EQ(dumped.exit, 0);
	Output refused = bpfckpt({"restore", "-d", "-D", dumped.dir, "--count-timer-ids"});
	EXPECT_EQ(refused.exit, 5) << refused.err;
	EXPECT_NE(refused.err.find("timer 56 of pid " + std::to_string(s.pid())), std::string::npos) << refused.err;
	EXPECT_NE(refused.err.find("2148483648 have to be counted, about 35 min"), std::string::npos) << refused.err;
	EXPECT_NE(refused.err.find("6.15"), std::string::npos) << refused.err;
	EXPECT_LT(kill(s.pid(), 0), 0) << "a process was left behind";
	ASSERT_TRUE(s.restore());
	EXPECT_TRUE(s.go());
}

TEST(Timer, the_bound_of_counting_is_for_the_user_to_move)
{
	Scenario s;
	SCENARIO_START(s, "timer_ids", {"20000"});
	ASSERT_TRUE(restore_obstacle().empty()) << restore_obstacle();
	DumpResult dumped = s.dump({});
	ASSERT_EQ(dumped.exit, 0);
	Output refused = bpfckpt({"restore", "-d", "-D", dumped.dir, "--count-timer-ids", "--timer-id-limit", "20006"});
	EXPECT_EQ(refused.exit, 5) << refused.err;
	EXPECT_NE(refused.err.find("timer 20006 of pid " + std::to_string(s.pid())), std::string::npos) << refused.err;
	EXPECT_NE(refused.err.find("20007 have to be counted, about 0 s, and --timer-id-limit is 20006"),
		  std::string::npos)
		<< refused.err;
	ASSERT_TRUE(s.restore({"--count-timer-ids", "--timer-id-limit", "20007"}));
	EXPECT_TRUE(s.go());
}

// Half an hour of counting is begun, says how far it is, and leaves nothing behind when it is broken off.
TEST(Timer, counting_of_ids_tells_its_progress)
{
	Scenario s;
	SCENARIO_START(s, "timer_ids", {"50", "prctl"});
	ASSERT_TRUE(restore_obstacle().empty()) << restore_obstacle();
	DumpResult dumped = s.dump({});
	ASSERT_EQ(dumped.exit, 0);
	std::string log = dumped.dir + ".log";
	pid_t restore = spawn_isolated({bpfckpt_path(), "restore", "-d", "-D", dumped.dir, "--count-timer-ids",
					"--timer-id-limit", "3000000000", "--timeout", "60m"},
				       s.work_dir(), log);
	ASSERT_GT(restore, 0);
	EXPECT_TRUE(eventually([&] { return slurp(log).find(" of 2148483648, 0 %") != std::string::npos; }, kDeadline))
		<< slurp(log);
	EXPECT_NE(slurp(log).find("pid " + std::to_string(s.pid())), std::string::npos) << slurp(log);
	kill(restore, SIGKILL);
	EXPECT_EQ(waitpid(restore, nullptr, 0), restore);
	EXPECT_TRUE(eventually([&] { return waitpid(s.pid(), nullptr, WNOHANG) == s.pid() || kill(s.pid(), 0) < 0; },
			       kDeadline))
		<< "a process was left behind";
	ASSERT_TRUE(s.restore());
	EXPECT_TRUE(s.go());
}

static void verify_timers_of_exited_threads(const Json &document)
{
	const Json &timers = document["processes"][0]["timers"];
	ASSERT_EQ(timers.size(), 3u);
	for (const Json &timer : timers) {
		EXPECT_EQ(timer.value("receiver_gone", false), timer["notify"] == "THREAD_ID") << timer;
		EXPECT_EQ(timer.value("clock_gone", false), timer["clock"] != "CLOCK_MONOTONIC") << timer;
	}
}

TEST(Timer, of_threads_that_have_exited)
{
	run_scenario("timer_exited", {.verify = verify_timers_of_exited_threads});
	run_scenario("timer_exited",
		     {.restore_args = {"--count-timer-ids"}, .verify = verify_timers_of_exited_threads});
}

TEST(Timer, of_a_process_that_has_ended_is_refused)
{
	run_refusal("task_refused", "has timer 0, of the CPU time of a process that has ended", {}, {"timer"});
}

TEST(Timer, of_a_process_outside_of_the_tree_is_refused)
{
	run_refusal("task_refused", "has timer 0, of the CPU time of pid", {}, {"outer_timer"});
}

TEST(Timer, clocks_of_others_and_overruns)
{
	run_scenario("timer_clocks", {.verify = [](const Json &document) {
			     const Json &timers = document["processes"][0]["timers"];
			     ASSERT_EQ(timers.size(), 6u);
			     std::string child = std::to_string(document["processes"][1]["pid"].get<int>());
			     EXPECT_EQ(timers[0]["clock"], "CLOCK_PROCESS_CPUTIME_ID of " + child);
			     EXPECT_GT(number(timers[2]["absolute_ns"]), 0u);
			     EXPECT_EQ(number(timers[3]["overrun_last"]), 5u);
			     EXPECT_EQ(number(timers[4]["overrun"]), 7u);
		     }});
}

} // namespace bpfckpt::selftests
