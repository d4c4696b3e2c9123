// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/target/syscall_name.h"

#include <sys/syscall.h>

#include <fmt/core.h>

namespace bpfckpt::target {

namespace {
struct Name {
	long nr;
	const char *name;
};
} // namespace

#define NAME(call) {__NR_##call, #call}
static constexpr Name kNames[] = {
	NAME(arch_prctl),
	NAME(brk),
	NAME(capset),
	NAME(chdir),
	NAME(chroot),
	NAME(clock_nanosleep),
	NAME(clone3),
	NAME(close),
	NAME(close_range),
	NAME(dup3),
	NAME(epoll_ctl),
	NAME(epoll_wait),
	NAME(exit_group),
	NAME(fchdir),
	NAME(fcntl),
	NAME(ftruncate),
	NAME(futex),
	NAME(getpid),
	NAME(io_uring_enter),
	NAME(io_uring_register),
	NAME(io_uring_setup),
	NAME(ioctl),
	NAME(ioprio_set),
	NAME(keyctl),
	NAME(kill),
	NAME(madvise),
	NAME(mlock2),
	NAME(mlockall),
	NAME(mmap),
	NAME(mprotect),
	NAME(mremap),
	NAME(munmap),
	NAME(nanosleep),
	NAME(openat),
	NAME(personality),
	NAME(pidfd_getfd),
	NAME(pidfd_open),
	NAME(poll),
	NAME(prctl),
	NAME(prlimit64),
	NAME(process_madvise),
	NAME(read),
	NAME(rseq),
	NAME(rt_sigaction),
	NAME(rt_sigprocmask),
	NAME(rt_sigqueueinfo),
	NAME(rt_tgsigqueueinfo),
	NAME(sched_setaffinity),
	NAME(sched_setattr),
	NAME(set_robust_list),
	NAME(set_tid_address),
	NAME(setfsgid),
	NAME(setfsuid),
	NAME(setgroups),
	NAME(setitimer),
	NAME(setpgid),
	NAME(setpriority),
	NAME(setresgid),
	NAME(setresuid),
	NAME(setrlimit),
	NAME(setsid),
	NAME(sigaltstack),
	NAME(timer_create),
	NAME(timer_delete),
	NAME(timer_settime),
	NAME(timerfd_settime),
	NAME(umask),
	NAME(wait4),
	NAME(waitid),
	NAME(write),
};
#undef NAME

std::string syscall_name(long nr)
{
	for (const Name &entry : kNames)
		if (entry.nr == nr)
			return entry.name;
	return fmt::format("system call {}", nr);
}

} // namespace bpfckpt::target
