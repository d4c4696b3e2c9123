// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Signal actions and pending signals (struct sighand_struct, sigqueue: include/linux/signal_types.h).
#include <algorithm>
#include <cstring>

#include <csignal>

#include "user/collect/task_parts.h"

namespace bpfckpt::collect {

ThreadIndex::ThreadIndex(std::span<const task_record> tasks)
{
	tasks_.reserve(tasks.size());
	for (const task_record &task : tasks)
		tasks_.push_back(&task);
	std::ranges::stable_sort(tasks_, [](const task_record *one, const task_record *other) {
		return std::pair(one->pid, one->tid != one->pid) < std::pair(other->pid, other->tid != other->pid);
	});
}

// On a running system a leader may be missing: exec by another thread in the middle of the pass.
Threads ThreadIndex::at(uint32_t pid) const
{
	auto found = std::ranges::equal_range(tasks_, pid, {}, &task_record::pid);
	Threads threads(found.begin(), found.end());
	return threads.empty() || threads.front()->tid != pid ? Threads() : threads;
}

TaskIndex::TaskIndex(const iterators::TaskRecords &records_in) : records(records_in), threads(records_in.tasks)
{
	for (const pending_record &record : records.pending)
		pending[record.owner].push_back(&record);
	for (const sigaction_record &record : records.actions)
		actions[record.sighand].push_back(&record);
}

const task_record &living_thread(Threads threads)
{
	auto living = std::ranges::find(threads, 0U, &task_record::exit_state);
	return living == threads.end() ? *threads.front() : **living;
}

void collect_pending(const TaskIndex &index, uint64_t owner,
		     google::protobuf::RepeatedPtrField<images::PendingSignal> *messages)
{
	auto it = index.pending.find(owner);
	if (it == index.pending.end())
		return;
	for (const pending_record *record : it->second) {
		if (record->flags & PENDING_INCOMPLETE)
			continue;
		images::PendingSignal *message = messages->Add();
		message->set_signal(record->signal);
		message->set_timer(-1);
		if (record->flags & PENDING_NO_INFO)
			continue;
		siginfo_t info = {};
		static_assert(sizeof(info) == 128);
		std::memcpy(&info, record->siginfo, sizeof(record->siginfo));
		message->set_code(info.si_code);
		if (record->flags & PENDING_TIMER)
			message->set_timer(info.si_timerid);
		message->set_siginfo(&info, sizeof(info));
	}
}

void collect_actions(const TaskIndex &index, uint64_t sighand,
		     google::protobuf::RepeatedPtrField<images::SignalAction> *messages)
{
	auto it = index.actions.find(sighand);
	if (it == index.actions.end())
		return;
	uint32_t last = 0;
	for (const sigaction_record *record : it->second) {
		// Processes that share it (CLONE_SIGHAND) report it once each: the numbers start anew.
		if (record->signal <= last)
			break;
		last = record->signal;
		images::SignalAction *message = messages->Add();
		message->set_signal(record->signal);
		message->set_handler(record->handler);
		message->set_flags(record->flags);
		message->set_restorer(record->restorer);
		message->set_mask(record->mask);
	}
}

} // namespace bpfckpt::collect
