// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// fio with its io_uring engine: it writes blocks with checksums, reads all of them back and compares. It is dumped and
// killed in the middle of that, restored, twice, and has to end as if nothing had happened.
#include <csignal>
#include <filesystem>
#include <set>

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftests/scenarios/driver.h"
#include "selftests/scenarios/process.h"

namespace bpfckpt::selftests {

namespace {

constexpr milliseconds kToTheEnd{120000};

// fio in a directory of its own; whatever happens, it ends with the object.
class Fio {
public:
	Fio()
	{
		prctl(PR_SET_CHILD_SUBREAPER, 1);
		const char *tmp = getenv("TMPDIR");
		dir_ = std::string(tmp ? tmp : "/tmp") + "/bpfckpt-test.XXXXXX";
		if (mkdtemp(dir_.data()))
			dir_ = std::filesystem::canonical(dir_);
	}
	~Fio()
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
	Fio(const Fio &) = delete;
	Fio &operator=(const Fio &) = delete;

	// Slow enough to be met in the middle of its work.
	bool start(const Args &options)
	{
		Args command{"/usr/bin/fio",
			     "--name=job",
			     "--ioengine=io_uring",
			     "--iodepth=16",
			     "--size=16m",
			     "--bs=4k",
			     "--rw=randwrite",
			     "--verify=crc32c",
			     "--do_verify=1",
			     "--rate_iops=300",
			     "--verify_state_save=0",
			     "--output=result",
			     "--filename=" + dir_ + "/data"};
		command.insert(command.end(), options.begin(), options.end());
		pid_ = spawn_isolated(command, dir_, dir_ + "/log");
		return pid_ > 0 && eventually([&] { return jobs_have_rings(); }, kDeadline);
	}

	// It submits more requests.
	[[nodiscard]] bool goes_on() const
	{
		uint64_t before = submitted();
		return eventually([&] { return submitted() >= before + 16; }, kDeadline);
	}

	bool dump(const Args &options)
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

	bool restore()
	{
		Output output = bpfckpt({"restore", "-d", "-D", images_});
		EXPECT_EQ(output.exit, 0) << output.err;
		return output.exit == 0;
	}

	void remove_images() const
	{
		std::error_code ignored;
		std::filesystem::remove_all(images_, ignored);
	}

	// Its exit status; what it says of errors is in result().
	int wait_for_end()
	{
		int status = 0;
		ended_ = eventually([&] { return waitpid(pid_, &status, WNOHANG) == pid_; }, kToTheEnd);
		return ended_ && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	}

	[[nodiscard]] std::string result() const { return slurp(dir_ + "/result") + slurp(dir_ + "/log"); }

private:
	[[nodiscard]] std::string images_of(unsigned number) const
	{
		return dir_ + ".images." + std::to_string(number);
	}
	// The jobs, too, are children of ours by then.
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

	// I/O by io_uring is not counted in /proc/PID/io.
	[[nodiscard]] uint64_t submitted() const
	{
		Output output = bpfckpt({"inspect", "-t", std::to_string(pid_), "--rings", "--json"});
		Json document = Json::parse(output.out, nullptr, false);
		uint64_t sum = 0;
		if (output.exit == 0 && document.contains("rings"))
			for (const Json &ring : document["rings"])
				sum += number(ring["sq_head"]);
		return sum;
	}

	[[nodiscard]] bool jobs_have_rings() const
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

	std::string dir_, images_;
	pid_t pid_ = -1;
	unsigned count_ = 0;
	bool ended_ = false;
};

struct FioJob {
	const char *name;
	Args options;
};

void PrintTo(const FioJob &job, std::ostream *out)
{
	*out << job.name;
}

} // namespace

class FioTest : public testing::TestWithParam<FioJob> {};

TEST_P(FioTest, ends_without_an_error)
{
	if (access("/usr/bin/fio", X_OK))
		GTEST_SKIP() << "fio is not installed: make deps";
	Fio fio;
	ASSERT_TRUE(fio.start(GetParam().options)) << fio.result();
	ASSERT_TRUE(fio.goes_on());
	ASSERT_TRUE(fio.dump({"-R"}));
	fio.remove_images();
	ASSERT_TRUE(fio.goes_on());
	for (int life = 0; life < 2; life++) {
		SCOPED_TRACE(life);
		ASSERT_TRUE(fio.dump({}));
		ASSERT_TRUE(fio.restore());
		fio.remove_images();
		ASSERT_TRUE(fio.goes_on());
	}
	EXPECT_EQ(fio.wait_for_end(), 0) << fio.result();
	EXPECT_NE(fio.result().find("err= 0"), std::string::npos) << fio.result();
}

INSTANTIATE_TEST_SUITE_P(Programs, FioTest,
			 testing::Values(FioJob{"direct", {"--direct=1"}}, FioJob{"buffered", {"--direct=0"}},
					 FioJob{"fixed", {"--direct=1", "--fixedbufs", "--registerfiles"}},
					 FioJob{"fixed_buffered", {"--direct=0", "--fixedbufs", "--registerfiles"}},
					 FioJob{"sqpoll", {"--direct=1", "--sqthread_poll"}},
					 FioJob{"sqpoll_buffered", {"--direct=0", "--sqthread_poll"}}),
			 [](const auto &test) { return std::string(test.param.name); });

} // namespace bpfckpt::selftests
