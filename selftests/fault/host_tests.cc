// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The machine is in the way: no room, no permission, no capability, a directory that will not do.
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>

#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftests/fault/fault_test.h"
#include "selftests/scenarios/process.h"

namespace fs = std::filesystem;

namespace bpfckpt::selftests {

TEST_F(Fault, full_disk_fails_the_dump_and_not_the_target)
{
	Scenario target;
	SCENARIO_START(target, "fault/fault_memory", {"16"});
	// From no room for the first file to room for the pages and not for what comes after them.
	std::vector<unsigned> kilobytes;
	for (unsigned small = 4; small <= 32; small += 4)
		kilobytes.push_back(small);
	for (unsigned large = 256; large < 16384; large *= 2)
		kilobytes.push_back(large);
	for (unsigned last = 16384; last <= 16384 + 64; last += 4)
		kilobytes.push_back(last);
	for (unsigned size : kilobytes) {
		SCOPED_TRACE("tmpfs of " + std::to_string(size) + " KiB");
		std::string dir = target.new_image_dir();
		Tmpfs full(dir, "size=" + std::to_string(size) + "k");
		ASSERT_TRUE(full.mounted());
		Output dumped = run_command(dump_command(target.pid(), dir));
		expect_error(dumped, 1, "No space left");
		EXPECT_FALSE(is_checkpoint(dir));
		expect_unharmed(target);
	}
}

TEST_F(Fault, no_inodes_left_fails_the_dump)
{
	Scenario target;
	SCENARIO_START(target, "harness_idle");
	std::string dir = target.new_image_dir();
	Tmpfs full(dir, "nr_inodes=2");
	expect_error(run_command(dump_command(target.pid(), dir)), 1, "No space left");
	EXPECT_FALSE(is_checkpoint(dir));
	expect_unharmed(target);
}

TEST_F(Fault, a_soft_limit_of_descriptors_is_no_obstacle)
{
	Scenario target;
	SCENARIO_START(target, "harness_idle");
	Args command = {"prlimit", "--nofile=16:4096"};
	Args dump = dump_command(target.pid(), target.new_image_dir());
	command.insert(command.end(), dump.begin(), dump.end());
	EXPECT_EQ(run_command(command).exit, 0);
	expect_unharmed(target);
}

// A process with that many, of one file.
static pid_t hold_descriptors(int count)
{
	pid_t pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	rlimit limit = {};
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max = std::max<rlim_t>(limit.rlim_max, static_cast<rlim_t>(count) + 100);
	int fd = setrlimit(RLIMIT_NOFILE, &limit) ? -1 : 0;
	while (fd >= 0 && fd < count)
		fd = dup(0);
	raise(fd < 0 ? SIGKILL : SIGSTOP);
	_exit(0);
}

// The kernel interrupts a pass over more than that (kernel/bpf/bpf_iter.c: MAX_ITER_OBJECTS).
TEST_F(Fault, a_million_descriptors_on_the_system_are_no_obstacle)
{
	constexpr int kEach = 19'000, kProcesses = 56;
	std::vector<pid_t> holders(kProcesses);
	std::ranges::generate(holders, [] { return hold_descriptors(kEach); });
	auto stopped = [](pid_t pid) {
		int status = 0;
		return waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status);
	};
	bool all = std::ranges::count_if(holders, stopped) == kProcesses;
	if (all) {
		Scenario target;
		SCENARIO_START(target, "harness_idle");
		Output dumped = run_command(dump_command(target.pid(), target.new_image_dir()));
		EXPECT_EQ(dumped.exit, 0) << dumped.err;
		EXPECT_EQ(bpfckpt({"check", "-t", std::to_string(target.pid())}).exit, 0);
		expect_unharmed(target);
	}
	for (pid_t pid : holders) {
		kill(pid, SIGKILL);
		waitpid(pid, nullptr, 0);
	}
	if (!all)
		GTEST_SKIP() << "no room for a million descriptors";
}

TEST_F(Fault, directory_that_is_not_empty_is_left_alone)
{
	Scenario target;
	SCENARIO_START(target, "harness_idle");
	std::string dir = target.new_image_dir();
	fs::create_directory(dir);
	std::ofstream(dir + "/precious") << "data";
	Output dumped = run_command(dump_command(target.pid(), dir));
	EXPECT_NE(dumped.exit, 0);
	expect_error(dumped, dumped.exit, dir);
	EXPECT_EQ(slurp(dir + "/precious"), "data");
	EXPECT_EQ(std::distance(fs::directory_iterator(dir), fs::directory_iterator()), 1);
	expect_unharmed(target);
}

