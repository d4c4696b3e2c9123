/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Timers: timer and itimer records -> Process.timers, next_timer_id, interval_timers.
#pragma once

#include "iterators/timer_reader.h"
#include "user/collect/context.h"

namespace bpfckpt::collect {

// After collect_tasks(). Context.time has to be that of the records.
void collect_timers(const iterators::TimerRecords &records, Context &context);

// For one timer; pure.
void collect_timer(const timer_record &record, const CaptureTime &time, images::PosixTimer *message);

} // namespace bpfckpt::collect
