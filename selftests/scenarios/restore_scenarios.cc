// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "selftests/scenarios/driver.h"
#include "selftests/scenarios/process.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <thread>

#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bpfckpt::selftests {

TEST(Restore, threads_go_on_and_can_be_joined)
{
	run_scenario("restore_threads");
}

TEST(Restore, sessions_and_groups_outlive_their_leaders)
{
	run_scenario("restore_tree");
}

TEST(Restore, root_directories_login_uid_and_a_zombie_that_was_killed)
{
	run_scenario("restore_roots");
}

TEST(Restore, stacks_grow_sparse_memory_stays_sparse_and_mutexes_are_handed_on)
{
	run_scenario("restore_growth");
}

TEST(Restore, a_pid_in_use_is_named_and_nothing_is_created)
{
	Scenario s;
	SCENARIO_START(s, "harness_idle");
	DumpResult dumped = s.dump({"-R"});
	ASSERT_EQ(dumped.exit, 0);
	Output restored = bpfckpt({"restore", "-d", "-D", dumped.dir});
	EXPECT_EQ(restored.exit, 6);
	EXPECT_NE(restored.err.find("is in use by pid " + std::to_string(s.pid()) + " (harness_idle)"),
		  std::string::npos)
		<< restored.err;
	EXPECT_TRUE(s.check_target());
	EXPECT_TRUE(s.go());
}

