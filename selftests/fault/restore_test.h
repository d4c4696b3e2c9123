/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What the fault tests of restore have in common.
#pragma once

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <set>

#include <sys/wait.h>

#include "selftests/fault/fault_test.h"

namespace bpfckpt::selftests {

// Dumped and gone; what restore makes of it is ours to end.
class FaultRestore : public Fault {
protected:
	// False: the test has failed or is skipped.
	bool dumped(const std::string &program, const Args &args = {})
	{
		if (IsSkipped() || !program_.start(program, args))
			return false;
		DumpResult result = program_.dump({});
		dir_ = result.dir;
		if (result.exit != 0)
			return false;
		Json shown = program_.show();
		for (const Json &process : shown["processes"]) {
			pids_.push_back(static_cast<pid_t>(number(process["pid"])));
			if (process["state"] != "ZOMBIE")
				threads_ += static_cast<unsigned>(process["threads"].size());
		}
		files_ = files();
		return true;
	}

	[[nodiscard]] Args command(const Args &options = {}) const
	{
		Args args{bpfckpt_path(), "restore", "-d", "-D", dir_};
		args.insert(args.end(), options.begin(), options.end());
		return args;
	}

	// The same, run by another command.
	[[nodiscard]] Args command_of(Args wrapper) const
	{
		Args restore = command();
		wrapper.insert(wrapper.end(), restore.begin(), restore.end());
		return wrapper;
	}

	[[nodiscard]] std::set<std::string> files() const
	{
		std::set<std::string> names;
		for (const auto &entry : std::filesystem::directory_iterator(program_.work_dir()))
			names.insert(entry.path().filename());
		return names;
	}

	// Orphans of a dead bpfckpt, helpers among them, are ours to reap.
	[[nodiscard]] bool all_gone() const
	{
		while (waitpid(-1, nullptr, WNOHANG | __WALL) > 0)
			;
		bool childless = waitpid(-1, nullptr, WNOHANG | __WALL) < 0;
		return childless && std::ranges::none_of(pids_, [](pid_t pid) { return kill(pid, 0) == 0; });
	}

	void end_tree() const
	{
		for (pid_t pid : pids_)
			kill(pid, SIGKILL);
		EXPECT_TRUE(eventually([&] { return all_gone(); }, kDeadline));
	}

	// Every process is there and runs by itself.
	void expect_whole()
	{
		for (pid_t pid : pids_)
			EXPECT_EQ(status_field(pid, "TracerPid"), "0") << pid;
		EXPECT_TRUE(program_.check_target());
	}

	void expect_nothing_left() const
	{
		EXPECT_TRUE(eventually([&] { return all_gone(); }, kDeadline)) << "a process was left behind";
		EXPECT_EQ(files(), files_) << "a file was left behind";
	}

	// And what failed did no harm to the images.
	void expect_restorable()
	{
		EXPECT_TRUE(program_.restore());
		EXPECT_TRUE(program_.go());
	}

	Scenario program_;
	std::string dir_;
	std::vector<pid_t> pids_;
	unsigned threads_ = 0; // that run
	std::set<std::string> files_;
};

} // namespace bpfckpt::selftests
