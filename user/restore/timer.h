/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// POSIX timers (struct k_itimer) as they ran, and interval timers (struct signal_struct).
#pragma once

#include "user/restore/tree.h"
#include "user/target/batch.h"
#include "user/util/log.h"

namespace bpfckpt::restore {

// When all threads are there: a timer can signal one of them. One that expires again stays
// disarmed: add_pending_signals() arms it at its signal's place in the queue.
Result<> restore_timers(Member &member, Tree &tree, bool count_ids, const Log &log);

// Whether a timer's signal, which is in a queue, comes by arming the timer in the past: the kernel queues it at once,
// and counts overruns from where they stood. For others the queued siginfo has to do, which has no tie to the timer.
bool expires_again(const images::PosixTimer &timer);
void add_expired_timer(target::SyscallBatch &batch, const images::PosixTimer &timer);

} // namespace bpfckpt::restore
