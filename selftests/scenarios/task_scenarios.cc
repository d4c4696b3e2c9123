// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <filesystem>
#include <fstream>
#include <set>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "selftests/scenarios/driver.h"
#include "selftests/scenarios/process.h"
#include "user/util/unique_fd.h"

namespace bpfckpt::selftests {

static Json only(const Json &array, const char *key, const Json &value)
{
	Json found = where(array, key, value);
	EXPECT_EQ(found.size(), 1u) << key << " " << value;
	return found.empty() ? Json::object() : found[0];
}

// inspect, dump -R and show of a program whose facts the assertions need; then what the program itself says.
static void verify_all(Scenario &s, const std::function<void(const Json &)> &verify)
{
	verify(s.inspect());
	EXPECT_TRUE(s.go());
	ASSERT_EQ(s.dump({"-R"}).exit, 0);
	verify(s.show());
	EXPECT_TRUE(s.go());
	EXPECT_TRUE(s.check_target());
	if (!restore_obstacle().empty())
		return;
	s.dump({});
	ASSERT_TRUE(s.restore());
	EXPECT_TRUE(s.go());
}

TEST(Task, credentials)
{
	Scenario s;
	SCENARIO_START(s, "task_credentials");
	verify_all(s, [](const Json &document) {
		const Json &thread = document["processes"][0]["threads"][0];
		const Json &credentials = thread["credentials"];
		EXPECT_EQ(credentials["uid"], 1001);
		EXPECT_EQ(credentials["euid"], 1002);
		EXPECT_EQ(credentials["suid"], 1003);
		EXPECT_EQ(credentials["fsuid"], 1004);
		EXPECT_EQ(credentials["gid"], 2001);
		EXPECT_EQ(credentials["egid"], 2002);
		EXPECT_EQ(credentials["sgid"], 2003);
		EXPECT_EQ(credentials["fsgid"], 2004);
		ASSERT_EQ(credentials["groups"].size(), 40u);
		EXPECT_EQ(credentials["groups"][0], 3000);
		EXPECT_EQ(credentials["groups"][39], 4000000000u);
		EXPECT_EQ(number(credentials["cap_effective"]), 1u << 1 | 1u << 5);
		EXPECT_EQ(number(credentials["cap_permitted"]), 1u << 1 | 1u << 5 | 1u << 0);
		EXPECT_EQ(number(credentials["cap_inheritable"]), 1u << 5 | 1u << 22);
		EXPECT_EQ(number(credentials["cap_ambient"]), 1u << 5);
		EXPECT_EQ(number(credentials["cap_bounding"]) >> 22 & 1, 0u);
		EXPECT_NE(number(credentials["cap_bounding"]), 0u);
		EXPECT_EQ(credentials["securebits"], 1 << 2);
		EXPECT_TRUE(credentials["no_new_privs"]);
		EXPECT_EQ(thread["parent_death_signal"], SIGUSR2);
		EXPECT_EQ(document["processes"][0]["dumpable"], 1);
	});
}

TEST(Task, every_register_of_threads_that_run)
{
	run_scenario("task_registers");
}

static void expect_pending(const Json &queue, size_t index, unsigned signal, int code)
{
	ASSERT_LT(index, queue.size());
	EXPECT_EQ(queue[index]["signal"], signal);
	EXPECT_EQ(queue[index]["code"], code);
	EXPECT_EQ(queue[index]["timer"], -1);
	EXPECT_FALSE(queue[index]["siginfo"].empty());
}

TEST(Task, more_signals_wait_than_the_limit_allows)
{
	run_scenario("task_signal_limit");
}

TEST(Task, signals)
{
	Scenario s;
	SCENARIO_START(s, "task_signals");
	unsigned realtime = std::stoul(s.fact("realtime"));
	verify_all(s, [&](const Json &document) {
		const Json &process = document["processes"][0];
		Json queue = process["pending_signals"];
		ASSERT_EQ(queue.size(), 4u);
		expect_pending(queue, 0, realtime, SI_QUEUE);
		expect_pending(queue, 1, realtime + 1, SI_QUEUE);
		expect_pending(queue, 2, realtime, SI_QUEUE);
		expect_pending(queue, 3, SIGUSR1, SI_USER);
		ASSERT_EQ(process["threads"].size(), 2u);
		for (const Json &thread : process["threads"]) {
			ASSERT_EQ(thread["pending_signals"].size(), 3u);
			expect_pending(thread["pending_signals"], 0, realtime + 2, SI_QUEUE);
			expect_pending(thread["pending_signals"], 1, realtime + 2, SI_QUEUE);
			expect_pending(thread["pending_signals"], 2, SIGUSR2, SI_TKILL);
		}
		const Json &leader = process["threads"][0];
		EXPECT_EQ(number(leader["signal_mask"]),
			  1u << (SIGUSR1 - 1) | 1u << (SIGUSR2 - 1) | 7ul << (realtime - 1));
		EXPECT_EQ(number(leader["altstack"]["sp"]), std::stoul(s.fact("stack")));
		EXPECT_EQ(number(leader["altstack"]["size"]), 64u << 10);
		Json second = only(process["threads"], "tid", std::stoul(s.fact("thread")));
		EXPECT_EQ(number(second["signal_mask"]) >> (SIGWINCH - 1) & 1, 0u);
		EXPECT_EQ(number(second["signal_mask"]) >> (SIGHUP - 1) & 1, 1u);
		Json usr1 = only(process["signal_actions"], "signal", SIGUSR1);
		EXPECT_EQ(number(usr1["handler"]), std::stoul(s.fact("handler")));
		EXPECT_EQ(number(usr1["mask"]), 1u << (SIGHUP - 1));
		EXPECT_EQ(number(only(process["signal_actions"], "signal", SIGPIPE)["handler"]), 1u);
		EXPECT_EQ(where(process["signal_actions"], "signal", SIGINT).size(), 0u);
	});
}

TEST(Task, scheduling_and_limits)
{
	Scenario s;
	SCENARIO_START(s, "task_scheduling");
	verify_all(s, [&](const Json &document) {
		const Json &process = document["processes"][0];
		const Json &leader = process["threads"][0];
		EXPECT_EQ(leader["scheduling"]["policy"], SCHED_BATCH);
		EXPECT_EQ(leader["scheduling"]["nice"], 7);
		EXPECT_EQ(leader["scheduling"]["affinity"], "AQ=="); // one byte, bit 0
		EXPECT_EQ(leader["scheduling"]["ioprio"], 2 << 13 | 3);
		EXPECT_EQ(number(leader["timer_slack_ns"]), 123456u);
		EXPECT_EQ(leader["personality"], 0x0040000);
		EXPECT_EQ(number(leader["robust_list"]), std::stoul(s.fact("robust_list")));
		EXPECT_EQ(number(leader["clear_child_tid"]), std::stoul(s.fact("clear_child_tid")));
		EXPECT_NE(number(leader["rseq"]["address"]), 0u);
		EXPECT_EQ(leader["rseq"]["signature"], 0x53053053);
		Json second = only(process["threads"], "tid", std::stoul(s.fact("thread")));
		EXPECT_EQ(second["comm"], "second one");
		EXPECT_EQ(second["scheduling"]["policy"], SCHED_FIFO);
		EXPECT_EQ(second["scheduling"]["priority"], 5);
		EXPECT_EQ(second["scheduling"]["nice"], 4);
		EXPECT_TRUE(second["scheduling"]["reset_on_fork"]);
		EXPECT_EQ(process["umask"], 027);
		EXPECT_EQ(process["oom_score_adj"], 321);
		EXPECT_EQ(process["coredump_filter"], 0);
		Json files = only(process["limits"], "resource", 7);
		EXPECT_EQ(number(files["soft"]), 77u);
		EXPECT_EQ(number(files["hard"]), 99u);
		EXPECT_EQ(number(only(process["limits"], "resource", 4)["hard"]), ~0ull);
	});
}

// As ionice and setarch give it what it runs with.
TEST(Task, settings_of_bpfckpt_are_not_those_of_what_it_restores)
{
	constexpr int kIdle = 3 << 13, kProcess = 1;
	Scenario s;
	SCENARIO_START(s, "task_tree");
	ASSERT_TRUE(restore_obstacle().empty()) << restore_obstacle();
	ASSERT_EQ(s.dump({}).exit, 0);
	Json before = s.show({})["processes"][0]["threads"][0];
	long priority = syscall(SYS_ioprio_get, kProcess, 0);
	int slack = prctl(PR_GET_TIMERSLACK), own = personality(0xffffffff);
	ASSERT_EQ(syscall(SYS_ioprio_set, kProcess, 0, kIdle), 0);
	personality(static_cast<unsigned long>(own) | ADDR_NO_RANDOMIZE);
	prctl(PR_SET_TIMERSLACK, 77'777);
	bool restored = s.restore();
	prctl(PR_SET_TIMERSLACK, slack);
	personality(static_cast<unsigned long>(own));
	ASSERT_EQ(syscall(SYS_ioprio_set, kProcess, 0, priority), 0);
	ASSERT_TRUE(restored);
	Json after = s.inspect({})["processes"][0]["threads"][0];
	for (const char *key : {"timer_slack_ns", "personality", "scheduling"})
		EXPECT_EQ(before[key], after[key]) << key;
	EXPECT_TRUE(s.go());
}

TEST(Task, what_prctl_and_its_kin_have_set)
{
	Scenario s;
	SCENARIO_START(s, "task_attributes");
	verify_all(s, [&](const Json &document) {
		const Json &layout = document["memory"][0]["layout"];
		EXPECT_EQ(layout["membarrier"], 1 << 4 | 1 << 2);
		EXPECT_EQ(layout["mdwe"], s.fact("mdwe") == "1" ? 3 : 0);
		EXPECT_EQ(layout["memory_merge"], s.fact("merge") == "1");
		const Json &threads = document["processes"][0]["threads"];
		ASSERT_EQ(threads.size(), 2u);
		EXPECT_EQ(threads[0]["tsc_mode"], 0);
		EXPECT_EQ(threads[1]["tsc_mode"], 2);
		EXPECT_FALSE(threads[0]["mce_kill_set"]);
		EXPECT_EQ(threads[1]["mce_kill"], 1);
		EXPECT_EQ(number(threads[1]["scheduling"]["runtime_ns"]), s.fact("slice") == "1" ? 3000000u : 0);
		if (s.fact("policy") == "1") {
			EXPECT_EQ(threads[1]["memory_policy"]["mode"], 2 | 1 << 15);
			EXPECT_EQ(threads[1]["memory_policy"]["nodes"], "AQ==");
		}
	});
}

TEST(Task, deadline_scheduling)
{
	run_scenario("task_oddities", {.args = {"deadline"}});
}

TEST(Task, hundreds_of_zombies)
{
	run_scenario("task_oddities", {.args = {"zombies"}});
}

// Who belongs to a tree is found among all tasks of the system.
TEST(Task, a_small_process_beside_thousands_of_threads)
{
	Scenario crowd, scenario;
	SCENARIO_START(crowd, "bench/bench_objects", {"threads", "4200"});
	SCENARIO_START(scenario, "harness_idle");
	EXPECT_EQ(scenario.inspect()["processes"].size(), 1u);
	EXPECT_EQ(bpfckpt({"check", "-t", std::to_string(scenario.pid())}).exit, 0);
}

TEST(Task, root_of_its_own_with_the_working_directory_outside)
{
	run_scenario("task_oddities", {.args = {"jail"}});
}

TEST(Task, working_directory_that_is_called_deleted)
{
	run_scenario("task_oddities", {.args = {"misnamed"}});
}

TEST(Task, program_that_is_deleted)
{
	run_scenario("task_oddities", {.args = {"exe"}});
}

// The second thread is; but when it has lost the CPU it is on its way back to it.
static bool is_in_critical_section(Scenario &s)
{
	if (s.dump({"-R"}).exit != 0)
		return false;
	const Json threads = s.show()["processes"][0]["threads"];
	EXPECT_EQ(threads.size(), 2u);
	EXPECT_EQ(number(threads[0]["rseq"]["critical_section"]), 0u);
	return number(threads[1]["rseq"]["critical_section"]) != 0;
}

TEST(Task, restartable_sequence_is_aborted)
{
	Scenario s;
	SCENARIO_START(s, "task_rseq");
	EXPECT_TRUE(eventually([&] { return is_in_critical_section(s); }, milliseconds(10000)));
	EXPECT_TRUE(s.go());
	if (!restore_obstacle().empty())
		return;
	for (int round = 0; round < 2; round++) {
		ASSERT_EQ(s.dump({}).exit, 0);
		ASSERT_TRUE(s.restore());
		EXPECT_TRUE(s.go());
	}
}

TEST(Task, tree_with_zombies_stopped_and_adopted_children)
{
	Scenario s;
	SCENARIO_START(s, "task_tree");
	verify_all(s, [&](const Json &document) {
		const Json &processes = document["processes"];
		ASSERT_EQ(processes.size(), 8u);
		EXPECT_EQ(processes[0]["pid"], s.pid());
		EXPECT_TRUE(processes[0]["child_subreaper"]);
		auto child = [&](const char *name) { return only(processes, "pid", std::stoul(s.fact(name))); };
		for (const char *name :
		     {"exited", "killed", "stopped", "stopped_seen", "in_group", "in_session", "orphan"}) {
			EXPECT_EQ(child(name)["ppid"], s.pid()) << name;
			EXPECT_EQ(child(name)["exit_signal"], SIGCHLD) << name;
		}
		EXPECT_EQ(child("exited")["state"], "ZOMBIE");
		EXPECT_EQ(child("exited")["exit_status"], 7 << 8);
		EXPECT_EQ(child("killed")["state"], "ZOMBIE");
		EXPECT_EQ(child("killed")["exit_status"], SIGTERM);
		EXPECT_EQ(child("stopped")["state"], "STOPPED");
		EXPECT_EQ(child("stopped")["stop_signal"], SIGTSTP);
		EXPECT_FALSE(child("stopped")["stop_reported"]);
		EXPECT_EQ(child("stopped_seen")["state"], "STOPPED");
		EXPECT_EQ(child("stopped_seen")["stop_signal"], SIGSTOP);
		EXPECT_TRUE(child("stopped_seen")["stop_reported"]);
		EXPECT_EQ(child("in_group")["pgid"], child("in_group")["pid"]);
		EXPECT_EQ(child("in_group")["sid"], processes[0]["sid"]);
		EXPECT_EQ(child("in_session")["sid"], child("in_session")["pid"]);
		EXPECT_EQ(child("orphan")["state"], "RUNNING");
	});
}

TEST(Task, threads_with_credentials_of_their_own)
{
	run_scenario("task_thread_credentials");
}

TEST(Task, stopped_children_with_threads)
{
	run_scenario("task_stopped");
}

TEST(Task, signals_wait_for_stopped_children)
{
	run_scenario("task_stopped_signals");
}

TEST(Task, a_child_stays_stopped_by_a_signal_that_it_blocks)
{
	// Round 1 must come before any restore.
	run_scenario("task_stopped_otherwise", {.args = {"blocked"}, .always_leave_running = true});
}

TEST(Task, a_child_stays_stopped_whose_group_is_orphaned_by_now)
{
	run_scenario("task_stopped_otherwise", {.args = {"orphaned"}, .always_leave_running = true});
}

TEST(Task, a_process_goes_on_without_its_first_thread)
{
	constexpr unsigned kPidfdThread = O_EXCL; // PIDFD_THREAD, v6.9
	if (!UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, getpid(), kPidfdThread))).valid())
		return run_refusal("task_exited_leader", "its first thread has exited: this kernel gives no access");
	run_scenario("task_exited_leader", {.verify = [](const Json &document) {
			     Json process = only(document["processes"], "comm", "exited one");
			     const Json &leader = process["threads"][0];
			     EXPECT_EQ(leader["role"], "EXITED_LEADER");
			     EXPECT_EQ(leader["exit_status"], 7 << 8);
			     EXPECT_FALSE(leader.contains("syscall"));
			     EXPECT_EQ(process["threads"].size(), 3u);
			     EXPECT_EQ(process["threads"][1]["role"], "USER");
			     EXPECT_EQ(process["cwd"], "/proc/sys");
			     EXPECT_EQ(process["umask"], 0123);
			     EXPECT_GE(process["files"].size(), 8u);
			     EXPECT_NE(process["address_space"], 0);
		     }});
}