TEST_F(Fault, earlier_checkpoint_is_not_overwritten)
{
	Scenario target;
	SCENARIO_START(target, "harness_idle");
	DumpResult first = target.dump({"-R"});
	ASSERT_EQ(first.exit, 0);
	EXPECT_NE(run_command(dump_command(target.pid(), first.dir)).exit, 0);
	EXPECT_TRUE(is_checkpoint(first.dir));
	expect_unharmed(target);
}

TEST_F(Fault, directory_on_a_read_only_file_system)
{
	Scenario target;
	SCENARIO_START(target, "harness_idle");
	std::string dir = target.new_image_dir();
	Tmpfs read_only(dir, "size=1m");
	ASSERT_EQ(mount(nullptr, dir.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
	Output dumped = run_command(dump_command(target.pid(), dir));
	EXPECT_NE(dumped.exit, 0);
	expect_error(dumped, dumped.exit, dir);
	expect_unharmed(target);
}

TEST_F(Fault, directory_below_a_file)
{
	Scenario target;
	SCENARIO_START(target, "harness_idle");
	std::string file = target.new_image_dir();
	touch(file);
	Output dumped = run_command(dump_command(target.pid(), file));
	EXPECT_NE(dumped.exit, 0);
	expect_error(dumped, dumped.exit, file);
	expect_unharmed(target);
}

TEST_F(Fault, images_can_be_read_by_their_owner_only)
{
	Scenario target;
	SCENARIO_START(target, "harness_idle");
	std::string dir = target.new_image_dir();
	ASSERT_EQ(run_command(dump_command(target.pid(), dir)).exit, 0);
	EXPECT_EQ(fs::status(dir).permissions(), fs::perms::owner_all);
	for (const auto &file : fs::directory_iterator(dir))
		EXPECT_EQ(file.status().permissions(), fs::perms::owner_read | fs::perms::owner_write) << file.path();
}

// bpfckpt where anyone can execute it.
static std::string public_copy(const std::string &dir)
{
	fs::permissions(fs::path(dir).parent_path(), fs::perms(0755));
	std::string copy = fs::path(dir).parent_path() / "bpfckpt";
	fs::copy_file(bpfckpt_path(), copy);
	fs::permissions(copy, fs::perms(0755));
	return copy;
}

TEST_F(Fault, other_user_is_told_to_be_root)
{
	Scenario target;
	SCENARIO_START(target, "harness_idle");
	std::string copy = public_copy(target.work_dir());
	std::string pid = std::to_string(target.pid());
	const Args nobody{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", copy};
	for (const Args &arguments :
	     {Args{"dump", "-R", "-t", pid, "-D", target.new_image_dir()}, Args{"inspect", "-t", pid}}) {
		Args command = nobody;
		command.insert(command.end(), arguments.begin(), arguments.end());
		Output output = run_command(command);
		expect_error(output, 4, "root");
		EXPECT_EQ(output.err.find("libbpf"), std::string::npos) << output.err;
	}
	expect_unharmed(target);
}

// As on a kernel without CONFIG_DEBUG_INFO_BTF.
TEST_F(Fault, a_kernel_without_types_is_told)
{
	Scenario target;
	SCENARIO_START(target, "harness_idle");
	const std::string pid = std::to_string(target.pid()), dir = target.new_image_dir();
	for (const Args &arguments :
	     {Args{"check", "-t", pid}, Args{"inspect", "-t", pid}, Args{"dump", "-R", "-t", pid, "-D", dir}}) {
		Args command{"unshare", "-m",          "sh", "-c", "mount -t tmpfs none /sys/kernel/btf && exec \"$@\"",
			     "sh",      bpfckpt_path()};
		command.insert(command.end(), arguments.begin(), arguments.end());
		expect_error(run_command(command), 5, "BTF");
	}
	EXPECT_FALSE(is_checkpoint(dir));
	expect_unharmed(target);
}

TEST_F(Fault, missing_capability_is_named)
{
	Scenario target;
	SCENARIO_START(target, "harness_idle");
	struct {
		const char *drop, *name;
	} cases[] = {{"-sys_ptrace", "CAP_SYS_PTRACE"}, {"-sys_admin", "CAP_SYS_ADMIN"}};
	for (const auto &[drop, name] : cases) {
		SCOPED_TRACE(drop);
		Args command{"setpriv", std::string("--bounding-set=") + drop};
		Args dump = dump_command(target.pid(), target.new_image_dir());
		command.insert(command.end(), dump.begin(), dump.end());
		expect_error(run_command(command), 4, name);
		expect_unharmed(target);
	}
}

} // namespace bpfckpt::selftests
