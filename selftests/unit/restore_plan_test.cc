// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Document -> plan: the order of forks, and what is refused.
#include "user/policy/task_support.h"
#include "user/restore/plan.h"
#include "user/util/xstate.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bpfckpt::restore {

class RestorePlanTest : public testing::Test {
protected:
	images::Process &add(uint32_t pid, uint32_t ppid, uint32_t pgid, uint32_t sid)
	{
		images::Process &process = *document_.add_processes();
		process.set_pid(pid);
		process.set_ppid(ppid);
		process.set_pgid(pgid);
		process.set_sid(sid);
		process.set_comm("p");
		process.set_exit_signal(SIGCHLD);
		process.set_address_space(pid);
		document_.add_memory()->set_id(pid);
		images::Thread &thread = *process.add_threads();
		thread.set_tid(pid);
		thread.set_prstatus(std::string(216, '\0'));
		return process;
	}
	Plan plan()
	{
		Result<Plan> plan = make_plan(document_, manifest_, findings_);
		if (!plan)
			throw std::runtime_error(plan.error().message);
		return *plan;
	}
	// Place of a step in the plan.
	static ptrdiff_t at(const Plan &plan, TreeStep::Kind kind, pid_t pid, pid_t other = 0)
	{
		auto it = std::ranges::find_if(plan.tree, [&](const TreeStep &step) {
			return step.kind == kind && step.pid == pid && (!other || step.other == other);
		});
		EXPECT_NE(it, plan.tree.end()) << "no such step for pid " << pid;
		return it - plan.tree.begin();
	}

	images::Document document_;
	images::Manifest manifest_;
	Findings findings_;
};

TEST_F(RestorePlanTest, a_child_of_the_old_session_is_forked_before_setsid)
{
	add(100, 1, 50, 50);
	add(101, 100, 101, 101);
	add(102, 101, 50, 50);
	add(103, 101, 101, 101);
	Plan p = plan();
	EXPECT_TRUE(p.outer_session);
	EXPECT_LT(at(p, TreeStep::kFork, 102, 101), at(p, TreeStep::kSetsid, 101));
	EXPECT_GT(at(p, TreeStep::kFork, 103, 101), at(p, TreeStep::kSetsid, 101));
	EXPECT_TRUE(findings_.empty());
}

TEST_F(RestorePlanTest, a_dead_session_leader_is_stood_for)
{
	add(100, 1, 100, 100);
	add(102, 100, 101, 101);
	Plan p = plan();
	EXPECT_LT(at(p, TreeStep::kFork, 101, 100), at(p, TreeStep::kSetsid, 101));
	EXPECT_LT(at(p, TreeStep::kSetsid, 101), at(p, TreeStep::kFork, 102, 101));
	EXPECT_LT(at(p, TreeStep::kReaperOn, 100), at(p, TreeStep::kExit, 101, 100));
	EXPECT_EQ(at(p, TreeStep::kExit, 101), static_cast<ptrdiff_t>(p.tree.size()) - 1);
}

TEST_F(RestorePlanTest, parents_that_left_a_dead_leaders_session_are_born_in_it)
{
	add(100, 1, 100, 100);
	images::Process &first = add(101, 100, 101, 101);
	add(102, 100, 102, 102);
	add(104, 101, 103, 103);
	add(105, 102, 103, 103);
	Plan p = plan();
	EXPECT_TRUE(findings_.empty());
	EXPECT_LT(at(p, TreeStep::kSetsid, 103), at(p, TreeStep::kFork, 101, 103));
	EXPECT_LT(at(p, TreeStep::kFork, 104, 101), at(p, TreeStep::kSetsid, 101));
	EXPECT_LT(at(p, TreeStep::kFork, 105, 102), at(p, TreeStep::kSetsid, 102));
	EXPECT_LT(at(p, TreeStep::kReaperOn, 100), at(p, TreeStep::kExit, 103, 100));
	first.set_exit_signal(SIGUSR1); // who changes its parent gets SIGCHLD
	plan();
	ASSERT_EQ(findings_.size(), 1u);
	EXPECT_EQ(findings_[0].object, "pid 101 (p)");
}

TEST_F(RestorePlanTest, a_dead_session_leader_cannot_be_stood_for_below_two_parents)
{
	add(100, 1, 100, 100);
	add(101, 100, 100, 100);
	add(102, 100, 102, 102);
	add(104, 101, 103, 103);
	add(105, 102, 103, 103);
	(void)plan();
	ASSERT_EQ(findings_.size(), 1u);
	EXPECT_NE(findings_[0].object.find("104"), std::string::npos) << findings_[0].object;
	EXPECT_NE(findings_[0].message.find("so is a child of pid 100"), std::string::npos) << findings_[0].message;
}