TEST(Task, children_are_those_of_their_thread)
{
	run_scenario("task_parents", {.verify = [](const Json &document) {
			     const Json &root = document["processes"][0];
			     std::set<unsigned> parents;
			     for (const Json &process : document["processes"])
				     if (process["ppid"] == root["pid"])
					     parents.insert(process.value("parent_tid", 0U));
			     // Of the leader, of the third and of the fourth thread; the second has none.
			     EXPECT_EQ(parents,
				       (std::set<unsigned>{0, root["threads"][2]["tid"], root["threads"][3]["tid"]}));
		     }});
}

TEST(Task, exit_signals_of_children)
{
	run_scenario("task_exit_signal");
}

TEST(Task, refused_by_name)
{
	run_refusal("task_refused", "has seccomp filters", {}, {"seccomp"});
	run_refusal("task_refused", "is in another uts namespace", {}, {"uts"});
	run_refusal("task_refused", "is in another pid namespace", {}, {"pid"});
	run_refusal("task_refused", "system call user dispatch", {}, {"dispatch"});
	run_refusal("task_refused", "(CLONE_VM)", {}, {"vm"});
	run_refusal("task_refused", "shares its descriptors with pid", {}, {"files"});
	run_refusal("task_refused", "shares its working directory with pid", {}, {"fs"});
	run_refusal("task_refused", "has SIGTRAP pending", {}, {"sigtrap"});
}

