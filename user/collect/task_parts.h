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

// The records of one capture, indexed.
struct TaskIndex {
	explicit TaskIndex(const iterators::TaskRecords &records_in);

	iterators::TaskRecords records;
	std::unordered_map<uint32_t, std::vector<const task_record *>> threads;      // pid -> the leader first
	std::unordered_map<uint64_t, std::vector<const pending_record *>> pending;   // owner -> in order
	std::unordered_map<uint64_t, std::vector<const sigaction_record *>> actions; // struct sighand_struct
};

// The leader, or a thread that has outlived it: what exit(2) has taken from a leader (memory, files, directories), the
// others have still.
const task_record &living_thread(const std::vector<const task_record *> &threads);

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
void collect_attributes(const task_record &task, const iterators::ThreadFlagBits &bits, images::Thread *message);
// And what of that a dump cannot carry over.
void find_unsupported_attributes(const task_record &task, Context &context);

// State of a process and its threads that a dump cannot carry over.
void find_unsupported(const process_record &process, const TaskIndex &index, Context &context);

} // namespace bpfckpt::collect
