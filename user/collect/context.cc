// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/context.h"

#include "user/util/kernel_clock.h"

namespace bpfckpt::collect {

CaptureTime CaptureTime::now()
{
	return {
		.realtime_ns = kernel_now(CLOCK_REALTIME),
		.monotonic_ns = kernel_now(CLOCK_MONOTONIC),
		.boottime_ns = kernel_now(CLOCK_BOOTTIME),
		.tai_ns = kernel_now(CLOCK_TAI),
	};
}

int64_t CaptureTime::on(uint32_t clock_id) const
{
	switch (clock_id) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_ALARM:
		return realtime_ns;
	case CLOCK_BOOTTIME:
	case CLOCK_BOOTTIME_ALARM:
		return boottime_ns;
	case CLOCK_TAI:
		return tai_ns;
	default:
		return monotonic_ns;
	}
}

uint32_t living_tid(const images::Process &process)
{
	for (const images::Thread &thread : process.threads())
		if (thread.role() == images::Thread::USER)
			return thread.tid();
	return process.pid();
}

} // namespace bpfckpt::collect
