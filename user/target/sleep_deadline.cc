// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/target/sleep_deadline.h"

namespace bpfckpt::target {

SleepDeadlines sleep_deadlines(std::span<const sleeper_record> sleepers, std::span<const task_record> tasks)
{
	std::unordered_map<uint64_t, const sleeper_record *> by_task;
	for (const sleeper_record &sleeper : sleepers)
		by_task.emplace(sleeper.task, &sleeper);
	SleepDeadlines deadlines;
	for (const task_record &task : tasks) {
		auto found = by_task.find(task.task);
		if (found == by_task.end() || task.switches != found->second->switches + 1)
			continue;
		const sleeper_record &sleeper = *found->second;
		int64_t ns = sleeper.kind == SLEEPER_IO_URING_MIN ? sleeper.final_ns : sleeper.soft_ns;
		deadlines[task.tid] = {.clock = sleeper.clock, .ns = ns};
	}
	return deadlines;
}

} // namespace bpfckpt::target