TEST(Task, what_a_thread_cannot_be_given_is_refused)
{
	run_refusal("task_refused", "has 1001 supplementary groups", {}, {"groups"});
	run_refusal("task_refused", "has signal 10 pending, and its first thread has ended", {}, {"heir"});
}

// One test each: a kernel may lack any of them.
struct Refused {
	const char *state, *message;
};

class TaskRefused : public testing::TestWithParam<Refused> {};

TEST_P(TaskRefused, by_name)
{
	run_refusal("task_marks", GetParam().message, {}, {GetParam().state});
}

INSTANTIATE_TEST_SUITE_P(Task, TaskRefused,
			 testing::Values(Refused{"keyring", "has a keyring"}, Refused{"sem_undo", "SEM_UNDO"},
					 Refused{"segment", "set_thread_area"}, Refused{"ldt", "modify_ldt"},
					 Refused{"timers", "PR_TIMER_CREATE_RESTORE_IDS"},
					 Refused{"terminal", "controlling terminal"},
					 Refused{"private_files", "fd table of its own"},
					 Refused{"landlock", "is in a Landlock domain"},
					 Refused{"landlock_thread", "is in a Landlock domain"},
					 Refused{"children", "is in another pid_for_children namespace"},
					 Refused{"detached_directory", "its working directory is not the one that"},
					 Refused{"detached_root", "its root directory is not the one that"},
					 Refused{"gone_directory", "is that of a process that is gone"}),
			 [](const auto &test) { return std::string(test.param.state); });

