// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// No program sees an EINTR, or a different time, because it was frozen: all waits at once, in one tree, frozen twice.
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
#include "selftests/unit/wait_cases.h"
#include "user/target/frozen_tree.h"
#include "user/target/sleep_deadline.h"
#include "user/target/tree_scan.h"

namespace bpfckpt::target {

namespace {

using selftests::kTimeoutMs;
using selftests::wait_cases;
using selftests::WaitCase;
using selftests::WaitReport;
using namespace std::chrono_literals;

// Slack for a machine that is busy with other things; a time that starts anew is off by more.
constexpr int64_t kLateMs = 180;

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
	Result<iterators::SleeperReader> sleepers = iterators::SleeperReader::load();
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

void check(const WaitCase &wait, const WaitReport &report)
{
	SCOPED_TRACE(wait.name);
	ASSERT_TRUE(report.done);
	EXPECT_EQ(report.error, wait.error) << strerror(report.error);
	double ms = static_cast<double>(report.end_ns - report.start_ns) / 1e6;
	if (wait.kind != WaitCase::kForever) {
		EXPECT_GE(ms, kTimeoutMs - 1) << "ended early";
	}
	if (wait.kind == WaitCase::kExact) {
		EXPECT_LE(ms, kTimeoutMs + kLateMs) << "its time began anew";
	}
}

} // namespace

TEST(TargetWaitsTest, no_wait_notices_two_freezes)
{
	auto cases = wait_cases();
	auto *reports = static_cast<WaitReport *>(::mmap(nullptr, cases.size() * sizeof(WaitReport),
							 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	ASSERT_NE(reports, MAP_FAILED);
	Readers readers;
	ASSERT_TRUE(readers.sleepers && readers.tasks);
	pid_t root = start_all(cases, reports);
	auto deadline = Clock::now() + 10s;
	while (!all_sleep(cases, reports) && Clock::now() < deadline)
		std::this_thread::sleep_for(2ms);

	std::this_thread::sleep_for(150ms);
	freeze_for(readers, root, 80ms);
	std::this_thread::sleep_for(100ms);
	freeze_for(readers, root, 80ms);

	for (size_t i = 0; i < cases.size(); i++)
		EXPECT_FALSE(cases[i].kind == WaitCase::kForever && reports[i].done)
			<< cases[i].name << ": " << reports[i].result << ' ' << strerror(reports[i].error);
	for (size_t i = 0; i < cases.size(); i++)
		if (cases[i].trigger)
			cases[i].trigger(reports[i].tid);
	deadline = Clock::now() + 5s;
	while (::waitpid(root, nullptr, WNOHANG) == 0 && Clock::now() < deadline)
		std::this_thread::sleep_for(2ms);
	::kill(root, SIGKILL);
	::waitpid(root, nullptr, 0);
	for (size_t i = 0; i < cases.size(); i++)
		check(cases[i], reports[i]);
	::munmap(reports, cases.size() * sizeof(WaitReport));
}

} // namespace bpfckpt::target
