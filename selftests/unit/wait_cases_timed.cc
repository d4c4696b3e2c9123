// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// System calls with a timeout, which have to end on time whatever stops them.
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "selftests/unit/raw_ring.h"
#include "selftests/unit/wait_parts.h"

namespace bpfckpt::selftests {

constexpr long kSysEpollPwait2 = 441;
constexpr long kSysFutexWaitv = 449;

void add_timed_waits(std::vector<WaitCase> &cases, int64_t timeout_ms)
{
	auto add = [&](const char *name, int error, std::function<long()> wait) {
		cases.push_back({name, WaitCase::kExact, error, std::move(wait), {}});
	};
	static const Pipe never = new_pipe();
	static const int epoll = new_epoll(never.in);
	static std::atomic<int> *const word = new_futex(0);

	add("nanosleep", 0, [timeout_ms] {
		timespec time = after_ms(timeout_ms);
		return ::syscall(SYS_nanosleep, &time, nullptr);
	});
	add("clock_nanosleep", 0, [timeout_ms] {
		timespec time = after_ms(timeout_ms);
		return ::syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &time, nullptr);
	});
	add("clock_nanosleep until", 0, [timeout_ms] {
		timespec time = clock_in_ms(CLOCK_MONOTONIC, timeout_ms);
		return ::syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr);
	});
	add("poll", 0, [timeout_ms] {
		pollfd fd = {never.in, POLLIN, 0};
		return ::syscall(SYS_poll, &fd, 1, timeout_ms);
	});
	add("ppoll", 0, [timeout_ms] {
		pollfd fd = {never.in, POLLIN, 0};
		timespec time = after_ms(timeout_ms);
		return ::syscall(SYS_ppoll, &fd, 1, &time, nullptr, 8);
	});
	add("select", 0, [timeout_ms] {
		timeval time = timeval_of_ms(timeout_ms);
		return ::syscall(SYS_select, 0, nullptr, nullptr, nullptr, &time);
	});
	add("pselect6", 0, [timeout_ms] {
		timespec time = after_ms(timeout_ms);
		return ::syscall(SYS_pselect6, 0, nullptr, nullptr, nullptr, &time, nullptr);
	});
	add("epoll_wait", 0, [timeout_ms] {
		epoll_event event;
		return ::syscall(SYS_epoll_wait, epoll, &event, 1, timeout_ms);
	});
	add("epoll_pwait", 0, [timeout_ms] {
		epoll_event event;
		uint64_t mask = 1 << (SIGUSR2 - 1);
		return ::syscall(SYS_epoll_pwait, epoll, &event, 1, timeout_ms, &mask, 8);
	});
	add("epoll_pwait2", 0, [timeout_ms] {
		epoll_event event;
		timespec time = after_ms(timeout_ms);
		return ::syscall(kSysEpollPwait2, epoll, &event, 1, &time, nullptr, 8);
	});
	add("futex wait", ETIMEDOUT, [timeout_ms] {
		timespec time = after_ms(timeout_ms);
		return futex(word, FUTEX_WAIT, 0, &time);
	});
	add("futex wait until", ETIMEDOUT, [timeout_ms] {
		timespec time = clock_in_ms(CLOCK_MONOTONIC, timeout_ms);
		return futex(word, FUTEX_WAIT_BITSET, 0, &time, -1);
	});
	add("futex_waitv", ETIMEDOUT, [timeout_ms] {
		struct {
			uint64_t value, address;
			uint32_t flags, reserved;
		} waiter = {0, reinterpret_cast<uint64_t>(word), 2, 0};
		timespec time = clock_in_ms(CLOCK_MONOTONIC, timeout_ms);
		return ::syscall(kSysFutexWaitv, &waiter, 1, 0, &time, CLOCK_MONOTONIC);
	});
	add("sigtimedwait", EAGAIN, [timeout_ms] {
		block_signal(SIGUSR2);
		sigset_t set = one_signal(SIGUSR2);
		timespec time = after_ms(timeout_ms);
		return ::syscall(SYS_rt_sigtimedwait, &set, nullptr, &time, 8);
	});
	add("semtimedop", EAGAIN, [timeout_ms] {
		int semaphores = ::semget(IPC_PRIVATE, 1, 0600);
		sembuf take = {0, -1, 0};
		timespec time = after_ms(timeout_ms);
		long result = ::syscall(SYS_semtimedop, semaphores, &take, 1, &time);
		int err = errno;
		::semctl(semaphores, 0, IPC_RMID);
		errno = err;
		return result;
	});
	add("mq_timedreceive", ETIMEDOUT, [timeout_ms] {
		std::string name = "/bpfckpt-" + std::to_string(::getpid());
		mqd_t queue = ::mq_open(name.c_str(), O_CREAT | O_RDWR, 0600, nullptr);
		::mq_unlink(name.c_str());
		std::vector<char> message(16384);
		timespec time = clock_in_ms(CLOCK_REALTIME, timeout_ms);
		return static_cast<long>(::mq_timedreceive(queue, message.data(), message.size(), nullptr, &time));
	});
	add("io_getevents", 0, [timeout_ms] {
		aio_context_t context = 0;
		::syscall(SYS_io_setup, 4, &context);
		io_event event;
		timespec time = after_ms(timeout_ms);
		return ::syscall(SYS_io_getevents, context, 1, 1, &event, &time);
	});
	add("io_uring_enter for a time", ETIME, [timeout_ms] {
		int ring = RawRing().fd();
		timespec time = after_ms(timeout_ms);
		struct {
			uint64_t mask;
			uint32_t size, min_wait;
			uint64_t time;
		} arg = {0, 0, 0, reinterpret_cast<uint64_t>(&time)};
		return ::syscall(SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg,
				 sizeof(arg));
	});
	add("read a timerfd", 0, [timeout_ms] {
		int fd = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
		itimerspec time = {{}, after_ms(timeout_ms)};
		::timerfd_settime(fd, 0, &time, nullptr);
		uint64_t ticks;
		return static_cast<long>(::read(fd, &ticks, sizeof(ticks)));
	});

	// Their deadline is a tick of the timer wheel.
	add("recv with SO_RCVTIMEO", EAGAIN, [timeout_ms] {
		char byte;
		return static_cast<long>(::recv(new_socketpair(timeout_ms).in, &byte, 1, 0));
	});
	add("read with SO_RCVTIMEO", EAGAIN, [timeout_ms] {
		char byte;
		return static_cast<long>(::read(new_socketpair(timeout_ms).in, &byte, 1));
	});
}

} // namespace bpfckpt::selftests
