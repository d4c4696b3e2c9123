/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Which of the deadlines that the sleeper walk found (struct hrtimer) belong to the calls that the stop interrupted.
//
// The walk is before the stop, so a thread may have woken and gone to sleep again in between. It has not if from the
// walk to the stop it gave up its CPU exactly once: in the stop itself (nvcsw; to be preempted does not count).
#pragma once

#include <span>
#include <unordered_map>

#include "iterators/sleeper_record.h"
#include "iterators/task_record.h"
#include "user/target/interrupted_syscall.h"

namespace bpfckpt::target {

// By tid. `tasks` are read while the threads are stopped.
using SleepDeadlines = std::unordered_map<uint32_t, SleepDeadline>;
SleepDeadlines sleep_deadlines(std::span<const sleeper_record> sleepers, std::span<const task_record> tasks);

} // namespace bpfckpt::target
