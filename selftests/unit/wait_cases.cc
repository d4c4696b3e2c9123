// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "selftests/unit/wait_cases.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "selftests/unit/raw_ring.h"
#include "selftests/unit/wait_parts.h"

namespace bpfckpt::selftests {

timespec after_ms(int64_t ms)
{
	return {ms / 1000, ms % 1000 * 1'000'000};
}

timespec clock_in_ms(clockid_t clock, int64_t ms)
{
	timespec now;
	::clock_gettime(clock, &now);
	int64_t ns = int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec + ms * 1'000'000;
	return {ns / 1'000'000'000, ns % 1'000'000'000};
}

Pipe new_pipe()
{
	int fds[2];
	if (::pipe2(fds, O_CLOEXEC) < 0)
		std::abort();
	return {fds[0], fds[1]};
}

timeval timeval_of_ms(int64_t ms)
{
	return {ms / 1000, ms % 1000 * 1000};
}

Pipe new_socketpair(int64_t timeout_ms)
{
	int fds[2];
	if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		std::abort();
	timeval limit = timeval_of_ms(timeout_ms);
	if (timeout_ms)
		::setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return {fds[0], fds[1]};
}

void poke(int fd)
{
	uint64_t one = 1;
	(void)!::write(fd, &one, sizeof(one));
}

int new_epoll(int fd)
{
	int epoll = ::epoll_create1(EPOLL_CLOEXEC);
	epoll_event event = {.events = EPOLLIN, .data = {}};
	::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	return epoll;
}

std::atomic<int> *new_futex(int value)
{
	void *page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return new (page) std::atomic<int>(value);
}

long futex(std::atomic<int> *word, int op, int value, const timespec *time, int bits)
{
	return ::syscall(SYS_futex, word, op, value, time, nullptr, bits);
}

void wake(std::atomic<int> *word)
{
	word->store(1);
	futex(word, FUTEX_WAKE, 1, nullptr);
}

sockaddr_un abstract_address(const char *name)
{
	sockaddr_un address = {};
	address.sun_family = AF_UNIX;
	static int count;
	snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "bpfckpt-%d-%s-%d", ::getpid(), name, count++);
	return address;
}

int new_listener(const sockaddr_un &address, int backlog)
{
	int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (::bind(fd, reinterpret_cast<const sockaddr *>(&address), sizeof(address)) < 0 || ::listen(fd, backlog) < 0)
		std::abort();
	return fd;
}

long connect_to(const sockaddr_un &address)
{
	int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return ::connect(fd, reinterpret_cast<const sockaddr *>(&address), sizeof(address));
}

int new_ring(int fd)
{
	RawRing ring;
	io_uring_sqe sqe = {};
	sqe.opcode = IORING_OP_POLL_ADD;
	sqe.fd = fd;
	sqe.poll32_events = POLLIN;
	if (ring.submit(sqe) != 1)
		std::abort();
	return ring.fd();
}

volatile sig_atomic_t handled_signals;

void count_signal(int)
{
	handled_signals = handled_signals + 1;
}

void block_signal(int signal)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, signal);
	::sigprocmask(SIG_BLOCK, &set, nullptr);
}

sigset_t one_signal(int signal)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, signal);
	return set;
}

std::vector<WaitCase> wait_cases(int64_t timeout_ms)
{
	std::vector<WaitCase> cases;
	add_timed_waits(cases, timeout_ms);
	add_waits_for_data(cases);
	add_endless_waits(cases);
	return cases;
}

} // namespace bpfckpt::selftests
