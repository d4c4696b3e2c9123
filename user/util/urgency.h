/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Urgency: while it lives, the calling thread and the threads that it starts run before all others (nice -20). For the
// time in which a target is stopped: on a busy machine it would otherwise wait for everybody else's time slices.
#pragma once

#include <sys/resource.h>

namespace bpfckpt {

class Urgency {
public:
	// Without CAP_SYS_NICE nothing changes.
	Urgency() : before_(getpriority(PRIO_PROCESS, 0)) { setpriority(PRIO_PROCESS, 0, -20); }
	Urgency(const Urgency &) = delete;
	Urgency &operator=(const Urgency &) = delete;
	~Urgency() { setpriority(PRIO_PROCESS, 0, before_); }

private:
	int before_;
};

} // namespace bpfckpt
