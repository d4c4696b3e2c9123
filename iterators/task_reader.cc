// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "iterators/task_reader.h"

#include <algorithm>
#include <vector>

#include "bpf/task.skel.h"
#include "iterators/bpf_object.h"
#include "iterators/distinct.h"
#include "iterators/landlock.h"
#include "iterators/record_map.h"

namespace bpfckpt::iterators {

struct TaskReader::State {
	explicit State(BpfObject<task_bpf> object_in) : object(std::move(object_in)) {}

	BpfObject<task_bpf> object;
	RecordMap<tree_record> trees;
	RecordMap<task_record> tasks;
	RecordMap<task_common_record> commons;
	RecordMap<cpu_word_record> cpu_words;
	RecordMap<process_record> processes;
	RecordMap<process_limits_record> limits;
	RecordMap<group_record> groups;
	RecordMap<sigaction_record> actions;
	RecordMap<pending_record> pending;
	IterLink tree;
	IterLinks details;
	unsigned cpu_count = 0;
	ThreadFlagBits flag_bits;

	Result<> learn();
	Result<> run_all();
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
	bpf_map__set_max_entries(object->maps.commons, std::max(capacity.commons, 1u));
	bpf_map__set_max_entries(object->maps.processes, std::max(capacity.processes, 1u));
	bpf_map__set_max_entries(object->maps.limits, std::max(capacity.limits, 1u));
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
	state->commons = TRY(RecordMap<task_common_record>::create(maps->commons, &bss->commons_count));
	state->limits = TRY(RecordMap<process_limits_record>::create(maps->limits, &bss->limits_count));
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

// Records of a map, once where they are alike, pass after pass. What finds no room is only counted.
template <class Record>
class Passes {
public:
	explicit Passes(RecordMap<Record> &map) : map_(map), known_(map) {}

	// Those of the pass; `change` is called with each old number, from 1, and the new one.
	void begin() { start_ = map_.needed(); }
	template <class Change>
	void end(Change change)
	{
		if (map_.overflowed()) {
			lacking_ += map_.needed() - start_;
			map_.cut(start_);
			return;
		}
		uint32_t end = start_;
		for (uint32_t i = start_; i < map_.needed(); i++)
			change(i + 1, known_.keep(i, end));
		map_.cut(end);
	}
	void count_lacking() { map_.cut(map_.needed() + lacking_); }

private:
	RecordMap<Record> &map_;
	Distinct<Record> known_;
	uint32_t start_ = 0;
	uint32_t lacking_ = 0;
};

// A tree of one process is left as it is.
Result<> TaskReader::State::run_all()
{
	if (details.size() == 1)
		return details.run();
	Passes<task_common_record> common_passes(commons);
	Passes<process_limits_record> limit_passes(limits);
	for (size_t pass = 0; pass < details.size(); pass++) {
		common_passes.begin();
		limit_passes.begin();
		uint32_t first_task = tasks.needed(), first_process = processes.needed();
		uint32_t first_common = commons.needed();
		TRY(details.run(pass));
		for (task_common_record &common :
		     commons.changeable().subspan(std::min<size_t>(first_common, commons.records().size())))
			common.credentials.cred = 0; // fork(2) gives each its own
		auto renumber = [](auto records, uint32_t first, auto field) {
			return [=, next = size_t{first}](uint32_t number, uint32_t known) mutable {
				while (next < records.size() && records[next].*field != number)
					next++;
				if (next < records.size())
					records[next++].*field = known;
			};
		};
		common_passes.end(renumber(tasks.changeable(), first_task, &task_record::common));
		limit_passes.end(renumber(processes.changeable(), first_process, &process_record::limits));
	}
	common_passes.count_lacking();
	limit_passes.count_lacking();
	return {};
}

const task_common_record &TaskRecords::common_of(const task_record &task) const
{
	static constexpr task_common_record kNone = {};
	return task.common && task.common <= commons.size() ? commons[task.common - 1] : kNone;
}

std::span<const process_limit> TaskRecords::limits_of(const process_record &process) const
{
	if (!process.limits || process.limits > limits.size())
		return {};
	const process_limits_record &record = limits[process.limits - 1];
	return std::span(record.limits).first(std::min<size_t>(record.count, TASK_LIMITS));
}

Result<> TaskReader::run()
{
	State &state = *state_;
	state.object->bss->last_group_info = 0;
	state.tasks.clear();
	state.commons.clear();
	state.cpu_words.clear();
	state.processes.clear();
	state.limits.clear();
	state.groups.clear();
	state.actions.clear();
	state.pending.clear();
	TRY(state.run_all());
	if (state.tasks.overflowed() || state.commons.overflowed() || state.processes.overflowed() ||
	    state.limits.overflowed() || state.groups.overflowed() || state.actions.overflowed() ||
	    state.pending.overflowed())
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
		.commons = state_->commons.records(),
		.cpu_words = state_->cpu_words.records(),
		.processes = state_->processes.records(),
		.limits = state_->limits.records(),
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
		.commons = state_->commons.wanted(),
		.processes = state_->processes.wanted(),
		.limits = state_->limits.wanted(),
		.groups = state_->groups.wanted(),
		.actions = state_->actions.wanted(),
		.pending = state_->pending.wanted(),
	};
}

} // namespace bpfckpt::iterators
