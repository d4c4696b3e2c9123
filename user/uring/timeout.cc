// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// TIMEOUT, LINK_TIMEOUT, TIMEOUT_REMOVE (io_uring/timeout.c: struct io_timeout, struct io_timeout_data).
#include <ctime>

#include <limits>

#include "user/uring/decode.h"

namespace bpfckpt::uring {

static constexpr uint32_t kTimeoutMultishot = 1 << 6;

// A relative time on the wall clock runs on CLOCK_MONOTONIC (kernel/time/hrtimer.c: __hrtimer_init()).
static uint32_t clock_of(uint32_t flags)
{
	if (flags & IORING_TIMEOUT_BOOTTIME)
		return CLOCK_BOOTTIME;
	return flags & IORING_TIMEOUT_REALTIME && flags & IORING_TIMEOUT_ABS ? CLOCK_REALTIME : CLOCK_MONOTONIC;
}

// As a ktime_t, in which what is too long is for ever (include/linux/ktime.h: ktime_set()).
static int64_t nanoseconds(const iterators::KernelObject &data)
{
	constexpr int64_t kForEver = std::numeric_limits<int64_t>::max();
	if (data.has("time")) // 7.2: one ktime_t
		return static_cast<int64_t>(data.get("time"));
	auto seconds = static_cast<int64_t>(data.get("ts.tv_sec"));
	if (seconds >= kForEver / 1'000'000'000)
		return kForEver;
	return seconds * 1'000'000'000 + static_cast<int64_t>(data.get("ts.tv_nsec"));
}

// It is on no list any more, and not because it is still to be started.
static bool has_fired(const RequestSource &source)
{
	uint32_t place = source.record->place;
	return (place == URING_PLACE_TASK_WORK || place == URING_PLACE_FALLBACK) && !source.is_to_be_issued();
}

// How it was passed last, at the submission or by an update. That leaves the flags, and the time but of a TIMEOUT since
// v6.4, as which it repeats (io_timeout_update(), io_linked_timeout_update()). Where only the flags are left to tell,
// the deadline is the same either way.
static bool is_absolute(const RequestSource &source, uint32_t flags, int64_t time, int64_t deadline)
{
	const uring_request_record &record = *source.record;
	if (flags & IORING_TIMEOUT_REALTIME)
		return record.timer_clock == CLOCK_REALTIME;
	bool is_told = record.opcode == images::IORING_OP_TIMEOUT && source.command("io_timeout").has("repeats");
	return time == deadline || (!is_told && flags & IORING_TIMEOUT_ABS);
}

// Those that a submission takes which is to end at the same time.
static uint32_t flags_of_armed(const uring_request_record &record, uint32_t flags, bool absolute)
{
	if (!absolute)
		return flags & ~IORING_TIMEOUT_ABS;
	bool linked = record.opcode == images::IORING_OP_LINK_TIMEOUT;
	return (linked ? flags & ~kTimeoutMultishot : flags) | IORING_TIMEOUT_ABS; // which do not go together
}

std::string decode_timeout(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	auto timeout = source.command("io_timeout");
	auto data = source.async_data("io_timeout_data");
	auto flags = static_cast<uint32_t>(data.get("flags"));

	sqe.len = 1; // of one timespec, whose place restore chooses
	request.set_timeout_ns(nanoseconds(data));
	// A linked one takes the flag, and expires once.
	request.set_multishot(sqe.opcode == images::IORING_OP_TIMEOUT && flags & kTimeoutMultishot);
	// An update makes it repeat without end, and leaves the number (io_timeout_update(), io_timeout_finish()).
	if (timeout.get("off"))
		request.set_repeats(static_cast<uint32_t>(timeout.get("repeats")));

	bool armed = source.record->place == URING_PLACE_TIMEOUT || source.record->place == URING_PLACE_LINK_TIMEOUT;
	if (armed) {
		auto deadline = static_cast<int64_t>(data.get("timer._softexpires"));
		bool absolute = is_absolute(source, flags, request.timeout_ns(), deadline);
		if (absolute && request.multishot())
			return "it repeats, and its next time was changed to one of the clock";
		if (absolute)
			request.set_timeout_ns(deadline);
		flags = flags_of_armed(*source.record, flags, absolute);
		request.set_remaining_ns(deadline - source.now(clock_of(flags)));
	} else {
		request.set_remaining_ns(has_fired(source) ? 0 : request.timeout_ns());
		if (request.remaining_ns() <= 0) // whatever the deadline was
			flags &= ~IORING_TIMEOUT_ABS;
	}
	sqe.timeout_flags = flags;
	request.set_op_flags(flags);
	request.set_clock_id(clock_of(flags));

	auto count = static_cast<uint32_t>(timeout.get("off"));
	if (request.multishot())
		sqe.off = request.repeats();
	else if (count && armed)
		sqe.off = static_cast<uint32_t>(timeout.get("target_seq")) - source.completions;
	else
		sqe.off = count;
	if (!request.multishot())
		request.set_timeout_count(static_cast<uint32_t>(sqe.off));
	// 0 would mean that it does not count, and a large number that it was passed by (io_flush_timeouts()).
	if (count && armed && !request.multishot() && static_cast<int32_t>(sqe.off) <= 0)
		return "the completions that it counts have come";
	return {};
}

std::string decode_timeout_update(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	auto remove = source.command("io_timeout_rem");
	sqe.addr = remove.get("addr");
	sqe.timeout_flags = static_cast<uint32_t>(remove.get("flags"));
	request.set_address(sqe.addr);
	request.set_op_flags(sqe.timeout_flags);
	request.set_timeout_ns(nanoseconds(remove));
	return {};
}

} // namespace bpfckpt::uring