TEST_F(RestorePlanTest, a_child_is_that_of_a_thread_that_its_parent_has)
{
	add(100, 1, 100, 100).add_threads()->set_tid(110);
	images::Process &leader = add(101, 100, 101, 101);
	images::Process &child = add(102, 100, 100, 100);
	child.set_parent_tid(110);
	leader.set_parent_tid(110);
	plan();
	EXPECT_EQ(findings_.size(), 1u); // thread 110 has no registers
	findings_.clear();
	add(103, 100, 101, 101).set_parent_tid(110); // an orphan comes to the first thread
	plan();
	ASSERT_EQ(findings_.size(), 2u);
	EXPECT_NE(findings_[0].message.find("is a child of thread 110 of pid 100"), std::string::npos);
	child.set_parent_tid(111);
	EXPECT_THROW(plan(), std::runtime_error);
}

TEST_F(RestorePlanTest, a_dead_group_leader_is_stood_for_until_all_members_joined)
{
	add(100, 1, 100, 100);
	add(101, 100, 99, 100);
	add(102, 100, 99, 100);
	Plan p = plan();
	EXPECT_LT(at(p, TreeStep::kFork, 99, 101), at(p, TreeStep::kSetpgid, 99, 99));
	EXPECT_LT(at(p, TreeStep::kSetpgid, 101, 99), at(p, TreeStep::kExit, 99, 101));
	EXPECT_LT(at(p, TreeStep::kSetpgid, 102, 99), at(p, TreeStep::kExit, 99, 101));
}

TEST_F(RestorePlanTest, a_shared_descriptor_table_is_cloned_or_refused)
{
	add(100, 1, 100, 100).set_fd_table(1);
	add(101, 100, 100, 100).set_fd_table(1);
	Plan p = plan();
	EXPECT_NE(p.tree[static_cast<size_t>(at(p, TreeStep::kFork, 101))].flags, 0u);
	EXPECT_TRUE(findings_.empty());
	add(102, 100, 100, 100).set_fd_table(2);
	add(103, 100, 100, 100).set_fd_table(2);
	plan();
	ASSERT_EQ(findings_.size(), 1u);
	EXPECT_NE(findings_[0].message.find("shares its descriptors"), std::string::npos);
}

TEST_F(RestorePlanTest, an_orphan_is_created_below_the_leader_of_its_session)
{
	add(100, 1, 100, 100);
	add(101, 100, 101, 101);
	add(103, 100, 101, 101); // its parent, a child of 101, is gone
	Plan p = plan();
	EXPECT_TRUE(findings_.empty());
	EXPECT_LT(at(p, TreeStep::kSetsid, 101), at(p, TreeStep::kFork, -1, 101));
	EXPECT_LT(at(p, TreeStep::kFork, -1, 101), at(p, TreeStep::kFork, 103, -1));
	EXPECT_LT(at(p, TreeStep::kReaperOn, 100), at(p, TreeStep::kExit, -1, 101));
	EXPECT_LT(at(p, TreeStep::kFork, 103), at(p, TreeStep::kExit, -1, 101));
}

TEST_F(RestorePlanTest, dump_hears_of_tasks_that_cannot_be_rebuilt)
{
	add(100, 1, 100, 100).set_dumpable(2);
	add(101, 100, 100, 100).set_address_space(100);
	Findings obstacles;
	policy::refuse_unsupported_tasks(document_, obstacles);
	ASSERT_EQ(obstacles.size(), 2u);
	EXPECT_NE(obstacles[0].message.find("PR_SET_DUMPABLE 2"), std::string::npos);
	EXPECT_NE(obstacles[1].message.find("shares its memory with pid 100"), std::string::npos);
}

TEST_F(RestorePlanTest, another_cpu_is_refused_unless_nobody_cares)
{
	constexpr uint64_t kAvx = 1 << 2, kAmx = 3 << 17;
	add(100, 1, 100, 100).mutable_threads(0)->set_tid(4'000'000); // of nobody
	auto refusals = [this](uint64_t features, bool compare) {
		manifest_.set_xstate_features(features);
		Plan p = plan();
		findings_.clear();
		check_machine(p, {.compare_cpu = compare}, findings_);
		return std::ranges::count(findings_, "CPU", &Error::object);
	};
	EXPECT_EQ(refusals(xstate_features(), true), 0);
	EXPECT_EQ(refusals(xstate_features() ^ kAmx, true), 0);
	EXPECT_EQ(refusals(0, true), 0); // of an older bpfckpt
	EXPECT_EQ(refusals(xstate_features() ^ kAvx, true), 1);
	EXPECT_EQ(refusals(xstate_features() ^ kAvx, false), 0);
}

