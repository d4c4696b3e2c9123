// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// No program sees an EINTR, or a different time, because it was frozen: all waits at once, in one tree, frozen twice.
#include <array>
#include <csignal>
#include <ctime>
#include <thread>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "iterators/sleeper_reader.h"
#include "iterators/task_reader.h"
#include "selftests/scenarios/process.h"
#include "selftests/unit/wait_cases.h"
#include "user/target/frozen_tree.h"
#include "user/target/sleep_deadline.h"
#include "user/target/tree_scan.h"

namespace bpfckpt::target {

namespace {

using selftests::WaitCase;
using selftests::WaitReport;
using namespace std::chrono_literals;

// A slow machine gets longer waits and freezes, and longer slack with them.
const int64_t kTimeoutMs = int64_t{600} * selftests::patience();
// Slack for a machine that is busy with other things. A time that starts anew at the second thaw is off by more.
const int64_t kLateMs = int64_t{330} * selftests::patience();
// The first of many freezes is after so long, and each time that starts anew ends later by as much, at least.
constexpr int64_t kLongTimeoutMs = 5000;
constexpr int64_t kLongBeforeMs = 1500;

int64_t monotonic_ns()
{
	timespec now;
	::clock_gettime(CLOCK_MONOTONIC, &now);
	return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

[[noreturn]] void run_case(const WaitCase &wait, WaitReport *report)
{
	::prctl(PR_SET_PDEATHSIG, SIGKILL);
	report->start_ns = monotonic_ns();
	report->tid = ::getpid();
	errno = 0;
	long result = wait.wait();
	report->error = result < 0 ? errno : 0;
	report->end_ns = monotonic_ns();
	report->result = result;
	report->done = true;
	::_exit(0);
}

// The root of the tree: a process per case.
pid_t start_all(const std::vector<WaitCase> &cases, WaitReport *reports)
{
	pid_t root = ::fork();
	if (root != 0)
		return root;
	::prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0; i < cases.size(); i++)
		if (::fork() == 0)
			run_case(cases[i], &reports[i]);
	while (::wait(nullptr) > 0)
		;
	::_exit(0);
}

bool all_sleep(const std::vector<WaitCase> &cases, const WaitReport *reports)
{
	for (size_t i = 0; i < cases.size(); i++) {
		auto stat = reports[i].tid ? read_task_stat(fmt::format("/proc/{}/stat", reports[i].tid)) : TaskStat();
		if (!stat || stat->state != 'S')
			return false;
	}
	return true;
}

// Loaded before the waits begin: that takes longer than a freeze, and both freezes are to hit the middle of them.
struct Readers {
	Result<iterators::SleeperReader> sleepers = iterators::SleeperReader::load(256);
	Result<iterators::TaskReader> tasks = iterators::TaskReader::load();
};

void freeze_for(Readers &readers, pid_t root, std::chrono::milliseconds time)
{
	auto &[sleepers, tasks] = readers;
	SleepDeadlines deadlines;
	FreezeOptions options;
	options.root = root;
	options.before_interrupt = [&readers] { return readers.sleepers->run(); };
	options.deadline_of = [&](pid_t tid) -> std::optional<SleepDeadline> {
		auto found = deadlines.find(static_cast<uint32_t>(tid));
		return found == deadlines.end() ? std::nullopt : std::optional(found->second);
	};
	auto tree = FrozenTree::prepare(std::move(options));
	ASSERT_TRUE(tree) << tree.error().object << ": " << tree.error().message;
	auto pids = tree->pids();
	ASSERT_TRUE(tasks->attach(std::vector<unsigned>(pids.begin(), pids.end())));
	ASSERT_TRUE(tasks->run());
	std::vector<uint64_t> threads;
	for (const task_record &task : tasks->tasks())
		threads.push_back(task.task);
	ASSERT_TRUE(sleepers->look_at(threads));
	auto frozen = tree->freeze();
	ASSERT_TRUE(frozen) << frozen.error().object << ": " << frozen.error().message;
	EXPECT_GT(tree->stats().fixed_syscalls, 0u);
	ASSERT_TRUE(tasks->run());
	deadlines = sleep_deadlines(sleepers->sleepers(), tasks->tasks());
	std::this_thread::sleep_for(time);
	ASSERT_TRUE(tree->thaw());
}

void check(const WaitCase &wait, const WaitReport &report, int64_t timeout_ms, int64_t latest_ns)
{
	SCOPED_TRACE(wait.name);
	ASSERT_TRUE(report.done);
	EXPECT_EQ(report.error, wait.error) << strerror(report.error);
	double ms = static_cast<double>(report.end_ns - report.start_ns) / 1e6;
	if (wait.kind != WaitCase::kForever) {
		EXPECT_GE(ms, timeout_ms - 1) << "ended early";
	}
	if (wait.kind == WaitCase::kExact) {
		EXPECT_LE((report.end_ns - latest_ns) / 1'000'000, 0) << "its time began anew";
	}
}

// All waits asleep at once, and what came of each.
class WaitsTest : public testing::Test {
protected:
	explicit WaitsTest(int64_t timeout_ms) : timeout_ms_(timeout_ms), cases_(selftests::wait_cases(timeout_ms)) {}

