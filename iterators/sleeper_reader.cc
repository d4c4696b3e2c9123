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

Result<SleeperReader> SleeperReader::load(uint32_t capacity)
{
	auto state = std::make_unique<State>(TRY(BpfObject<sleeper_bpf>::open()));
	auto &object = state->object;
	int cpus = libbpf_num_possible_cpus();
	if (cpus < 0)
		return errno_error(-cpus, "cannot count the CPUs");
	bpf_map__set_max_entries(object->maps.sleepers, std::max(capacity, 1u));
	bpf_map__set_max_entries(object->maps.tasks, kMaxThreads);
	object->rodata->cpu_count = static_cast<__u32>(cpus);
	object->rodata->tick_ns = tick_ns();
	TRY(object.load());
	state->sleepers = TRY(RecordMap<sleeper_record>::create(object->maps.sleepers, &object->bss->sleepers_count));
	return SleeperReader(std::move(state));
}

Result<> SleeperReader::look_at(std::span<const uint64_t> tasks)
{
	auto count = static_cast<uint32_t>(std::min<size_t>(tasks.size(), kMaxThreads));
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
	int failed = TRY(run_syscall_program(state_->object->progs.walk_sleepers, {}));
	if (failed)
		return Error(Code::kInternal, "cannot find the kernel's timer queues");
	TRY(run_syscall_program(state_->object->progs.walk_stacks, {}));
	if (state_->sleepers.overflowed())
		return make_error(Code::kLimit, "{} sleeping threads, room for {}", state_->sleepers.needed(),
				  state_->sleepers.capacity());
	return {};
}

std::span<const sleeper_record> SleeperReader::sleepers() const
{
	return state_->sleepers.records();
}

uint32_t SleeperReader::needed() const
{
	return state_->sleepers.needed();
}

const sleeper_record *SleeperReader::find(uint32_t tid) const
{
	auto records = sleepers();
	auto it = std::ranges::find(records, tid, &sleeper_record::tid);
	return it == records.end() ? nullptr : &*it;
}

} // namespace bpfckpt::iterators
