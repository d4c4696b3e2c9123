// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/task.h"

#include <numeric>

#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bpfckpt::collect {

using testing::ElementsAre;
using testing::IsEmpty;

static tree_record task(unsigned pid, unsigned tid, unsigned ppid)
{
	tree_record record = {};
	record.pid = pid;
	record.tid = tid;
	record.ppid = ppid;
	return record;
}

TEST(Task, descendants_come_after_their_parents)
{
	// 30 was given to a process before its parent 100 was born.
	std::vector<tree_record> tasks = {task(5, 5, 1),   task(5, 6, 1),     task(30, 30, 100),
					  task(40, 40, 5), task(100, 100, 5), task(7, 7, 1)};
	EXPECT_THAT(descendants(tasks, 5), ElementsAre(5, 40, 100, 30));
	EXPECT_THAT(descendants(tasks, 7), ElementsAre(7));
}

TEST(Task, a_number_that_is_used_again_makes_no_loop)
{
	// 6 was a child of 5, ended, and 5's number went to a child of the next 6.
	std::vector<tree_record> tasks = {task(5, 5, 1), task(6, 6, 5), task(5, 5, 6), task(6, 6, 6)};
	EXPECT_THAT(descendants(tasks, 5), ElementsAre(5, 6));
	EXPECT_THAT(descendants(tasks, 6), ElementsAre(6));
}

static task_record leader(unsigned pid)
{
	task_record record = {};
	record.pid = pid;
	record.tid = pid;
	record.task = 0x1000 + pid;
	return record;
}

static process_record process(unsigned pid)
{
	process_record record = {};
	record.pid = pid;
	record.signal = 0x2000 + pid;
	record.live_threads = 1;
	return record;
}

TEST(Task, a_process_that_is_told_twice_is_one)
{
	std::vector<task_record> tasks = {leader(5), leader(6)};
	std::vector<process_record> processes = {process(5), process(6), process(5), process(7)};
	images::Document document;
	Context context;
	context.document = &document;
	collect_tasks({.tasks = tasks, .processes = processes}, {}, context);
	ASSERT_EQ(document.processes_size(), 2); // and 7 has no thread
	EXPECT_EQ(document.processes(0).pid(), 5u);
	EXPECT_EQ(document.processes(1).pid(), 6u);
}

TEST(Task, an_endless_queue_of_signals_is_that_of_its_owner)
{
	std::vector<task_record> tasks = {leader(5), leader(6)};
	std::vector<process_record> processes = {process(5), process(6)};
	std::vector<pending_record> pending(1);
	pending[0].owner = processes[1].signal;
	pending[0].flags = PENDING_INCOMPLETE;
	images::Document document;
	Context context;
	context.document = &document;
	collect_tasks({.tasks = tasks, .processes = processes, .pending = pending}, {}, context);
	ASSERT_EQ(context.findings.size(), 1u);
	EXPECT_EQ(context.findings[0].object, "pid 6 ()");
}

TEST(Task, a_thread_id_or_no_process_has_no_descendants)
{
	std::vector<tree_record> tasks = {task(5, 5, 1), task(5, 6, 1), task(0, 0, 0)};
	EXPECT_THAT(descendants(tasks, 6), IsEmpty());
	EXPECT_THAT(descendants(tasks, 99), IsEmpty());
	EXPECT_THAT(descendants(tasks, 0), IsEmpty());
}

static std::vector<group_record> chunks(uint64_t group_info, unsigned count)
{
	std::vector<group_record> result;
	for (unsigned i = 0; i < count; i += TASK_GROUP_CHUNK) {
		group_record chunk = {};
		chunk.group_info = group_info;
		chunk.index = i;
		chunk.count = std::min<unsigned>(count - i, TASK_GROUP_CHUNK);
		std::iota(chunk.gid, chunk.gid + TASK_GROUP_CHUNK, i);
		result.push_back(chunk);
	}
	return result;
}

TEST(Task, groups_are_put_together_once)
{
	task_credentials credentials = {};
	credentials.group_info = 0x1000;
	auto groups = chunks(0x2000, 3);
	auto own = chunks(0x1000, 30);
	groups.insert(groups.end(), own.begin(), own.end());
	groups.insert(groups.end(), own.begin(), own.end());
	images::Credentials message;
	collect_credentials(credentials, groups, &message);
	ASSERT_EQ(message.groups_size(), 30);
	for (int i = 0; i < 30; i++)
		EXPECT_EQ(message.groups(i), static_cast<unsigned>(i));
}

TEST(Task, paths_of_a_process_and_of_none)
{
	task_record tasks[3] = {};
	tasks[0].pid = tasks[1].pid = tasks[1].tid = static_cast<unsigned>(getpid());
	tasks[0].exit_state = 1; // of a thread that has exited nothing is asked
	auto paths = read_process_paths(tasks, MountTable::parse(""));
	std::ranges::reverse(paths);
	ASSERT_EQ(paths.size(), 2u);
	EXPECT_FALSE(paths[0].cwd.empty());
	EXPECT_EQ(paths[0].root, "/");
	EXPECT_THAT(paths[0].exe, testing::HasSubstr("unit_tests"));
	EXPECT_EQ(paths[1].cwd, "");
}

} // namespace bpfckpt::collect