TEST(Task, another_security_label_is_refused)
{
	const std::filesystem::path policy = "/sys/kernel/security/apparmor/policy/namespaces";
	if (!std::filesystem::exists(policy))
		GTEST_SKIP() << "no AppArmor here";
	std::error_code ignored;
	std::filesystem::create_directory(policy / "bpfckpt_test", ignored);
	run_refusal("task_marks", "runs under the security label", {}, {"label"});
	run_refusal("task_marks", "runs under the security label", {}, {"label_thread"});
	std::filesystem::remove(policy / "bpfckpt_test", ignored);
}

// A dump gives up at the freeze already; check says it without trying.
TEST(Task, traced_by_another_is_refused_by_check_and_dump)
{
	Scenario s;
	SCENARIO_START(s, "task_refused", {"traced"});
	Output output = bpfckpt({"check", "-t", std::to_string(s.pid())});
	std::string tracer = "is traced by pid " + std::to_string(s.pid());
	EXPECT_EQ(output.exit, 3);
	EXPECT_NE((output.out + output.err).find(tracer), std::string::npos) << output.out << output.err;
	DumpResult dumped = s.dump({"-R"}, 3);
	EXPECT_NE(dumped.err.find(tracer), std::string::npos) << dumped.err;
}

TEST(Task, programs_of_32_bits_are_refused_by_check_and_dump)
{
	Scenario probe;
	std::string program = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "task_ia32";
	if (run_command({"/bin/sh", "-c", "cd " + probe.work_dir() + " && touch stop && exec " + program}).exit)
		GTEST_SKIP() << "this kernel runs no 32-bit programs";
	Scenario s;
	SCENARIO_START(s, "task_ia32");
	Output check = bpfckpt({"check", "-t", std::to_string(s.pid())});
	EXPECT_EQ(check.exit, 3);
	EXPECT_NE((check.out + check.err).find("runs 32-bit code"), std::string::npos) << check.out << check.err;
	DumpResult dumped = s.dump({"-R"}, 3);
	EXPECT_NE(dumped.err.find("runs 32-bit code"), std::string::npos) << dumped.err;
	EXPECT_TRUE(s.check_target());
	EXPECT_TRUE(s.go());
}

