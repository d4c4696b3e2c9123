// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/context.h"

#include <ctime>

namespace bpfckpt::collect {

static int64_t now_on(clockid_t clock)
{
	timespec ts = {};
	clock_gettime(clock, &ts);
	return ts.tv_sec * 1'000'000'000LL + ts.tv_nsec;
}

CaptureTime CaptureTime::now()
{
	return {
		.realtime_ns = now_on(CLOCK_REALTIME),
		.monotonic_ns = now_on(CLOCK_MONOTONIC),
		.boottime_ns = now_on(CLOCK_BOOTTIME),
		.tai_ns = now_on(CLOCK_TAI),
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

} // namespace bpfckpt::collect