namespace {

long clone_with_pid(pid_t number)
{
	clone_args clone = {};
	clone.exit_signal = SIGCHLD;
	clone.set_tid = reinterpret_cast<uint64_t>(&number);
	clone.set_tid_size = 1;
	return syscall(SYS_clone3, &clone, sizeof(clone));
}

// Killed, and for a while busy with giving back its memory, small page by small page.
pid_t start_dying(pid_t number)
{
	constexpr size_t kSize = 1 << 30;
	int ready[2];
	if (pipe(ready))
		return -1;
	auto pid = static_cast<pid_t>(clone_with_pid(number));
	if (pid == 0) {
		void *memory = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (memory == MAP_FAILED || madvise(memory, kSize, MADV_NOHUGEPAGE) ||
		    madvise(memory, kSize, MADV_POPULATE_WRITE) || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	char byte;
	bool is_ready = read(ready[0], &byte, 1) == 1;
	close(ready[0]);
	if (pid > 0)
		kill(pid, SIGKILL);
	if (!is_ready && pid > 0)
		waitpid(pid, nullptr, 0);
	return is_ready ? pid : -1;
}

} // namespace

TEST(Restore, a_pid_is_waited_for_while_its_holder_is_ending)
{
	Scenario s;
	SCENARIO_START(s, "harness_idle");
	ASSERT_TRUE(restore_obstacle().empty()) << restore_obstacle();
	DumpResult dumped = s.dump({});
	ASSERT_EQ(dumped.exit, 0);
	pid_t dying = start_dying(s.pid());
	if (dying < 0)
		GTEST_SKIP() << "no GiB of memory here, or its PID is taken";
	{
		std::jthread reaper([dying] { waitpid(dying, nullptr, 0); });
		Output dry = bpfckpt({"restore", "--dry-run", "-D", dumped.dir});
		EXPECT_EQ(dry.exit, 0) << dry.err;
	}
	ASSERT_TRUE(s.restore());
	EXPECT_TRUE(s.go());
}

namespace {

// A session whose leader has ended, and is waited for: its number is no process, and in use all the same.
class SessionOfNobody {
public:
	explicit SessionOfNobody(pid_t number)
	{
		long leader = clone_with_pid(number);
		if (leader == 0) {
			setsid();
			if (fork() == 0)
				for (;;)
					pause();
			_exit(0);
		}
		if (leader < 0)
			return;
		waitpid(static_cast<pid_t>(leader), nullptr, 0);
		for (const ProcessStat &process : all_processes())
			if (getsid(process.pid) == number)
				member_ = process.pid;
	}
	~SessionOfNobody()
	{
		if (member_ > 0 && kill(member_, SIGKILL) == 0)
			waitpid(member_, nullptr, 0);
	}
	SessionOfNobody(const SessionOfNobody &) = delete;
	SessionOfNobody &operator=(const SessionOfNobody &) = delete;
	[[nodiscard]] bool exists() const { return member_ > 0; }

private:
	pid_t member_ = 0; // ours, as an orphan: Scenario makes us a subreaper
};

} // namespace

// The one that restores a root with a parent death signal takes numbers from where these are.
TEST(Restore, helpers_do_without_numbers_of_sessions_without_a_leader)
{
	Scenario s;
	SCENARIO_START(s, "task_credentials");
	pid_t pid = std::min(32700, std::stoi(slurp("/proc/sys/kernel/pid_max")) - 1);
	while (kill(pid, 0) == 0 || errno != ESRCH)
		pid--;
	SessionOfNobody session(pid);
	ASSERT_TRUE(session.exists()) << pid;
	ASSERT_LT(kill(pid, 0), 0);
	ASSERT_EQ(s.dump({}).exit, 0);
	ASSERT_TRUE(s.restore());
	EXPECT_TRUE(s.go());
}

TEST(Restore, a_file_that_changed_is_named_and_nothing_is_created)
{
	Scenario s;
	SCENARIO_START(s, "file_named");
	DumpResult dumped = s.dump({});
	ASSERT_EQ(dumped.exit, 0);
	for (const auto &entry : std::filesystem::directory_iterator(s.work_dir()))
		if (entry.is_regular_file())
			std::filesystem::resize_file(entry.path(), std::filesystem::file_size(entry.path()) + 1);
	Output restored = bpfckpt({"restore", "-d", "-D", dumped.dir});
	EXPECT_EQ(restored.exit, 6) << restored.err;
	EXPECT_NE(restored.err.find(s.work_dir()), std::string::npos) << restored.err;
	EXPECT_LT(kill(s.pid(), 0), 0) << "a process was left behind";
}

TEST(Restore, a_dry_run_creates_nothing)
{
	Scenario s;
	SCENARIO_START(s, "harness_idle");
	DumpResult dumped = s.dump({});
	ASSERT_EQ(dumped.exit, 0);
	Output plan = bpfckpt({"restore", "--dry-run", "-D", dumped.dir});
	EXPECT_EQ(plan.exit, 0) << plan.err;
	EXPECT_NE(plan.out.find("creates pid " + std::to_string(s.pid())), std::string::npos) << plan.out;
	Output stats = bpfckpt({"restore", "--dry-run", "--stats", "json", "-D", dumped.dir});
	EXPECT_EQ(stats.exit, 0) << stats.err;
	Json told = Json::parse(stats.out, nullptr, false);
	EXPECT_EQ(told.value("dry_run", false), true) << stats.out;
	EXPECT_EQ(told.value("processes", 0), 1) << stats.out;
	EXPECT_LT(kill(s.pid(), 0), 0);
}

namespace {

// As a shell does: in a group of its own in the shell's session. That the restored program is stopped by then the
// kernel may take for a reason to end it (SIGHUP, SIGCONT).
int restore_as_job(const std::string &images, bool leave_stopped)
{
	std::string program = bpfckpt_path();
	pid_t shell = fork();
	if (shell == 0) {
		setsid();
		pid_t job = fork();
		if (job == 0) {
			setpgid(0, 0);
			execl(program.c_str(), program.c_str(), "restore", "-d", "-D", images.c_str(),
			      leave_stopped ? "-s" : nullptr, nullptr);
			_exit(127);
		}
		int status = 0;
		waitpid(job, &status, 0);
		_exit(WEXITSTATUS(status));
	}
	int status = -1;
	waitpid(shell, &status, 0);
	return status;
}

class StoppedRoot : public testing::TestWithParam<std::tuple<SessionRole, bool>> {};

} // namespace

TEST_P(StoppedRoot, stays_stopped_when_restore_ends)
{
	auto [role, by_restore] = GetParam();
	Scenario s;
	ASSERT_TRUE(s.start("file_eventfd", {}, role));
	auto is_stopped = [&] { return status_field(s.pid(), "State").starts_with('T'); };
	if (!by_restore) {
		kill(s.pid(), SIGSTOP);
		ASSERT_TRUE(eventually(is_stopped, kDeadline));
	}
	DumpResult dumped = s.dump({});
	ASSERT_EQ(dumped.exit, 0);
	ASSERT_EQ(restore_as_job(dumped.dir, by_restore), 0);
	EXPECT_TRUE(eventually(is_stopped, milliseconds(1000))) << status_field(s.pid(), "State");
	kill(s.pid(), SIGCONT);
	EXPECT_TRUE(s.go());
}

INSTANTIATE_TEST_SUITE_P(Restore, StoppedRoot,
			 testing::Combine(testing::Values(SessionRole::kGroupLeader, SessionRole::kMember),
					  testing::Bool()));

} // namespace bpfckpt::selftests
