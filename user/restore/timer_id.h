/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// IDs of POSIX timers. Linux 6.15 takes the ID from timer_create(2)'s argument if it is asked to
// (PR_TIMER_CREATE_RESTORE_IDS). Elsewhere IDs are given one after the other in a circle of 2^31, per process: timers
// are made and deleted until the wanted ID comes.
#pragma once

#include <cstdint>
#include <vector>

#include "images/task.pb.h"
#include "user/target/remote.h"
#include "user/util/log.h"
#include "user/util/result.h"

namespace bpfckpt::restore {

// What this kernel does: probed in bpfckpt itself.
bool kernel_takes_timer_ids();

// IDs that would have to be counted, from 0 to the source's next one; past all of the circle if a timer's ID is not
// below that. Pure.
uint64_t timer_id_steps(const images::Process &process);
// The last timer that counting comes to; nullptr: only the next ID has to be reached. Pure.
const images::PosixTimer *last_counted_timer(const images::Process &process);

// About what the reference machine does: 0.95 us for an ID.
inline constexpr uint64_t kTimerIdsPerSecond = 1'000'000;
inline constexpr uint64_t kTimerIdLimit = 60 * kTimerIdsPerSecond;

// Makes the timers, disarmed, and leaves the process with the source's next ID. `count`: without the prctl.
Result<> create_timers(target::Tracee &leader, const images::Process &process, bool count, const Log &log);

} // namespace bpfckpt::restore
