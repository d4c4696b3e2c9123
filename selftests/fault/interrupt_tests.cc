// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// bpfckpt dies, or is told to stop, at any of its steps: the source survives everything that happens before the commit.
#include <algorithm>
#include <csignal>
#include <thread>

#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftests/fault/fault_test.h"
#include "selftests/fault/traced_command.h"
#include "selftests/scenarios/process.h"

namespace bpfckpt::selftests {

// How many of a dump's system calls are hit: evenly spread, and all of the last ones, where the thaw and the commit
// are.
constexpr unsigned kSpread = 25;
constexpr unsigned kLast = 25;

static std::vector<unsigned> points_of(unsigned syscalls)
{
	std::vector<unsigned> points;
	points.reserve(kSpread + kLast);
	for (unsigned i = 0; i < kSpread; i++)
		points.push_back(1 + syscalls * i / kSpread);
	for (unsigned i = std::min(syscalls, kLast); i > 0; i--)
		points.push_back(syscalls - i + 1);
	std::ranges::sort(points);
	points.erase(std::ranges::unique(points).begin(), points.end());
	return points;
}

static unsigned syscalls_of_a_dump(const Args &options)
{
	Scenario target;
	if (!target.start("fault/fault_memory", {"4"}))
		return 0;
	TracedOutput whole = run_traced(dump_command(target.pid(), target.new_image_dir(), options));
	EXPECT_EQ(whole.exit, 0) << whole.err;
	return whole.exit == 0 ? whole.syscalls : 0;
}

TEST_F(Fault, sigkill_at_any_step_leaves_the_target_running)
{
	unsigned syscalls = syscalls_of_a_dump({"-R"});
	ASSERT_GT(syscalls, 0u);
	Scenario target;
	SCENARIO_START(target, "fault/fault_memory", {"4"});
	for (unsigned point : points_of(syscalls)) {
		SCOPED_TRACE("killed at system call " + std::to_string(point) + " of " + std::to_string(syscalls));
		std::string dir = target.new_image_dir();
		TracedOutput killed = run_traced(dump_command(target.pid(), dir), SIGKILL, point);
		EXPECT_TRUE(killed.exit == 128 + SIGKILL || killed.exit == 0) << killed.exit << killed.err;
		expect_unharmed(target);
		// Looks like a checkpoint only if it is one: what show reads without complaint was committed.
		Output shown = bpfckpt({"show", dir});
		EXPECT_TRUE(shown.exit == 0 || shown.exit == 6 || shown.exit == 1) << shown.exit << shown.err;
		if (point < syscalls / 2) {
			EXPECT_NE(shown.exit, 0);
		}
		if (HasFailure())
			break;
	}
}

// What is lent to a thread while it enters its wait again, or to a socket while it is looked into.
TEST_F(Fault, sigkill_leaves_nothing_lent)
{
	Scenario target;
	SCENARIO_START(target, "fault/fault_timeouts");
	std::vector<TracedCall> steps;
	for (unsigned nth = 1; nth <= 4; nth++)
		steps.push_back({SYS_ptrace, PTRACE_DETACH, nth});
	for (unsigned nth = 1; nth <= 2; nth++)
		steps.push_back({SYS_recvfrom, kAnyArgument, nth});
	for (const TracedCall &step : steps) {
		SCOPED_TRACE("call " + std::to_string(step.nr) + " number " + std::to_string(step.nth));
		TracedOutput killed = run_traced(dump_command(target.pid(), target.new_image_dir()), SIGKILL, step);
		EXPECT_TRUE(killed.exit == 128 + SIGKILL || killed.exit == 0) << killed.exit << killed.err;
		auto is_guard = [](const ProcessStat &process) {
			return process.state != 'Z' && status_field(process.pid, "Name") == "bpfckpt-guard";
		};
		EXPECT_TRUE(eventually([&] { return std::ranges::none_of(all_processes(), is_guard); },
				       milliseconds(5000)));
		expect_unharmed(target);
		if (HasFailure())
			break;
	}
}

TEST_F(Fault, sigkill_before_the_commit_never_kills_the_target)
{
	unsigned syscalls = syscalls_of_a_dump({});
	ASSERT_GT(syscalls, 0u);
	for (unsigned point : points_of(syscalls)) {
		SCOPED_TRACE("killed at system call " + std::to_string(point) + " of " + std::to_string(syscalls));
		Scenario target;
		SCENARIO_START(target, "fault/fault_memory", {"4"});
		std::string dir = target.new_image_dir();
		run_traced(dump_command(target.pid(), dir, {}), SIGKILL, point);
		if (!is_checkpoint(dir))
			expect_unharmed(target);
		if (HasFailure())
			break;
	}
}

TEST_F(Fault, sigint_at_any_step_ends_the_dump_cleanly)
{
	unsigned syscalls = syscalls_of_a_dump({"-R"});
	ASSERT_GT(syscalls, 0u);
	Scenario target;
	SCENARIO_START(target, "fault/fault_memory", {"4"});
	for (unsigned point : points_of(syscalls)) {
		SCOPED_TRACE("SIGINT at system call " + std::to_string(point) + " of " + std::to_string(syscalls));
		std::string dir = target.new_image_dir();
		TracedOutput stopped = run_traced(dump_command(target.pid(), dir), SIGINT, point);
		expect_unharmed(target);
		// A signal between the last word and the exit still ends bpfckpt.
		bool said_done = stopped.exit == 0 || stopped.out.find("dumped") != std::string::npos;
		EXPECT_EQ(is_checkpoint(dir), said_done) << stopped.exit << stopped.out << stopped.err;
		if (HasFailure())
			break;
	}
}

// All around what makes the checkpoint, and some before.
static std::vector<unsigned> points_around(unsigned commit)
{
	constexpr unsigned kBefore = 40, kAfter = 15;
	std::vector<unsigned> points;
	for (unsigned point = 1; point + kBefore < commit; point += commit / kSpread)
		points.push_back(point);
	for (unsigned point = commit - std::min(commit, kBefore); point <= commit + kAfter; point++)
		points.push_back(point);
	return points;
}

TEST_F(Fault, sigint_before_the_commit_never_kills_the_target)
{
	// From the last look at signals to the commit the manifest is opened, written and synced. AddressSanitizer has
	// system calls of its own.
	const unsigned too_late = is_sanitized() ? 40 : 16;
	Scenario first;
	SCENARIO_START(first, "fault/fault_memory", {"4"});
	unsigned commit = run_traced(dump_command(first.pid(), first.new_image_dir(), {})).renames_at;
	ASSERT_GT(commit, too_late);
	for (unsigned point : points_around(commit)) {
		SCOPED_TRACE("SIGINT at system call " + std::to_string(point) + ", commit at " +
			     std::to_string(commit));
		Scenario target;
		SCENARIO_START(target, "fault/fault_memory", {"4"});
		std::string dir = target.new_image_dir();
		TracedOutput stopped = run_traced(dump_command(target.pid(), dir, {}), SIGINT, point);
		EXPECT_EQ(is_checkpoint(dir), stopped.renames_at != 0) << stopped.exit << stopped.err;
		if (stopped.renames_at) {
			EXPECT_GE(point + too_late, stopped.renames_at) << "it was not heard";
			EXPECT_NE(stopped.out.find("the tree was killed"), std::string::npos) << stopped.err;
		} else {
			EXPECT_NE(stopped.exit, 0);
			expect_unharmed(target);
		}
		if (HasFailure())
			break;
	}
}

// As a shell starts it, with job control.
static pid_t start_in_own_group(const Args &command)
{
	std::vector<char *> argv;
	for (const std::string &word : command)
		argv.push_back(const_cast<char *>(word.c_str()));
	argv.push_back(nullptr);
	pid_t pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		close(STDERR_FILENO);
		execv(argv[0], argv.data());
		_exit(127);
	}
	setpgid(pid, pid);
	return pid;
}

