// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "iterators/sleeper_reader.h"

#include <algorithm>
#include <ctime>

#include "bpf/sleeper.skel.h"
#include "iterators/bpf_object.h"
#include "iterators/record_map.h"

namespace bpfckpt::iterators {

struct SleeperReader::State {
	explicit State(BpfObject<sleeper_bpf> object_in) : object(std::move(object_in)) {}

	BpfObject<sleeper_bpf> object;
	RecordMap<sleeper_record> sleepers;
	uint32_t room = 0;
};

SleeperReader::SleeperReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
SleeperReader::SleeperReader(SleeperReader &&) noexcept = default;
SleeperReader &SleeperReader::operator=(SleeperReader &&) noexcept = default;
SleeperReader::~SleeperReader() = default;

// The coarse clocks move with the tick (kernel/time/posix-timers.c: posix_get_coarse_res()).
static uint64_t tick_ns()
{
	timespec tick = {};
	clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
	return static_cast<uint64_t>(tick.tv_nsec);
}

Result<SleeperReader> SleeperReader::load(uint32_t threads)
{
	auto state = std::make_unique<State>(TRY(BpfObject<sleeper_bpf>::open()));
	auto &object = state->object;
	state->room = std::max(threads, 1u);
	bpf_map__set_max_entries(object->maps.sleepers, state->room);
	bpf_map__set_max_entries(object->maps.tasks, state->room);
	object->rodata->tick_ns = tick_ns();
	TRY(object.load());
	state->sleepers = TRY(RecordMap<sleeper_record>::create(object->maps.sleepers, &object->bss->sleepers_count));
	return SleeperReader(std::move(state));
}

Result<> SleeperReader::look_at(std::span<const uint64_t> tasks)
{
	if (tasks.size() > state_->room)
		return make_error(Code::kLimit, "{} threads, room for the deadlines of {}", tasks.size(), state_->room);
	auto count = static_cast<uint32_t>(tasks.size());
	for (uint32_t i = 0; i < count; i++)
		if (int err = bpf_map__update_elem(state_->object->maps.tasks, &i, sizeof(i), &tasks[i],
						   sizeof(tasks[i]), BPF_ANY))
			return errno_error(-err, "cannot name the threads whose deadlines are sought");
	state_->object->bss->task_count = count;
	return {};
}

Result<> SleeperReader::run()
{
	state_->sleepers.clear();
	TRY(run_syscall_program(state_->object->progs.walk_stacks, {}));
	return {};
}

std::span<const sleeper_record> SleeperReader::sleepers() const
{
	return state_->sleepers.records();
}

} // namespace bpfckpt::iterators
