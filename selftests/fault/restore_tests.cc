// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A restore that fails, or dies, at any of its steps: the half-built tree is gone, no file is left, and the images can
// still be restored.
#include <fstream>

#include <fmt/core.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "selftests/fault/restore_test.h"
#include "selftests/fault/traced_command.h"

namespace fs = std::filesystem;

namespace bpfckpt::selftests {

namespace {

// A group of cgroup v1 with a limit, for the time of an object.
class Cgroup {
public:
	Cgroup(const std::string &controller, const std::string &limit, const std::string &value)
		: path_(fmt::format("/sys/fs/cgroup/{}/bpfckpt-test-{}", controller, getpid()))
	{
		made_ = fs::exists(fs::path(path_).parent_path() / "cgroup.procs") && !mkdir(path_.c_str(), 0755);
		if (made_)
			std::ofstream(path_ + "/" + limit) << value;
	}
	~Cgroup()
	{
		bool removed = !made_ || eventually([&] { return rmdir(path_.c_str()) == 0; }, kDeadline);
		EXPECT_TRUE(removed) << path_;
	}
	Cgroup(const Cgroup &) = delete;
	Cgroup &operator=(const Cgroup &) = delete;

	[[nodiscard]] bool made() const { return made_; }
	// The command, as a process of this group.
	[[nodiscard]] Args within(const Args &command) const
	{
		Args args{"sh", "-c", "echo $$ > $0/cgroup.procs && exec \"$@\"", path_};
		args.insert(args.end(), command.begin(), command.end());
		return args;
	}

private:
	std::string path_;
	bool made_ = false;
};

class FaultKill : public FaultRestore {
protected:
	// At a system call of bpfckpt, spread over all of them and at each of the last ones.
	void kill_at_every_step(unsigned spread, unsigned last);
	// From the first thread that is let go to the last.
	void kill_while_it_lets_go();

private:
	// Each restored program is in its first round.
	void expect_checks_hold() const
	{
		std::string ok = program_.work_dir() + "/ok.1";
		std::string failed = program_.work_dir() + "/fail.1";
		touch(program_.work_dir() + "/go.1");
		EXPECT_TRUE(eventually([&] { return fs::exists(ok) || fs::exists(failed); }, kDeadline));
		EXPECT_FALSE(fs::exists(failed)) << slurp(failed);
		for (const std::string &file : {program_.work_dir() + "/go.1", ok, failed})
			fs::remove(file);
	}
};

void FaultKill::kill_at_every_step(unsigned spread, unsigned last)
{
	TracedOutput whole = run_traced(command());
	ASSERT_EQ(whole.exit, 0) << whole.err;
	end_tree();
	std::set<unsigned> points;
	for (unsigned i = 0; i < spread; i++)
		points.insert(1 + whole.syscalls * i / spread);
	for (unsigned i = 0; i < last && i < whole.syscalls; i++)
		points.insert(whole.syscalls - i);
	for (unsigned point : points) {
		SCOPED_TRACE(fmt::format("killed at system call {} of {}", point, whole.syscalls));
		TracedOutput killed = run_traced(command(), SIGKILL, point);
		EXPECT_TRUE(killed.exit == 128 + SIGKILL || killed.exit == 0) << killed.exit << killed.err;
		// How many calls it takes varies, as it polls: it may have been killed when the tree ran already.
		if (!eventually([&] { return all_gone(); }, milliseconds(300))) {
			expect_whole();
			end_tree();
		}
		expect_nothing_left();
		if (HasFailure())
			break;
	}
	expect_restorable();
}

void FaultKill::kill_while_it_lets_go()
{
	std::string pidfile = program_.work_dir() + "/pidfile";
	auto killed_at = [&](unsigned request, unsigned nth) {
		TracedOutput output;
		// Other tests run at the same time, and take a PID for a moment.
		auto pids_are_free = [&] {
			output = run_traced(command({"--pidfile", pidfile}), SIGKILL, {SYS_ptrace, request, nth});
			return output.err.find("is in use") == std::string::npos;
		};
		EXPECT_TRUE(eventually(pids_are_free, kDeadline)) << output.err;
		EXPECT_TRUE(output.exit == 128 + SIGKILL || output.exit == 0) << output.exit << output.err;
		return output.exit != 0;
	};
	unsigned step = 1 + threads_ / 12;
	for (unsigned nth = 1; nth <= threads_ && !HasFailure(); nth += step) {
		SCOPED_TRACE(fmt::format("killed before thread {} of {} may outlive bpfckpt", nth, threads_));
		EXPECT_TRUE(killed_at(PTRACE_SETOPTIONS, nth));
		expect_nothing_left();
	}
	for (unsigned nth = 1; nth <= threads_ && !HasFailure(); nth += step) {
		SCOPED_TRACE(fmt::format("killed before thread {} of {} is let go", nth, threads_));
		EXPECT_TRUE(killed_at(PTRACE_DETACH, nth));
		expect_whole();
		expect_checks_hold();
		EXPECT_EQ(slurp(pidfile), std::to_string(program_.pid()));
		fs::remove(pidfile);
		end_tree();
	}
	EXPECT_FALSE(killed_at(PTRACE_DETACH, threads_ + 1)) << "there are more threads than were counted";
	expect_checks_hold();
	fs::remove(pidfile);
	end_tree();
}

} // namespace

TEST_F(FaultKill, sigkill_while_processes_are_let_go_leaves_none_or_all)
{
	ASSERT_TRUE(dumped("restore_tree"));
	kill_while_it_lets_go();
}

TEST_F(FaultKill, sigkill_while_threads_are_let_go_leaves_none_or_all)
{
	ASSERT_TRUE(dumped("restore_threads"));
	kill_while_it_lets_go();
}

TEST_F(FaultKill, sigkill_at_any_step_leaves_no_process)
{
	ASSERT_TRUE(dumped("fault/fault_memory", {"4"}));
	kill_at_every_step(25, 15);
}

TEST_F(FaultKill, sigkill_at_any_step_leaves_no_tree)
{
	ASSERT_TRUE(dumped("restore_tree"));
	kill_at_every_step(15, 10);
}

TEST_F(FaultKill, sigkill_at_any_step_leaves_no_file)
{
	ASSERT_TRUE(dumped("file_named"));
	kill_at_every_step(25, 5);
}

TEST_F(FaultRestore, of_two_at_once_one_succeeds)
{
	ASSERT_TRUE(dumped("fault/fault_memory", {"4"}));
	Args both{"sh", "-c", "\"$@\" & \"$@\"; one=$?; wait $!; echo $one $?", "sh"};
	Args restore = command();
	both.insert(both.end(), restore.begin(), restore.end());
	Output output = run_command(both);
	EXPECT_TRUE(output.out == "0 6\n" || output.out == "6 0\n") << output.out << output.err;
	EXPECT_NE(output.err.find("is in use"), std::string::npos) << output.err;
	EXPECT_TRUE(program_.check_target());
	EXPECT_TRUE(program_.go());
	end_tree();
}

TEST_F(FaultRestore, two_trees_at_once_both_succeed)
{
	ASSERT_TRUE(dumped("fault/fault_memory", {"4"}));
	Scenario other;
	ASSERT_TRUE(other.start("harness_idle"));
	DumpResult second = other.dump({});
	ASSERT_EQ(second.exit, 0);
	Output output =
		run_command({"sh", "-c", "$0 restore -d -D $1 & $0 restore -d -D $2; one=$?; wait $!; echo $one $?",
			     bpfckpt_path(), dir_, second.dir});
	EXPECT_EQ(output.out, "0 0\n") << output.err;
	EXPECT_TRUE(program_.go());
	EXPECT_TRUE(other.go());
	kill(other.pid(), SIGKILL);
	end_tree();
}

TEST_F(FaultRestore, the_log_has_the_steps_and_what_failed)
{
	ASSERT_TRUE(dumped("harness_idle"));
	std::string log = fs::path(dir_).parent_path() / "restore.log";
	Args where{"-W", fs::path(log).parent_path(), "-o", "restore.log"};
	Args restore = command(where);
	Args failing{"setpriv", "--bounding-set=-setgid"};
	failing.insert(failing.end(), restore.begin(), restore.end());
	EXPECT_EQ(run_command(failing).exit, 4);
	EXPECT_NE(slurp(log).find("failed: "), std::string::npos) << slurp(log);
	EXPECT_EQ(run_command(restore).exit, 0);
	EXPECT_NE(slurp(log).find("images are verified"), std::string::npos) << slurp(log);
	EXPECT_EQ(slurp(log).find("failed: "), std::string::npos) << slurp(log);
	end_tree();
}

TEST_F(FaultRestore, missing_capabilities_are_named_before_anything_is_made)
{
	ASSERT_TRUE(dumped("harness_idle"));
	struct {
		const char *drop, *name;
	} cases[] = {{"-setgid", "bpfckpt lacks CAP_SETGID"},
		     {"-setpcap", "bpfckpt lacks CAP_SETPCAP"},
		     {"-sys_ptrace", "bpfckpt lacks CAP_SYS_PTRACE"},
		     {"-checkpoint_restore,-sys_admin", "bpfckpt lacks CAP_CHECKPOINT_RESTORE"}};
	for (const auto &[drop, name] : cases) {
		SCOPED_TRACE(drop);
		Args args{"setpriv", std::string("--bounding-set=") + drop};
		Args restore = command();
		args.insert(args.end(), restore.begin(), restore.end());
		expect_error(run_command(args), 4, name);
		expect_nothing_left();
	}
	expect_restorable();
}

TEST_F(FaultRestore, a_full_cgroup_of_processes_leaves_nothing)
{
	ASSERT_TRUE(dumped("restore_threads"));
	Cgroup group("pids", "pids.max", "3");
	if (!group.made())
		GTEST_SKIP() << "wants the pids controller of cgroup v1";
	expect_error(run_command(group.within(command())), 1, "a limit of processes is reached");
	expect_nothing_left();
	expect_restorable();
}

// Root, CAP_SYS_ADMIN and CAP_SYS_RESOURCE know no such limit (kernel/fork.c: copy_process()).
TEST_F(FaultRestore, a_user_with_too_many_processes_is_told)
{
	ASSERT_TRUE(dumped("restore_tree", {"without_admin"}));
	for (const char *limit : {"1:", "3:"}) {
		const std::string caps = "+all,-sys_resource,-sys_admin";
		Args args{"prlimit", std::string("--nproc=") + limit, "setpriv", "--reuid=65534", "--clear-groups"};
		args.insert(args.end(), {"--inh-caps", caps, "--ambient-caps", caps, "--bounding-set", caps});
		Args restore = command({"--trust-images"});
		args.insert(args.end(), restore.begin(), restore.end());
		expect_error(run_command(args), 1, "a limit of processes is reached");
		expect_nothing_left();
	}
	expect_restorable();
	end_tree();
}

// Whom the kernel kills is up to it: the process under construction, which bpfckpt tells, or bpfckpt.
TEST_F(FaultRestore, a_full_cgroup_of_memory_leaves_nothing)
{
	ASSERT_TRUE(dumped("fault/fault_memory", {"128"}));
	Cgroup group("memory", "memory.limit_in_bytes", "25165824");
	if (!group.made())
		GTEST_SKIP() << "wants the memory controller of cgroup v1";
	for (int i = 0; i < 3; i++) {
		Output output = run_command(group.within(command()));
		if (output.exit != 128 + SIGKILL)
			expect_error(output, 1, "memory");
		expect_nothing_left();
	}
	expect_restorable();
}

// Found out by a value that harms nobody, should it be that of the whole machine.
static bool namespaces_have_a_pid_max()
{
	const char *path = "/proc/sys/kernel/pid_max";
	int before = std::stoi(slurp(path));
	run_command({"unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", "echo $1 > $0", path,
		     std::to_string(before - 1)});
	if (std::stoi(slurp(path)) == before)
		return true;
	std::ofstream(path) << before;
	return false;
}

TEST_F(FaultRestore, a_small_pid_namespace_is_named)
{
	if (!namespaces_have_a_pid_max())
		GTEST_SKIP() << "PID namespaces have no pid_max of their own (before Linux 6.14)";
	ASSERT_TRUE(dumped("harness_idle"));
	if (pids_[0] <= 301)
		GTEST_SKIP() << "the PID is too small";
	Output output =
		run_command({"unshare", "--pid", "--fork", "--mount-proc", "sh", "-c",
			     "echo 301 > /proc/sys/kernel/pid_max && exec $0 restore -D $1", bpfckpt_path(), dir_});
	expect_error(output, 6, "above the largest PID");
	expect_nothing_left();
}

// Its processes would be looked up among those of the outer namespace.
TEST_F(FaultRestore, a_pid_namespace_without_its_own_proc_is_named)
{
	ASSERT_TRUE(dumped("harness_idle"));
	Output output = run_command({"unshare", "--pid", "--fork", bpfckpt_path(), "restore", "-D", dir_});
	expect_error(output, 6, "not that of this PID namespace");
	expect_nothing_left();
	expect_restorable();
}

TEST_F(FaultRestore, the_first_process_of_a_namespace_cannot_leave_the_tree_alone)
{
	ASSERT_TRUE(dumped("harness_idle"));
	expect_error(run_command(command_of({"unshare", "--pid", "--fork", "--mount-proc"})), 2,
		     "takes all others with it");
	expect_nothing_left();
	expect_restorable();
}

// Of a background job, of nohup(1), of who does not care for his children.
TEST_F(FaultRestore, ignored_signals_of_the_caller_change_nothing)
{
	ASSERT_TRUE(dumped("task_tree"));
	Output output = run_command(command_of({"sh", "-c", "trap '' HUP INT QUIT PIPE TERM CHLD; exec \"$@\"", "sh"}));
	EXPECT_EQ(output.exit, 0) << output.err;
	expect_whole();
	EXPECT_TRUE(program_.go());
	end_tree();
}

// Whoever may write in a directory can put one there, and the restored program would have what it may not open.
TEST_F(FaultRestore, a_file_that_became_a_symbolic_link_is_named)
{
	ASSERT_TRUE(dumped("file_named"));
	fs::path moved = program_.work_dir() + "/.moved";
	for (const auto &entry : fs::directory_iterator(program_.work_dir())) {
		if (!entry.is_regular_file() || entry.path().filename() != "regular")
			continue;
		fs::rename(entry.path(), moved);
		fs::create_symlink(moved, entry.path());
		expect_error(run_command(command()), 6, "leads through a symbolic link now");
		fs::rename(moved, entry.path());
		expect_restorable();
		return;
	}
	FAIL() << "no such file";
}

TEST_F(FaultRestore, a_limit_of_files_is_named)
{
	ASSERT_TRUE(dumped("file_many"));
	Args restore = command();
	Args few{"prlimit", "--nofile=20:20"};
	few.insert(few.end(), restore.begin(), restore.end());
	// Without CAP_SYS_RESOURCE the limit itself is an obstacle, too.
	Output output = run_command(few);
	EXPECT_TRUE(output.exit == 4 || output.exit == 6) << output.err;
	EXPECT_NE(output.err.find("descriptor 10002, the limit here is 20"), std::string::npos) << output.err;
	expect_nothing_left();
	expect_restorable();
}

// One call that never succeeds, as if what it makes had no room: in bpfckpt, or in the tree that it builds.
struct FullTable {
	const char *call;
	long number;
	int error;
	const char *program;
	const char *message;
};

class FaultFull : public FaultRestore, public testing::WithParamInterface<FullTable> {};

TEST_P(FaultFull, is_named_and_leaves_nothing)
{
	const FullTable &full = GetParam();
	if (is_sanitized() && full.number == SYS_pipe2)
		GTEST_SKIP() << "UndefinedBehaviorSanitizer asks pipes which memory it may read";
	ASSERT_TRUE(dumped(full.program));
	fs::path fault_errno = fs::read_symlink("/proc/self/exe").parent_path() / "fault_errno";
	Args args{fault_errno, std::to_string(full.number), std::to_string(full.error)};
	Args restore = command();
	args.insert(args.end(), restore.begin(), restore.end());
	expect_error(run_command(args), 1, full.message);
	expect_nothing_left();
	expect_restorable();
	end_tree();
}

INSTANTIATE_TEST_SUITE_P(
	FaultRestore, FaultFull,
	testing::Values(FullTable{"clone3", SYS_clone3, EAGAIN, "restore_tree", "limit of processes"},
			FullTable{"eventfd2", SYS_eventfd2, ENFILE, "file_eventfd", "eventfd"},
			FullTable{"eventfds", SYS_eventfd2, ENFILE, "file_many", "eventfd2("},
			FullTable{"signalfd4", SYS_signalfd4, EMFILE, "file_signalfd", "signalfd"},
			FullTable{"pipe2", SYS_pipe2, ENFILE, "file_pipe", "pipe"},
			FullTable{"timerfd", SYS_timerfd_create, EMFILE, "file_timerfd", "timerfd"},
			FullTable{"epoll", SYS_epoll_create1, EMFILE, "file_epoll", "eventpoll"},
			FullTable{"socketpair", SYS_socketpair, ENFILE, "socket_pair", "socketpair("},
			FullTable{"memfd", SYS_memfd_create, ENFILE, "memory_shared", "memfd"},
			FullTable{"inotify", SYS_inotify_init1, EMFILE, "file_inotify", "inotify"},
			FullTable{"getfd", SYS_pidfd_getfd, EMFILE, "harness_idle", "pidfd_getfd("},
			FullTable{"pidfd", SYS_pidfd_open, EMFILE, "harness_idle", "pidfd_open("},
			FullTable{"listen", SYS_listen, ENOMEM, "restore_roots", "listen"},
			FullTable{"timer", SYS_timer_create, EAGAIN, "timer_clocks", "cannot be made on CLOCK_"},
			FullTable{"ring", SYS_io_uring_setup, ENOMEM, "uring_fixed", "no ring can be set up"}),
	[](const auto &test) { return std::string(test.param.call); });

TEST_F(FaultRestore, a_limit_of_memory_is_named)
{
	if (is_sanitized())
		GTEST_SKIP() << "AddressSanitizer reserves terabytes of address space";
	ASSERT_TRUE(dumped("harness_idle"));
	Args restore = command();
	Args args{"prlimit", "--as=100000000", "setpriv", "--bounding-set=-sys_resource"};
	args.insert(args.end(), restore.begin(), restore.end());
	expect_error(run_command(args), 4, "RLIMIT_AS");
	expect_nothing_left();
	expect_restorable();
}

TEST_F(FaultRestore, a_time_limit_leaves_nothing)
{
	ASSERT_TRUE(dumped("fault/fault_memory", {"256"}));
	Output late = run_command(command({"--timeout", "0.005"}));
	EXPECT_EQ(late.exit, 7) << late.err;
	EXPECT_NE(late.err.find("time limit"), std::string::npos) << late.err;
	expect_nothing_left();
	expect_restorable();
}

TEST_F(FaultRestore, altered_images_are_found_before_anything_runs)
{
	ASSERT_TRUE(dumped("fault/fault_memory", {"4"}));
	for (const auto &entry : fs::directory_iterator(dir_)) {
		SCOPED_TRACE(entry.path().string());
		uintmax_t size = fs::file_size(entry.path());
		if (!size)
			continue;
		std::string whole = slurp(entry.path());
		for (uintmax_t at : {uintmax_t{0}, size / 2, size - 1}) {
			std::string altered = whole;
			altered[at] = static_cast<char>(altered[at] ^ 0x20);
			std::ofstream(entry.path(), std::ios::binary) << altered;
			Output output = run_command(command());
			EXPECT_EQ(output.exit, 6) << at << output.err;
			EXPECT_NE(output.err.find(entry.path().filename()), std::string::npos) << output.err;
		}
		std::ofstream(entry.path(), std::ios::binary) << whole.substr(0, size / 2);
		EXPECT_EQ(run_command(command()).exit, 6);
		std::ofstream(entry.path(), std::ios::binary) << whole;
		expect_nothing_left();
	}
	expect_restorable();
}

TEST_F(FaultRestore, images_of_others_want_trust)
{
	ASSERT_TRUE(dumped("harness_idle"));
	ASSERT_EQ(chmod(dir_.c_str(), 0777), 0);
	expect_error(run_command(command()), 4, "can be written by others");
	ASSERT_EQ(chmod(dir_.c_str(), 0700), 0);
	ASSERT_EQ(chown(dir_.c_str(), 65534, 65534), 0);
	expect_error(run_command(command()), 4, "belongs to uid 65534");
	expect_nothing_left();
	EXPECT_TRUE(program_.restore({"--trust-images"}));
	EXPECT_TRUE(program_.go());
}

TEST_F(FaultRestore, a_missing_file_is_named_before_anything_is_created)
{
	ASSERT_TRUE(dumped("file_named"));
	fs::path hidden;
	for (const auto &entry : fs::directory_iterator(program_.work_dir())) {
		std::string name = entry.path().filename();
		if (!entry.is_regular_file() || name == "log" || name == "ready" || name.starts_with("ok"))
			continue;
		hidden = entry.path();
		fs::rename(hidden, dir_ + ".hidden");
		Output output = run_command(command());
		EXPECT_TRUE(output.exit == 6 || output.exit == 0) << output.err;
		if (output.exit == 0)
			end_tree();
		fs::rename(dir_ + ".hidden", hidden);
		if (output.exit == 6) {
			expect_error(output, 6, hidden);
			expect_nothing_left();
			return expect_restorable();
		}
	}
	FAIL() << "no file was missed";
}

} // namespace bpfckpt::selftests
