// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/target/pid_ref.h"

#include <algorithm>
#include <csignal>

#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "user/target/tree_scan.h"

namespace bpfckpt::target {

Result<PidRef> PidRef::open(pid_t pid)
{
	PidRef ref;
	ref.pid_ = pid;
	ref.fd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
	if (!ref.fd_.valid()) {
		int err = errno;
		if (err == EMFILE || err == ENFILE || err == ENOMEM)
			return errno_error(err, "cannot hold it").on(fmt::format("pid {}", pid));
		// pidfd_open(2) says EINVAL (6.1: ENOENT from 6.9 on) for a thread that is no leader.
		if (pid > 0 && err != ESRCH && read_task_stat(fmt::format("/proc/{}/stat", pid)))
			return make_error(Code::kUsage, "is a thread, not a process").on(fmt::format("pid {}", pid));
		return make_error(Code::kGone, "no such process").on(fmt::format("pid {}", pid));
	}
	TaskStat stat = TRY(read_task_stat(fmt::format("/proc/{}/stat", pid)));
	// The number could have passed on to another process before stat was read, not while the pidfd's process is
	// alive.
	if (::syscall(SYS_pidfd_send_signal, ref.fd_.get(), 0, nullptr, 0) < 0 && errno == ESRCH)
		return make_error(Code::kGone, "no such process").on(fmt::format("pid {}", pid));
	ref.start_time_ = stat.start_time;
	struct stat inode;
	if (::fstat(ref.fd_.get(), &inode) == 0)
		ref.inode_ = inode.st_ino;
	return ref;
}

bool PidRef::exited() const
{
	pollfd poll = {.fd = fd_.get(), .events = POLLIN, .revents = 0};
	return ::poll(&poll, 1, 0) == 1;
}

Result<> PidRef::wait_for_exit(Clock::time_point deadline) const
{
	for (;;) {
		auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
		pollfd poll = {.fd = fd_.get(), .events = POLLIN, .revents = 0};
		int ready = ::poll(&poll, 1, static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30)));
		if (ready == 1)
			return {};
		if (ready == 0)
			return make_error(Code::kTimeout, "does not exit").on(fmt::format("pid {}", pid_));
		if (errno != EINTR)
			return errno_error(errno, "cannot wait for the exit").on(fmt::format("pid {}", pid_));
	}
}

Result<> PidRef::signal(int number) const
{
	if (::syscall(SYS_pidfd_send_signal, fd_.get(), number, nullptr, 0) < 0)
		return errno_error(errno, "cannot send signal {}", number).on(fmt::format("pid {}", pid_));
	return {};
}

} // namespace bpfckpt::target
