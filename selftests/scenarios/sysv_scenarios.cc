// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// System V shared memory: what a tree has attached comes back with its id; what others have attached, too, is refused.
#include <csignal>
#include <thread>

#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftests/scenarios/driver.h"
#include "selftests/scenarios/process.h"

namespace bpfckpt::selftests {

namespace {

// The one with a key outlives a program that is killed.
class SysvShm : public testing::Test {
protected:
	void start()
	{
		SCENARIO_START(scenario_, "sysv_shm", {"tree"});
		kept_ = std::stoi(scenario_.fact("kept"));
		key_ = std::stoi(scenario_.fact("key"));
	}
	void TearDown() override
	{
		if (kept_ >= 0)
			shmctl(kept_, IPC_RMID, nullptr);
	}

	Scenario scenario_;
	int kept_ = -1;
	key_t key_ = 0;
};

} // namespace

TEST_F(SysvShm, segments_come_back_with_id_key_owner_and_content)
{
	ASSERT_NO_FATAL_FAILURE(start());
	if (kept_ < 0)
		GTEST_SKIP() << scenario_.skip_reason();
	ASSERT_EQ(scenario_.dump({"-R"}).exit, 0);
	Json objects = scenario_.show()["shared_memory"];
	ASSERT_EQ(objects.size(), 2u) << objects;
	ASSERT_TRUE(scenario_.check_target());
	ASSERT_TRUE(scenario_.go());
	for (int life = 0; life < 3; life++) {
		SCOPED_TRACE(life);
		ASSERT_EQ(scenario_.dump({}).exit, 0);
		// Now as after a reboot, now as a program that was killed leaves it.
		if (life % 2 == 0) {
			ASSERT_EQ(shmctl(kept_, IPC_RMID, nullptr), 0);
		}
		ASSERT_TRUE(scenario_.restore());
		ASSERT_TRUE(scenario_.check_target());
		ASSERT_TRUE(scenario_.go());
	}
	EXPECT_EQ(scenario_.stop().exit, 0);
}

TEST_F(SysvShm, what_is_in_use_meanwhile_is_not_taken)
{
	ASSERT_NO_FATAL_FAILURE(start());
	if (kept_ < 0)
		GTEST_SKIP() << scenario_.skip_reason();
	DumpResult dump = scenario_.dump({});
	ASSERT_EQ(dump.exit, 0);
	void *address = shmat(kept_, nullptr, SHM_RDONLY);
	ASSERT_NE(address, reinterpret_cast<void *>(-1));
	Output refused = bpfckpt({"restore", "-d", "-D", dump.dir});
	EXPECT_EQ(refused.exit, 6);
	EXPECT_NE(refused.err.find("its id is in use"), std::string::npos) << refused.err;
	shmdt(address);
	ASSERT_EQ(shmctl(kept_, IPC_RMID, nullptr), 0);
	kept_ = shmget(key_, 4096, IPC_CREAT | IPC_EXCL | 0600);
	ASSERT_GE(kept_, 0);
	refused = bpfckpt({"restore", "-d", "-D", dump.dir});
	EXPECT_EQ(refused.exit, 6);
	EXPECT_NE(refused.err.find("its key is in use by segment"), std::string::npos) << refused.err;
	ASSERT_EQ(shmctl(kept_, IPC_RMID, nullptr), 0);
	ASSERT_TRUE(scenario_.restore());
	kept_ = std::stoi(scenario_.fact("kept"));
	ASSERT_TRUE(scenario_.go());
}

TEST_F(SysvShm, a_restore_that_is_killed_leaves_no_segment_or_the_whole_program)
{
	ASSERT_NO_FATAL_FAILURE(start());
	if (kept_ < 0)
		GTEST_SKIP() << scenario_.skip_reason();
	DumpResult dump = scenario_.dump({});
	ASSERT_EQ(dump.exit, 0);
	ASSERT_EQ(shmctl(kept_, IPC_RMID, nullptr), 0);
	shmid_ds state = {};
	auto is_there = [&] { return shmctl(kept_, IPC_STAT, &state) == 0; };
	for (milliseconds delay : {milliseconds(2), milliseconds(4), milliseconds(8), milliseconds(12)}) {
		pid_t child = fork();
		if (!child) {
			execl(bpfckpt_path().c_str(), "bpfckpt", "restore", "-d", "-D", dump.dir.c_str(), nullptr);
			_exit(127);
		}
		std::this_thread::sleep_for(delay);
		kill(child, SIGKILL);
		int status = 0;
		waitpid(child, &status, 0);
		// Whoever removes it is told by the kernel. It stays when the program ran by then.
		if (WIFEXITED(status) || !eventually([&] { return !is_there(); }, milliseconds(2000))) {
			SCOPED_TRACE(delay.count());
			EXPECT_TRUE(scenario_.check_target());
			EXPECT_TRUE(scenario_.go());
			break;
		}
	}
}

TEST_F(SysvShm, a_segment_that_others_have_attached_is_refused)
{
	ASSERT_NO_FATAL_FAILURE(start());
	if (kept_ < 0)
		GTEST_SKIP() << scenario_.skip_reason();
	void *address = shmat(kept_, nullptr, SHM_RDONLY);
	ASSERT_NE(address, reinterpret_cast<void *>(-1));
	DumpResult refused = scenario_.dump({"-R"}, 3);
	EXPECT_NE(refused.err.find(" is shared with pid " + std::to_string(getpid())), std::string::npos)
		<< refused.err;
	EXPECT_EQ(scenario_.dump({"-R", "--leak", "all=ignore"}).exit, 0);
	shmdt(address);
	ASSERT_TRUE(scenario_.check_target());
	ASSERT_TRUE(scenario_.go());
}

TEST(SysvShmRefused, locked_segments)
{
	run_refusal("sysv_shm", "is locked in memory (SHM_LOCK)", {}, {"locked"});
}

TEST(SysvShmRefused, parts_of_segments)
{
	run_refusal("sysv_shm", "of which a part was unmapped", {}, {"part"});
}

} // namespace bpfckpt::selftests
