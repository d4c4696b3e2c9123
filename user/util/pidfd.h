/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// A pidfd of a thread that need not be a leader (PIDFD_THREAD, v6.9): what gives access to the descriptors of a process
// whose leader has exited.
#pragma once

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/util/unique_fd.h"

namespace bpfckpt {

// Not valid, and errno: that of pidfd_open(2), EINVAL on kernels before.
inline UniqueFd open_thread_pidfd(pid_t tid)
{
	constexpr unsigned kPidfdThread = O_EXCL; // include/uapi/linux/pidfd.h
	return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, tid, kPidfdThread)));
}

} // namespace bpfckpt