	void SetUp() override
	{
		ASSERT_NE(reports_, MAP_FAILED);
		ASSERT_TRUE(readers_.sleepers && readers_.tasks);
		root_ = start_all(cases_, reports_);
		wait_until_all_sleep();
	}

	void wait_until_all_sleep()
	{
		auto deadline = Clock::now() + 10s;
		while (!all_sleep(cases_, reports_) && Clock::now() < deadline)
			std::this_thread::sleep_for(2ms);
	}

	void freeze(std::chrono::milliseconds time) { freeze_for(readers_, root_, time); }

	// Each ends by `latest_ns`, or, if that is 0, not later than `late_ms` after its time.
	void end_and_check(int64_t late_ms, int64_t latest_ns = 0)
	{
		for (size_t i = 0; i < cases_.size(); i++)
			EXPECT_FALSE(cases_[i].kind == WaitCase::kForever && reports_[i].done)
				<< cases_[i].name << ": " << reports_[i].result << ' ' << strerror(reports_[i].error);
		for (size_t i = 0; i < cases_.size(); i++)
			if (cases_[i].trigger)
				cases_[i].trigger(reports_[i].tid);
		auto deadline = Clock::now() + 5s * selftests::patience();
		while (::waitpid(root_, nullptr, WNOHANG) == 0 && Clock::now() < deadline)
			std::this_thread::sleep_for(2ms);
		for (size_t i = 0; i < cases_.size(); i++)
			check(cases_[i], reports_[i], timeout_ms_,
			      latest_ns ? latest_ns : reports_[i].start_ns + (timeout_ms_ + late_ms) * 1'000'000);
	}

	void TearDown() override
	{
		if (root_ > 0) {
			::kill(root_, SIGKILL);
			::waitpid(root_, nullptr, 0);
		}
		::munmap(reports_, size_);
	}

private:
	int64_t timeout_ms_;
	std::vector<WaitCase> cases_;
	size_t size_ = cases_.size() * sizeof(WaitReport);
	WaitReport *reports_ = static_cast<WaitReport *>(
		::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	Readers readers_;
	pid_t root_ = 0;
};

class TargetWaitsTest : public WaitsTest {
protected:
	TargetWaitsTest() : WaitsTest(kTimeoutMs) {}
};

class TargetLongWaitsTest : public WaitsTest {
protected:
	TargetLongWaitsTest() : WaitsTest(kLongTimeoutMs) {}
};

// Processes that take all the CPU time they get.
class BusyMachine {
public:
	BusyMachine()
	{
		for (pid_t &pid : pids_)
			if (pid = ::fork(); pid == 0) {
				::prctl(PR_SET_PDEATHSIG, SIGKILL);
				for (volatile bool busy = true; busy;)
					;
			}
	}
	BusyMachine(const BusyMachine &) = delete;
	BusyMachine &operator=(const BusyMachine &) = delete;
	~BusyMachine()
	{
		for (pid_t pid : pids_)
			if (pid > 0) {
				::kill(pid, SIGKILL);
				::waitpid(pid, nullptr, 0);
			}
	}

private:
	std::array<pid_t, 4> pids_ = {};
};

} // namespace

TEST_F(TargetWaitsTest, no_wait_notices_two_freezes)
{
	std::this_thread::sleep_for(150ms * selftests::patience());
	freeze(80ms * selftests::patience());
	std::this_thread::sleep_for(100ms * selftests::patience());
	freeze(80ms * selftests::patience());
	end_and_check(kLateMs);
}

// What reads a deadline, and what sees to it that it is kept, has no lock to rely on: now and then is not seldom
// enough.
TEST_F(TargetLongWaitsTest, no_wait_notices_freezes_in_a_row)
{
	std::this_thread::sleep_for(std::chrono::milliseconds(kLongBeforeMs));
	auto end = Clock::now() + 2500ms;
	for (int i = 0; i < 100 && Clock::now() < end; i++) {
		freeze(1ms);
		wait_until_all_sleep();
	}
	end_and_check(kLongBeforeMs * 9 / 10);
}

// What remains is nothing, and whoever has to read that waits for a CPU.
TEST_F(TargetWaitsTest, waits_that_are_due_at_the_end_of_a_freeze_end_on_a_busy_machine)
{
	BusyMachine busy;
	std::this_thread::sleep_for(100ms);
	freeze(std::chrono::milliseconds(kTimeoutMs - 100));
	end_and_check(kLateMs, monotonic_ns() + kTimeoutMs / 2 * 1'000'000);
}

} // namespace bpfckpt::target
