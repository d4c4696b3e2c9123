/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Parts of the task collector: what task.cc, task_signal.cc and task_security.cc share.
#pragma once

#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "iterators/task_reader.h"
#include "user/collect/context.h"
#include "user/collect/task.h"

namespace bpfckpt::collect {

using Threads = std::span<const task_record *const>;

// The threads of each process, the leader first.
class ThreadIndex {
public:
	explicit ThreadIndex(std::span<const task_record> tasks);
	// Empty: there is no such process, or not its leader.
	[[nodiscard]] Threads at(uint32_t pid) const;
	[[nodiscard]] bool contains(uint32_t pid) const { return !at(pid).empty(); }

private:
	std::vector<const task_record *> tasks_; // by process
};

// The records of one capture, indexed.
struct TaskIndex {
	explicit TaskIndex(const iterators::TaskRecords &records_in);

	iterators::TaskRecords records;
	ThreadIndex threads;
	std::unordered_map<uint64_t, std::vector<const pending_record *>> pending;   // owner -> in order
	std::unordered_map<uint64_t, std::vector<const sigaction_record *>> actions; // struct sighand_struct
};

// The leader, or a thread that has outlived it: what exit(2) has taken from a leader (memory, files, directories), the
// others have still.
const task_record &living_thread(Threads threads);

// "pid 12 (nginx)", "thread 13 (worker) of pid 12".
std::string name_of(const task_record &task);

// A process without its threads and paths, and a thread.
void collect_process(const process_record &process, const TaskIndex &index, Context &context, images::Process *message);
void collect_thread(const task_record &task, const TaskIndex &index, Context &context, images::Thread *message);
void collect_paths(const ProcessPaths &paths, images::Process *message);

void collect_pending(const TaskIndex &index, uint64_t owner,
		     google::protobuf::RepeatedPtrField<images::PendingSignal> *messages);
void collect_actions(const TaskIndex &index, uint64_t sighand,
		     google::protobuf::RepeatedPtrField<images::SignalAction> *messages);
void collect_namespaces(const Context &context, const task_namespaces &record,
			google::protobuf::RepeatedPtrField<images::Namespace> *messages);

// What a thread has set for itself by prctl(2) and its kin.
void collect_attributes(const task_attributes &attributes, const iterators::ThreadFlagBits &bits,
			images::Thread *message);
// And what of that a dump cannot carry over.
void find_unsupported_attributes(const task_record &task, const task_attributes &attributes, Context &context);

// State of a process and its threads that a dump cannot carry over.
void find_unsupported(const process_record &process, const TaskIndex &index, Context &context);

} // namespace bpfckpt::collect
