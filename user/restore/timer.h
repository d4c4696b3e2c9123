/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// POSIX timers (struct k_itimer) under their IDs, and interval timers (struct signal_struct).
#pragma once

#include "user/restore/plan.h"
#include "user/target/remote.h"

namespace bpfckpt::restore {

// By the leader, when all threads are there: a timer can signal one of them.
Result<> restore_timers(target::Tracee &leader, const images::Process &process);

} // namespace bpfckpt::restore