static void set_debug_registers(pid_t pid, unsigned long address, unsigned long control)
{
	int status;
	ASSERT_EQ(ptrace(PTRACE_SEIZE, pid, 0, 0), 0);
	ASSERT_EQ(ptrace(PTRACE_INTERRUPT, pid, 0, 0), 0);
	ASSERT_EQ(waitpid(pid, &status, __WALL), pid);
	EXPECT_EQ(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[0]), address), 0);
	EXPECT_EQ(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[7]), control), 0);
	ASSERT_EQ(ptrace(PTRACE_DETACH, pid, 0, 0), 0);
}

// CRIU leaves some that are switched off, after every dump.
TEST(Task, breakpoints_of_a_debugger_are_refused_while_they_are_on)
{
	constexpr unsigned long kOnWrite = 1 | 1 << 16; // L0, R/W0: a byte is written
	Scenario s;
	SCENARIO_START(s, "harness_idle");
	set_debug_registers(s.pid(), 4096, kOnWrite);
	Output output = bpfckpt({"check", "-t", std::to_string(s.pid())});
	EXPECT_EQ(output.exit, 3);
	EXPECT_NE(output.out.find("breakpoints"), std::string::npos) << output.out;
	set_debug_registers(s.pid(), 4096, 0);
	EXPECT_EQ(s.dump({"-R"}).exit, 0);
	EXPECT_TRUE(s.go());
}

