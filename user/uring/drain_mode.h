/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What a dump may do to bring rings to rest (user/uring/drain.h); the command line names it, too, and reads no kernel.
#pragma once

namespace bpfckpt::uring {

enum class DrainMode {
	kAuto, // wait; threads are lent to completions that only they can post and that could not be made up at restore
	kObserve, // wait
	kNop,     // as kAuto; in the end a request of ours tells that all before it are done (collect/ring_barrier.h)
	kEnter,   // as kAuto, for whatever is queued
	kOff,     // look once
};

} // namespace bpfckpt::uring
