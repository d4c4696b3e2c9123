// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "iterators/timer_reader.h"

#include <algorithm>
#include <vector>

#include "bpf/timer.skel.h"
#include "iterators/bpf_object.h"
#include "iterators/record_map.h"

namespace bpfckpt::iterators {

struct TimerReader::State {
	explicit State(BpfObject<timer_bpf> object_in) : object(std::move(object_in)) {}

	BpfObject<timer_bpf> object;
	RecordMap<timer_record> timers;
	RecordMap<itimer_record> itimers;
	IterLinks links;
};

TimerReader::TimerReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
TimerReader::TimerReader(TimerReader &&) noexcept = default;
TimerReader &TimerReader::operator=(TimerReader &&) noexcept = default;
TimerReader::~TimerReader() = default;

Result<TimerReader> TimerReader::load(const TimerCapacity &capacity)
{
	auto state = std::make_unique<State>(TRY(BpfObject<timer_bpf>::open()));
	auto &object = state->object;
	bpf_map__set_max_entries(object->maps.timers, std::max(capacity.timers, 1u));
	bpf_map__set_max_entries(object->maps.itimers, std::max(capacity.processes, 1u));
	TRY(object.load());
	state->timers = TRY(RecordMap<timer_record>::create(object->maps.timers, &object->bss->timers_count));
	state->itimers = TRY(RecordMap<itimer_record>::create(object->maps.itimers, &object->bss->itimers_count));
	return TimerReader(std::move(state));
}

Result<> TimerReader::attach(std::span<const unsigned> pids)
{
	return state_->links.attach(state_->object->progs.process_timers, each_leader(pids));
}

Result<> TimerReader::run()
{
	state_->timers.clear();
	state_->itimers.clear();
	TRY(state_->links.run());
	if (state_->timers.overflowed() || state_->itimers.overflowed())
		return make_error(Code::kLimit, "{} timers of {} processes, more than there was room for",
				  state_->timers.needed(), state_->itimers.needed());
	return {};
}

TimerRecords TimerReader::records() const
{
	return {.timers = state_->timers.records(), .itimers = state_->itimers.records()};
}

TimerCapacity TimerReader::needed() const
{
	return {.timers = state_->timers.wanted(), .processes = state_->itimers.wanted()};
}

} // namespace bpfckpt::iterators