TEST_F(Fault, a_drain_is_ended_by_sigint_and_not_stopped_by_sigtstp)
{
	Scenario target;
	SCENARIO_START(target, "uring_blocked_write");
	std::string dir = target.new_image_dir();
	pid_t dump = start_in_own_group(dump_command(target.pid(), dir, {"-R", "--drain-timeout", "40"}));
	auto is_frozen = [&] { return status_field(target.pid(), "TracerPid") == std::to_string(dump); };
	EXPECT_TRUE(eventually(is_frozen, milliseconds(10'000)));
	kill(dump, SIGTSTP);
	std::this_thread::sleep_for(milliseconds(50));
	EXPECT_FALSE(status_field(dump, "State").starts_with('T'));
	kill(dump, SIGINT);
	int status = 0;
	EXPECT_TRUE(eventually([&] { return waitpid(dump, &status, WNOHANG) == dump; }, milliseconds(10'000)));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT) << status;
	EXPECT_FALSE(is_checkpoint(dir));
	expect_unharmed(target);
}

TEST_F(Fault, a_log_that_nobody_reads_is_no_obstacle)
{
	Scenario target;
	SCENARIO_START(target, "fault/fault_memory", {"4"});
	std::string dir = target.new_image_dir();
	std::string line;
	for (const std::string &word : dump_command(target.pid(), dir, {"-R", "-vv"}))
		line += word + " ";
	Output done = run_command({"bash", "-c", "set -o pipefail; { " + line + "2>&1; } | head -n 1"});
	EXPECT_EQ(done.exit, 0) << done.out << done.err;
	EXPECT_TRUE(is_checkpoint(dir));
	expect_unharmed(target);
}

TEST_F(Fault, sigkill_at_random_times_leaves_a_busy_target_running)
{
	Scenario target;
	SCENARIO_START(target, "fault/fault_churn");
	srand(1);
	for (int i = 0; i < 30; i++) {
		int after_ms = rand() % 120;
		SCOPED_TRACE("killed after " + std::to_string(after_ms) + " ms");
		Args command{"timeout", "-s", "KILL", std::to_string(after_ms / 1000.0)};
		Args dump = dump_command(target.pid(), target.new_image_dir());
		command.insert(command.end(), dump.begin(), dump.end());
		run_command(command);
		expect_unharmed(target);
		if (HasFailure())
			break;
	}
}

} // namespace bpfckpt::selftests
