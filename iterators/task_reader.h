/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Tasks of the system (tree) and of chosen processes in full (detail), by bpf/task.bpf.c.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "iterators/task_record.h"
#include "iterators/thread_flags.h"
#include "user/util/result.h"

namespace bpfckpt::iterators {

// How many records of each kind there is room for. needed() of a run that failed with Code::kLimit fits the next
// load().
struct TaskCapacity {
	uint32_t trees = 4096;   // tasks of the system
	uint32_t tasks = 1024;   // threads of the attached processes
	uint32_t commons = 1024; // of one process, and those that others have
	uint32_t processes = 256;
	uint32_t limits = 256;
	uint32_t groups = 256; // chunks of TASK_GROUP_CHUNK supplementary groups
	uint32_t actions = 4096;
	uint32_t pending = 1024;
};

// All that one round has read of the attached processes: views of the maps, valid until the next one.
struct TaskRecords {
	std::span<const task_record> tasks = {};
	std::span<const task_common_record> commons = {};
	std::span<const cpu_word_record> cpu_words = {};
	std::span<const process_record> processes = {};
	std::span<const process_limits_record> limits = {};
	std::span<const group_record> groups = {};
	std::span<const sigaction_record> actions = {};
	std::span<const pending_record> pending = {};
	unsigned cpu_count = 0;        // nr_cpu_ids: bits of cpus_mask beyond it mean nothing (cpumask_copy())
	ThreadFlagBits flag_bits = {}; // of task_attributes.thread_flags

	// Zeroes where there was none.
	[[nodiscard]] const task_common_record &common_of(const task_record &task) const;
	[[nodiscard]] std::span<const process_limit> limits_of(const process_record &process) const;
};

class TaskReader {
public:
	static Result<TaskReader> load(const TaskCapacity &capacity = {});
	TaskReader(TaskReader &&) noexcept;
	TaskReader &operator=(TaskReader &&) noexcept;
	~TaskReader();

	// The processes that run() reads, in place of the earlier ones. A pid that does not exist (any more) gives no
	// records.
	Result<> attach(std::span<const unsigned> pids);

	// detail of all attached processes.
	Result<> run();
	// tree of the whole PID namespace.
	Result<> run_tree();

	// Valid until the next run() or run_tree().
	[[nodiscard]] std::span<const tree_record> trees() const;
	[[nodiscard]] std::span<const task_record> tasks() const { return records().tasks; }
	[[nodiscard]] TaskRecords records() const;
	[[nodiscard]] TaskCapacity needed() const;

private:
	struct State;
	explicit TaskReader(std::unique_ptr<State> state);
	std::unique_ptr<State> state_;
};

} // namespace bpfckpt::iterators
