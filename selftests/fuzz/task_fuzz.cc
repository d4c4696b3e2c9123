// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Any bytes as the records of tasks and of timers: what a walk over processes that come and go may give.
#include <csignal>
#include <cstdlib>
#include <unordered_set>

#include "selftests/fuzz/record_input.h"
#include "user/collect/task.h"
#include "user/collect/timer.h"

using namespace bpfckpt;
using fuzz::Input;

namespace {

struct Records {
	std::vector<tree_record> trees;
	std::vector<task_record> tasks;
	std::vector<task_common_record> commons;
	std::vector<process_limits_record> limits;
	std::vector<cpu_word_record> cpu_words;
	std::vector<process_record> processes;
	std::vector<group_record> groups;
	std::vector<sigaction_record> actions;
	std::vector<pending_record> pending;
	std::vector<timer_record> timers;
	std::vector<itimer_record> itimers;

	explicit Records(Input input)
	{
		while (!input.empty())
			add(input);
	}
	void add(Input &input);
	void add_task(Input &input);
	void add_common(Input &input);
	[[nodiscard]] iterators::TaskRecords of_tasks() const
	{
		return {.tasks = tasks,
			.commons = commons,
			.cpu_words = cpu_words,
			.processes = processes,
			.limits = limits,
			.groups = groups,
			.actions = actions,
			.pending = pending,
			.cpu_count = 6,
			.flag_bits = {.no_tsc = 1 << 16, .no_cpuid = 1 << 15}};
	}
	// Threads may share their groups, and processes their signal actions.
	[[nodiscard]] size_t size_of_shared() const
	{
		return tasks.size() * (groups.size() * sizeof(group_record) + sizeof(task_common_record)) +
		       processes.size() * sizeof(process_limits_record) * 2 +
		       processes.size() * actions.size() * sizeof(sigaction_record) +
		       (tasks.size() + processes.size()) * pending.size() * 2 * sizeof(siginfo_t);
	}
};

void Records::add_task(Input &input)
{
	task_record &task = tasks.emplace_back(input.take_sparse<task_record>());
	fuzz::make_addresses(task.task, task.mm, task.files, task.fs, task.sighand, task.signal, task.subjective_cred,
			     task.vfork_done, task.io_uring, task.restart_function);
	task.pid = input.take<uint8_t>() & 3;
	task.tid = input.take<uint8_t>() & 3;
	fuzz::cut_down(task.first_cpu_word, task.common);
}

void Records::add_common(Input &input)
{
	task_common_record &common = commons.emplace_back(input.take_sparse<task_common_record>());
	fuzz::make_addresses(common.credentials.cred, common.credentials.group_info, common.attributes.css_set);
	for (auto &ring : common.registered_rings)
		fuzz::make_addresses(ring);
}

void Records::add(Input &input)
{
	switch (input.take<uint8_t>() % 11) {
	case 0:
		trees.push_back(input.take_sparse<tree_record>());
		fuzz::cut_down(trees.back().pid, trees.back().tid, trees.back().ppid);
		break;
	case 1:
		add_task(input);
		break;
	case 2: {
		process_record &process = processes.emplace_back(input.take_sparse<process_record>());
		fuzz::make_addresses(process.signal, process.mm, process.exe_file);
		process.pid = input.take<uint8_t>() & 3;
		fuzz::cut_down(process.ppid, process.limits);
		break;
	}
	case 3:
		fuzz::make_addresses(groups.emplace_back(input.take<group_record>()).group_info);
		break;
	case 4:
		fuzz::make_addresses(actions.emplace_back(input.take<sigaction_record>()).sighand);
		break;
	case 5:
		fuzz::make_addresses(pending.emplace_back(input.take<pending_record>()).owner);
		break;
	case 6:
		fuzz::cut_down(timers.emplace_back(input.take<timer_record>()).pid);
		break;
	case 7:
		fuzz::cut_down(itimers.emplace_back(input.take<itimer_record>()).pid);
		break;
	case 8:
		add_common(input);
		break;
	case 9:
		limits.push_back(input.take_sparse<process_limits_record>());
		break;
	default:
		cpu_words.push_back(input.take<cpu_word_record>());
		break;
	}
}

void check_descendants(const Records &records)
{
	std::vector<unsigned> pids = collect::descendants(records.trees, 1);
	std::unordered_set<unsigned> seen;
	for (unsigned pid : pids)
		if (!pid || !seen.insert(pid).second)
			abort();
	if (pids.size() > records.trees.size())
		abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Records records(Input(data, size));
	check_descendants(records);

	images::Document document;
	collect::Context context;
	context.document = &document;
	context.time = {.realtime_ns = 1'700'000'000'000'000'000, .monotonic_ns = 1'000'000'000, .boottime_ns = 1};
	context.own_namespaces = {1, 2, 3};
	std::vector<collect::ProcessPaths> paths = {{.pid = 1, .cwd = "/", .root = "/", .exe = "/bin/true"},
						    {.pid = 2, .cwd = "/a (deleted)", .cwd_deleted = true}};
	collect::collect_tasks(records.of_tasks(), paths, context);
	collect::collect_timers({.timers = records.timers, .itimers = records.itimers}, context);

	// A task that is named by an edit of a few bytes has a message of a few hundred.
	fuzz::check_collected(context, 4096 + 512 * size + records.size_of_shared());
	return 0;
}
