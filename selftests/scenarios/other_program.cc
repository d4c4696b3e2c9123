// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "selftests/scenarios/other_program.h"

#include <csignal>
#include <filesystem>
#include <set>

#include <sys/prctl.h>
#include <sys/wait.h>

#include "selftests/scenarios/process.h"

namespace bpfckpt::selftests {

static constexpr milliseconds kToTheEnd{120000};

OtherProgram::OtherProgram()
{
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	const char *tmp = getenv("TMPDIR");
	dir_ = std::string(tmp ? tmp : "/tmp") + "/bpfckpt-test.XXXXXX";
	if (mkdtemp(dir_.data()))
		dir_ = std::filesystem::canonical(dir_);
}

OtherProgram::~OtherProgram()
{
	std::set<pid_t> left;
	eventually(
		[&] {
			for (pid_t pid : family(ended_ ? 0 : pid_, dir_))
				left.insert(pid);
			std::erase_if(left, [](pid_t pid) {
				return waitpid(pid, nullptr, WNOHANG | __WALL) == pid || kill(pid, SIGKILL) < 0;
			});
			return left.empty();
		},
		milliseconds(5000));
	std::error_code ignored;
	std::filesystem::remove_all(dir_, ignored);
	for (unsigned number = 0; number < count_; number++)
		std::filesystem::remove_all(images_of(number), ignored);
}

bool OtherProgram::start(const Args &command)
{
	pid_ = spawn_isolated(command, dir_, dir_ + "/log");
	return pid_ > 0 && eventually([&] { return has_rings(); }, kDeadline);
}

bool OtherProgram::goes_on() const
{
	uint64_t before = submitted();
	return eventually([&] { return submitted() >= before + 16; }, kDeadline);
}

// All that were its children are children of ours by then.
static void reap()
{
	EXPECT_TRUE(eventually(
		[] {
			pid_t ended = 0;
			while ((ended = waitpid(-1, nullptr, WNOHANG | __WALL)) > 0)
				;
			return ended < 0;
		},
		kDeadline));
}

bool OtherProgram::dump(const Args &options)
{
	images_ = images_of(count_++);
	Args args{"dump", "-t", std::to_string(pid_), "-D", images_};
	args.insert(args.end(), options.begin(), options.end());
	Output output = bpfckpt(args);
	EXPECT_EQ(output.exit, 0) << output.err;
	if (options.empty() && output.exit == 0)
		reap();
	return output.exit == 0;
}

bool OtherProgram::restore()
{
	Output output = bpfckpt({"restore", "-d", "-D", images_});
	EXPECT_EQ(output.exit, 0) << output.err;
	return output.exit == 0;
}

void OtherProgram::live_on()
{
	ASSERT_TRUE(goes_on());
	ASSERT_TRUE(dump({"-R"}));
	remove_images();
	ASSERT_TRUE(goes_on());
	for (int life = 0; life < (is_brief() ? 1 : 2); life++) {
		SCOPED_TRACE(life);
		ASSERT_TRUE(dump({}));
		ASSERT_TRUE(restore());
		remove_images();
		ASSERT_TRUE(goes_on());
	}
}

int OtherProgram::wait_for_end()
{
	int status = 0;
	ended_ = eventually([&] { return waitpid(pid_, &status, WNOHANG) == pid_; }, kToTheEnd);
	return ended_ && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::string OtherProgram::log() const
{
	return slurp(dir_ + "/log");
}

std::string OtherProgram::images_of(unsigned number) const
{
	return dir_ + ".images." + std::to_string(number);
}

void OtherProgram::remove_images() const
{
	std::error_code ignored;
	std::filesystem::remove_all(images_, ignored);
}

// I/O by io_uring is not counted in /proc/PID/io.
uint64_t OtherProgram::submitted() const
{
	Output output = bpfckpt({"inspect", "-t", std::to_string(pid_), "--rings", "--json"});
	Json document = Json::parse(output.out, nullptr, false);
	uint64_t sum = 0;
	if (output.exit == 0 && document.contains("rings"))
		for (const Json &ring : document["rings"])
			sum += number(ring["sq_head"]);
	return sum;
}

bool OtherProgram::has_rings() const
{
	for (pid_t pid : family(pid_, dir_)) {
		std::error_code error;
		std::string fds = "/proc/" + std::to_string(pid) + "/fd";
		for (const auto &entry : std::filesystem::directory_iterator(fds, error))
			if (std::filesystem::read_symlink(entry.path(), error) == "anon_inode:[io_uring]")
				return true;
	}
	return false;
}

} // namespace bpfckpt::selftests