TEST_F(RestorePlanTest, registers_that_this_cpu_lacks_are_named)
{
	images::Thread &thread = *add(100, 1, 100, 100).mutable_threads(0);
	thread.set_tid(4'000'000); // of nobody
	std::string xstate(576, '\0');
	xstate[512 + 7] = 0x20; // bit 61: no CPU has that
	thread.set_xstate(xstate);
	Plan p = plan();
	check_machine(p, {}, findings_);
	EXPECT_TRUE(std::ranges::any_of(findings_, [](const Error &finding) {
		return finding.message.find("registers, which this CPU lacks") != std::string::npos;
	}));
}

TEST_F(RestorePlanTest, two_roots_are_corrupt)
{
	add(100, 1, 100, 100);
	add(200, 1, 200, 200);
	EXPECT_THROW(plan(), std::runtime_error);
}

TEST_F(RestorePlanTest, a_loop_of_parents_is_corrupt)
{
	add(100, 1, 100, 100);
	add(200, 201, 200, 200);
	add(201, 200, 200, 200);
	EXPECT_THROW(plan(), std::runtime_error);
}

TEST_F(RestorePlanTest, what_cannot_be_rebuilt_is_named)
{
	images::Process &process = add(100, 1, 100, 100);
	process.mutable_threads(0)->set_seccomp_mode(2);
	images::File &file = *document_.add_files();
	file.set_id(1);
	file.set_kind("tty");
	file.set_path("/dev/pts/0");
	process.add_files()->set_file(1);
	images::Vma &vma = *document_.mutable_memory(0)->add_vmas();
	vma.set_kind(images::Vma::HUGETLB);
	plan();
	ASSERT_EQ(findings_.size(), 3u);
	EXPECT_EQ(findings_[0].message, "has seccomp filters");
	EXPECT_EQ(findings_[1].message, "is huge page memory (hugetlbfs)");
	EXPECT_EQ(findings_[2].message, "/dev/pts/0 is a terminal");
	for (const Error &finding : findings_)
		EXPECT_EQ(finding.code, Code::kUnsupported);
}

TEST_F(RestorePlanTest, a_pid_in_use_names_its_holder)
{
	add(1, 0, 1, 1);
	Plan p = plan();
	check_machine(p, {}, findings_);
	auto it = std::ranges::find_if(findings_, [](const Error &finding) { return finding.object == "pid 1"; });
	ASSERT_NE(it, findings_.end());
	EXPECT_EQ(it->code, Code::kMismatch);
	EXPECT_NE(it->message.find("pid 1 ("), std::string::npos) << it->message;
}

static pid_t new_zombie()
{
	pid_t child = ::fork();
	if (child == 0)
		::_exit(0);
	siginfo_t info;
	::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT);
	return child;
}

TEST_F(RestorePlanTest, a_zombie_that_is_reaped_soon_is_waited_for)
{
	pid_t child = new_zombie();
	auto pid = static_cast<uint32_t>(child);
	add(pid, 0, pid, pid);
	Plan p = plan();
	std::thread reaper([=] {
		std::this_thread::sleep_for(std::chrono::milliseconds(100));
		::waitpid(child, nullptr, 0);
	});
	check_pids(p, findings_);
	reaper.join();
	EXPECT_TRUE(findings_.empty()) << findings_[0].message;
}

TEST_F(RestorePlanTest, a_zombie_that_nobody_waits_for_is_named_with_its_parent)
{
	pid_t child = new_zombie();
	auto pid = static_cast<uint32_t>(child);
	add(pid, 0, pid, pid);
	Plan p = plan();
	check_pids(p, findings_);
	::waitpid(child, nullptr, 0);
	ASSERT_FALSE(findings_.empty());
	EXPECT_NE(findings_[0].message.find(fmt::format("pid {} (", ::getpid())), std::string::npos);
	EXPECT_NE(findings_[0].message.find("has not waited for it"), std::string::npos) << findings_[0].message;
}

TEST_F(RestorePlanTest, a_file_that_is_gone_is_named)
{
	add(99999999, 1, 99999999, 99999999).add_files()->set_file(1);
	images::File &file = *document_.add_files();
	file.set_id(1);
	file.set_kind("regular");
	file.set_path("/nonexistent/file");
	Plan p = plan();
	check_files(p, findings_);
	ASSERT_EQ(findings_.size(), 1u);
	EXPECT_EQ(findings_[0].object, "/nonexistent/file");
}

} // namespace bpfckpt::restore
