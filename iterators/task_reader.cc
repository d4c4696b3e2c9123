// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "iterators/task_reader.h"

#include <vector>

#include "bpf/task.skel.h"
#include "iterators/bpf_object.h"
#include "iterators/landlock.h"
#include "iterators/record_map.h"

namespace bpfckpt::iterators {

struct TaskReader::State {
	explicit State(BpfObject<task_bpf> object_in) : object(std::move(object_in)) {}

	BpfObject<task_bpf> object;
	RecordMap<tree_record> trees;
	RecordMap<task_record> tasks;
	RecordMap<cpu_word_record> cpu_words;
	RecordMap<process_record> processes;
	RecordMap<group_record> groups;
	RecordMap<sigaction_record> actions;
	RecordMap<pending_record> pending;
	IterLink tree;
	IterLinks details;
	unsigned cpu_count = 0;
	ThreadFlagBits flag_bits;

	Result<> learn();
};

Result<> TaskReader::State::learn()
{
	auto read_flags = [this]() -> Result<uint64_t> {
		TRY(run_syscall_program(object->progs.own_thread, {}));
		return object->bss->thread_flags;
	};
	auto read_security = [this]() -> Result<std::vector<uint64_t>> {
		TRY(run_syscall_program(object->progs.own_thread, {}));
		const auto &words = object->bss->security_words;
		return std::vector<uint64_t>(std::begin(words), std::end(words));
	};
	flag_bits = TRY(learn_thread_flags(read_flags));
	object->data->landlock_word = TRY(learn_landlock_word(read_security));
	return {};
}

TaskReader::TaskReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
TaskReader::TaskReader(TaskReader &&) noexcept = default;
TaskReader &TaskReader::operator=(TaskReader &&) noexcept = default;
TaskReader::~TaskReader() = default;

static void set_capacity(const task_bpf *object, const TaskCapacity &capacity, unsigned cpu_count)
{
	object->rodata->words_of_cpus = (cpu_count + 63) / 64;
	bpf_map__set_max_entries(object->maps.trees, std::max(capacity.trees, 1u));
	bpf_map__set_max_entries(object->maps.tasks, std::max(capacity.tasks, 1u));
	bpf_map__set_max_entries(object->maps.cpu_words, std::max(capacity.tasks, 1u) * object->rodata->words_of_cpus);
	bpf_map__set_max_entries(object->maps.processes, std::max(capacity.processes, 1u));
	bpf_map__set_max_entries(object->maps.groups, std::max(capacity.groups, 1u));
	bpf_map__set_max_entries(object->maps.actions, std::max(capacity.actions, 1u));
	bpf_map__set_max_entries(object->maps.pending, std::max(capacity.pending, 1u));
}

Result<TaskReader> TaskReader::load(const TaskCapacity &capacity)
{
	auto state = std::make_unique<State>(TRY(BpfObject<task_bpf>::open()));
	auto &object = state->object;
	int cpus = libbpf_num_possible_cpus();
	if (cpus < 0)
		return errno_error(-cpus, "cannot count the CPUs");
	state->cpu_count = static_cast<unsigned>(cpus);
	set_capacity(object.operator->(), capacity, state->cpu_count);
	TRY(object.load());
	auto *maps = &object->maps;
	auto *bss = object->bss;
	state->trees = TRY(RecordMap<tree_record>::create(maps->trees, &bss->trees_count));
	state->tasks = TRY(RecordMap<task_record>::create(maps->tasks, &bss->tasks_count));
	state->cpu_words = TRY(RecordMap<cpu_word_record>::create(maps->cpu_words, &bss->cpu_words_count));
	state->processes = TRY(RecordMap<process_record>::create(maps->processes, &bss->processes_count));
	state->groups = TRY(RecordMap<group_record>::create(maps->groups, &bss->groups_count));
	state->actions = TRY(RecordMap<sigaction_record>::create(maps->actions, &bss->actions_count));
	state->pending = TRY(RecordMap<pending_record>::create(maps->pending, &bss->pending_count));
	TRY(state->learn());
	state->tree = TRY(IterLink::attach(object->progs.tree));
	return TaskReader(std::move(state));
}

Result<> TaskReader::attach(std::span<const unsigned> pids)
{
	return state_->details.attach(state_->object->progs.detail, each_process(pids));
}

Result<> TaskReader::run_tree()
{
	state_->trees.clear();
	TRY(state_->tree.run());
	if (state_->trees.overflowed())
		return make_error(Code::kLimit, "{} tasks, room for {}", state_->trees.needed(),
				  state_->trees.capacity());
	return {};
}

Result<> TaskReader::run()
{
	State &state = *state_;
	state.object->bss->last_group_info = 0;
	state.tasks.clear();
	state.cpu_words.clear();
	state.processes.clear();
	state.groups.clear();
	state.actions.clear();
	state.pending.clear();
	TRY(state.details.run());
	if (state.tasks.overflowed() || state.processes.overflowed() || state.groups.overflowed() ||
	    state.actions.overflowed() || state.pending.overflowed())
		return make_error(Code::kLimit, "{} threads with {} signals pending, more than there was room for",
				  state.tasks.needed(), state.pending.needed());
	return {};
}

std::span<const tree_record> TaskReader::trees() const
{
	return state_->trees.records();
}

TaskRecords TaskReader::records() const
{
	return {
		.tasks = state_->tasks.records(),
		.cpu_words = state_->cpu_words.records(),
		.processes = state_->processes.records(),
		.groups = state_->groups.records(),
		.actions = state_->actions.records(),
		.pending = state_->pending.records(),
		.cpu_count = state_->cpu_count,
		.flag_bits = state_->flag_bits,
	};
}

TaskCapacity TaskReader::needed() const
{
	return {
		.trees = state_->trees.wanted(),
		.tasks = state_->tasks.wanted(),
		.processes = state_->processes.wanted(),
		.groups = state_->groups.wanted(),
		.actions = state_->actions.wanted(),
		.pending = state_->pending.wanted(),
	};
}

} // namespace bpfckpt::iterators
