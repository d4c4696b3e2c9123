// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The target is in the way: not there, not dumpable, or changing while it is frozen.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <optional>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftests/fault/fault_test.h"
#include "selftests/scenarios/process.h"

namespace bpfckpt::selftests {

constexpr int kGone = 1;
constexpr int kUsage = 2;
constexpr int kUnsupported = 3;
constexpr int kPermission = 4;
constexpr int kTimeout = 7;

static std::string unused_dir()
{
	const char *tmp = getenv("TMPDIR");
	return std::string(tmp ? tmp : "/tmp") + "/bpfckpt-test.unused." + std::to_string(getpid());
}

// Refused before anything was created.
static Output refused(pid_t pid)
{
	Output output = run_command(dump_command(pid, unused_dir()));
	EXPECT_NE(output.exit, 0);
	EXPECT_FALSE(std::filesystem::exists(unused_dir()));
	return output;
}

TEST_F(Fault, no_such_process)
{
	// Above any pid_max.
	expect_error(refused(1 << 23), kGone, "8388608");
	EXPECT_EQ(bpfckpt({"inspect", "-t", "8388608"}).exit, kGone);
	EXPECT_EQ(bpfckpt({"check", "-t", "8388608"}).exit, kGone);
}

TEST_F(Fault, no_process_at_all_is_a_usage_error)
{
	EXPECT_EQ(bpfckpt({"dump", "-t", "0", "-D", unused_dir()}).exit, 2);
	EXPECT_EQ(bpfckpt({"dump", "-t", "-1", "-D", unused_dir()}).exit, 2);
	EXPECT_EQ(bpfckpt({"dump", "-t", "one", "-D", unused_dir()}).exit, 2);
	EXPECT_EQ(bpfckpt({"dump", "-D", unused_dir()}).exit, 2);
	EXPECT_EQ(bpfckpt({"dump", "-t", "1"}).exit, 2);
	EXPECT_FALSE(std::filesystem::exists(unused_dir()));
}

TEST_F(Fault, kernel_thread)
{
	pid_t kernel_thread = 0;
	for (const ProcessStat &process : all_processes()) {
		if (process.ppid == 2)
			kernel_thread = process.pid;
	}
	if (!kernel_thread)
		GTEST_SKIP() << "no kernel thread in this PID namespace";
	expect_error(refused(kernel_thread), kUsage, "kernel thread");
}

TEST_F(Fault, own_ancestor)
{
	expect_error(refused(getpid()), kUsage, "ancestor");
}

TEST_F(Fault, itself)
{
	std::string command = "exec " + bpfckpt_path() + " dump -R -t $$ -D " + unused_dir();
	expect_error(run_command({"sh", "-c", command}), kUsage, "itself");
}

TEST_F(Fault, tree_across_a_pid_namespace)
{
	Scenario target;
	SCENARIO_START(target, "fault/fault_pidns");
	expect_error(run_command(dump_command(target.pid(), target.new_image_dir())), kUnsupported, "namespace");
	expect_unharmed(target);
}

TEST_F(Fault, thread_that_cannot_stop_is_named_in_time)
{
	Scenario target;
	SCENARIO_START(target, "fault/fault_stuck");
	auto start = std::chrono::steady_clock::now();
	Output dumped = run_command(dump_command(target.pid(), target.new_image_dir(), {"-R", "--timeout", "1s"}),
				    milliseconds(10000));
	auto took = std::chrono::steady_clock::now() - start;
	expect_error(dumped, kTimeout, "fault_stuck");
	EXPECT_LT(took, milliseconds(3000));
	expect_unharmed(target);
}

TEST_F(Fault, thread_in_vfork_is_refused)
{
	Scenario target;
	SCENARIO_START(target, "fault/fault_vfork");
	expect_error(run_command(dump_command(target.pid(), target.new_image_dir())), kUnsupported, "vfork");
	expect_unharmed(target);
}

static void dump_again_and_again(Scenario &target, int times)
{
	for (int i = 0; i < times; i++) {
		SCOPED_TRACE("dump " + std::to_string(i));
		DumpResult dumped = target.dump({"-R"});
		ASSERT_EQ(dumped.exit, 0);
		EXPECT_TRUE(is_checkpoint(dumped.dir));
		expect_unharmed(target);
	}
}

TEST_F(Fault, target_that_forks_and_starts_threads_during_dumps)
{
	Scenario target;
	SCENARIO_START(target, "fault/fault_churn");
	dump_again_and_again(target, 20);
}

TEST_F(Fault, target_with_a_thousand_threads_that_come_and_go)
{
	Scenario target;
	SCENARIO_START(target, "fault/fault_churn", {"1000"});
	dump_again_and_again(target, 3);
}

// As strace and gdb do it.
TEST_F(Fault, target_of_a_debugger_is_refused)
{
	Scenario target;
	SCENARIO_START(target, "harness_idle");
	int told[2];
	ASSERT_EQ(pipe2(told, O_CLOEXEC), 0);
	pid_t debugger = fork();
	if (debugger == 0) {
		char seized = ptrace(PTRACE_SEIZE, target.pid(), nullptr, nullptr) == 0;
		(void)!write(told[1], &seized, 1);
		for (;;)
			pause();
	}
	char seized = 0;
	ASSERT_EQ(read(told[0], &seized, 1), 1);
	ASSERT_TRUE(seized);
	expect_error(refused(target.pid()), kUnsupported, "is traced by pid " + std::to_string(debugger));
	kill(debugger, SIGKILL);
	waitpid(debugger, nullptr, 0);
	close(told[0]);
	close(told[1]);
	expect_unharmed(target);
}

// It ends at any moment of the look.
TEST_F(Fault, target_that_ends_while_check_looks)
{
	for (int life_ms = 10; life_ms <= 200; life_ms += 10) {
		pid_t pid = fork();
		if (pid == 0) {
			usleep(static_cast<useconds_t>(life_ms) * 1000);
			_exit(0);
		}
		Output output = bpfckpt({"check", "-t", std::to_string(pid)});
		EXPECT_EQ((output.out + output.err).find("is the root of the tree"), std::string::npos)
			<< output.out << output.err;
		waitpid(pid, nullptr, 0);
	}
}

TEST_F(Fault, file_whose_name_is_covered_by_a_mount)
{
	Scenario target;
	SCENARIO_START(target, "fault/fault_covered");
	DumpResult before = target.dump({"-R"});
	EXPECT_EQ(before.exit, 0) << before.err;
	for (bool same_name : {false, true}) {
		SCOPED_TRACE(same_name);
		Tmpfs cover(target.work_dir() + "/sub", "size=1m");
		ASSERT_TRUE(cover.mounted());
		if (same_name)
			touch(target.work_dir() + "/sub/file");
		expect_error(run_command(dump_command(target.pid(), target.new_image_dir())), kUnsupported,
			     same_name ? "leads to another file" : "leads nowhere");
		EXPECT_EQ(bpfckpt({"check", "-t", std::to_string(target.pid())}).exit, kUnsupported);
	}
	expect_unharmed(target);
}

TEST_F(Fault, who_may_not_end_the_tree_is_told_before)
{
	Scenario target;
	SCENARIO_START(target, "fault/fault_other_user");
	auto dump = [&](const Args &options) {
		Args command{"setpriv", "--bounding-set=-kill"};
		Args rest = dump_command(target.pid(), target.new_image_dir(), options);
		command.insert(command.end(), rest.begin(), rest.end());
		return run_command(command);
	};
	for (const Args &options : {Args(), Args{"-s"}})
		expect_error(dump(options), kPermission, "CAP_KILL");
	EXPECT_EQ(dump({"-R"}).exit, 0);
	expect_unharmed(target);
}

TEST_F(Fault, working_directory_on_a_file_system_that_the_tree_serves)
{
	Scenario target;
	SCENARIO_START(target, "fault/fault_fuse");
	Output dumped = run_command(dump_command(target.pid(), target.new_image_dir()));
	expect_error(dumped, kUnsupported, "/dev/fuse");
	EXPECT_EQ(dumped.err.find("working directory"), std::string::npos) << dumped.err;
	expect_unharmed(target);
	umount2((target.work_dir() + "/mount").c_str(), MNT_DETACH);
}

// Others may live there, too.
TEST_F(Fault, working_directory_on_a_file_system_that_others_serve)
{
	Scenario server;
	SCENARIO_START(server, "fault/fault_fuse");
	std::string mount = server.work_dir() + "/mount";
	for (bool covered : {false, true}) {
		SCOPED_TRACE(covered);
		pid_t pid = fork();
		if (pid == 0) {
			if (chdir((mount + "/sub").c_str()) == 0)
				pause();
			_exit(1);
		}
		std::error_code error;
		auto lives_there = [&] {
			return std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/cwd", error) ==
			       mount + "/sub";
		};
		EXPECT_TRUE(eventually(lives_there, milliseconds(5000)));
		std::optional<Tmpfs> cover;
		if (covered)
			cover.emplace(server.work_dir() + "/mount", "size=1m");
		Output checked = bpfckpt({"check", "-t", std::to_string(pid)});
		bool named = checked.out.find("its working directory is not the one") != std::string::npos;
		EXPECT_EQ(named, covered) << checked.out << checked.err;
		kill(pid, SIGKILL);
		waitpid(pid, nullptr, 0);
	}
	umount2(mount.c_str(), MNT_DETACH);
}

// Between the look for processes and the freeze a child may lose its parent, and become somebody else's.
TEST_F(Fault, target_whose_processes_leave_their_children)
{
	Scenario target;
	SCENARIO_START(target, "fault/fault_orphans");
	for (int i = 0; i < 30 && !HasFailure(); i++) {
		SCOPED_TRACE("dump " + std::to_string(i));
		Output dumped = run_command(dump_command(target.pid(), target.new_image_dir()));
		EXPECT_TRUE(dumped.exit == 0 || dumped.exit == 1) << dumped.exit << dumped.err;
		expect_unharmed(target);
	}
}

TEST_F(Fault, target_that_executes_itself_during_dumps)
{
	Scenario target;
	SCENARIO_START(target, "fault/fault_exec");
	for (int i = 0; i < 20; i++) {
		SCOPED_TRACE("dump " + std::to_string(i));
		std::string dir = target.new_image_dir();
		Output dumped = run_command(dump_command(target.pid(), dir));
		EXPECT_TRUE(dumped.exit == 0 || dumped.exit == 1) << dumped.exit << dumped.err;
		EXPECT_EQ(is_checkpoint(dir), dumped.exit == 0);
		ASSERT_TRUE(target.check_target());
	}
	EXPECT_EQ(target.stop().exit, 0);
}

TEST_F(Fault, target_that_ends_during_a_dump)
{
	// From before the first look at it until after the freeze.
	for (int after_ms = 0; after_ms < 150; after_ms += 5) {
		SCOPED_TRACE("ends after " + std::to_string(after_ms) + " ms");
		Scenario target;
		SCENARIO_START(target, "fault/fault_exit", {std::to_string(after_ms)});
		std::string dir = target.new_image_dir();
		Output dumped = run_command(dump_command(target.pid(), dir));
		EXPECT_TRUE(dumped.exit == 0 || dumped.exit == kGone) << dumped.exit << dumped.err;
		EXPECT_EQ(is_checkpoint(dir), dumped.exit == 0);
		// What is left of a process that has exited is no checkpoint of it.
		if (dumped.exit == 0) {
			Json shown = Json::parse(bpfckpt({"show", dir, "--json"}).out);
			EXPECT_EQ(shown["processes"][0]["state"], "RUNNING");
		}
		EXPECT_EQ(target.stop().exit, 9);
	}
}

TEST_F(Fault, target_that_is_traced_by_another)
{
	Scenario target;
	SCENARIO_START(target, "harness_idle");
	// The second dump meets the first one's hold on the target, or comes before or after it.
	std::string twice =
		bpfckpt_path() + " dump -R -t " + std::to_string(target.pid()) + " -D " + target.new_image_dir();
	std::string other =
		bpfckpt_path() + " dump -R -t " + std::to_string(target.pid()) + " -D " + target.new_image_dir();
	Output both =
		run_command({"sh", "-c", twice + " & " + other + "; a=$?; wait $!; b=$?; [ $a = 0 ] || [ $b = 0 ]"});
	EXPECT_EQ(both.exit, 0) << both.err;
	expect_unharmed(target);
}

} // namespace bpfckpt::selftests