TEST(Task, nested_pid_namespace_is_shown)
{
	Scenario s;
	SCENARIO_START(s, "task_refused", {"pid"});
	Json child = only(s.inspect()["processes"], "pid", std::stoul(s.fact("child")));
	EXPECT_EQ(child["ns_pids"], Json::array({1}));
	EXPECT_EQ(child["ppid"], s.pid());
	EXPECT_FALSE(only(child["namespaces"], "type", "pid")["own"]);
	EXPECT_TRUE(only(child["namespaces"], "type", "mnt")["own"]);
}

// As in a container: all numbers are those of the namespace that bpfckpt is in itself.
TEST(Task, numbers_are_those_of_the_own_pid_namespace)
{
	Output output = run_command(
		{"unshare", "--pid", "--fork", "--mount-proc", "sh", "-c",
		 "sleep 60 </dev/null >/dev/null 2>&1 & " + bpfckpt_path() + " inspect --json --tasks -t $!; kill $!"});
	ASSERT_EQ(output.exit, 0) << output.err;
	Json document = Json::parse(output.out);
	ASSERT_EQ(document["processes"].size(), 1u);
	EXPECT_EQ(document["processes"][0]["pid"], 2);
	EXPECT_EQ(document["processes"][0]["ppid"], 1);
	EXPECT_EQ(document["processes"][0]["threads"][0]["tid"], 2);
	// Its group began outside.
	EXPECT_EQ(document["processes"][0]["pgid"], 0);
	EXPECT_EQ(document["processes"][0]["ns_pids"].size(), 0u);
	EXPECT_EQ(document["processes"][0]["comm"], "sleep");
}

} // namespace bpfckpt::selftests
