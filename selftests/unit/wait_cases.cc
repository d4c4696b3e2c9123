// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "selftests/unit/wait_cases.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <pty.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftests/unit/raw_ring.h"

namespace bpfckpt::selftests {

namespace {

constexpr long kSysEpollPwait2 = 441;
constexpr long kSysFutexWaitv = 449;

timespec after_ms(int64_t ms)
{
	return {ms / 1000, ms % 1000 * 1'000'000};
}

timespec monotonic_in_ms(clockid_t clock, int64_t ms)
{
	timespec now;
	::clock_gettime(clock, &now);
	int64_t ns = int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec + ms * 1'000'000;
	return {ns / 1'000'000'000, ns % 1'000'000'000};
}

struct Pipe {
	int in, out;
};

Pipe new_pipe()
{
	int fds[2];
	if (::pipe2(fds, O_CLOEXEC) < 0)
		std::abort();
	return {fds[0], fds[1]};
}

Pipe new_socketpair(bool timeout)
{
	int fds[2];
	if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		std::abort();
	timeval limit = {0, kTimeoutMs * 1000};
	if (timeout)
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

long futex(std::atomic<int> *word, int op, int value, const timespec *time, int bits = 0)
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
	// Abstract, of this process alone, and another one each time.
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

// A ring with a poll of `fd` submitted.
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

void send_usr2(pid_t pid)
{
	::kill(pid, SIGUSR2);
}

using Cases = std::vector<WaitCase>;

void add_timed(Cases &cases)
{
	auto add = [&](const char *name, int error, std::function<long()> wait) {
		cases.push_back({name, WaitCase::kExact, error, std::move(wait), {}});
	};
	static const Pipe never = new_pipe();
	static const int epoll = new_epoll(never.in);
	static std::atomic<int> *const word = new_futex(0);

	add("nanosleep", 0, [] {
		timespec time = after_ms(kTimeoutMs);
		return ::syscall(SYS_nanosleep, &time, nullptr);
	});
	add("clock_nanosleep", 0, [] {
		timespec time = after_ms(kTimeoutMs);
		return ::syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &time, nullptr);
	});
	add("clock_nanosleep until", 0, [] {
		timespec time = monotonic_in_ms(CLOCK_MONOTONIC, kTimeoutMs);
		return ::syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr);
	});
	add("poll", 0, [] {
		pollfd fd = {never.in, POLLIN, 0};
		return ::syscall(SYS_poll, &fd, 1, kTimeoutMs);
	});
	add("ppoll", 0, [] {
		pollfd fd = {never.in, POLLIN, 0};
		timespec time = after_ms(kTimeoutMs);
		return ::syscall(SYS_ppoll, &fd, 1, &time, nullptr, 8);
	});
	add("select", 0, [] {
		timeval time = {0, kTimeoutMs * 1000};
		return ::syscall(SYS_select, 0, nullptr, nullptr, nullptr, &time);
	});
	add("pselect6", 0, [] {
		timespec time = after_ms(kTimeoutMs);
		return ::syscall(SYS_pselect6, 0, nullptr, nullptr, nullptr, &time, nullptr);
	});
	add("epoll_wait", 0, [] {
		epoll_event event;
		return ::syscall(SYS_epoll_wait, epoll, &event, 1, kTimeoutMs);
	});
	add("epoll_pwait", 0, [] {
		epoll_event event;
		uint64_t mask = 1 << (SIGUSR2 - 1);
		return ::syscall(SYS_epoll_pwait, epoll, &event, 1, kTimeoutMs, &mask, 8);
	});
	add("epoll_pwait2", 0, [] {
		epoll_event event;
		timespec time = after_ms(kTimeoutMs);
		return ::syscall(kSysEpollPwait2, epoll, &event, 1, &time, nullptr, 8);
	});
	add("futex wait", ETIMEDOUT, [] {
		timespec time = after_ms(kTimeoutMs);
		return futex(word, FUTEX_WAIT, 0, &time);
	});
	add("futex wait until", ETIMEDOUT, [] {
		timespec time = monotonic_in_ms(CLOCK_MONOTONIC, kTimeoutMs);
		return futex(word, FUTEX_WAIT_BITSET, 0, &time, -1);
	});
	add("futex_waitv", ETIMEDOUT, [] {
		struct {
			uint64_t value, address;
			uint32_t flags, reserved;
		} waiter = {0, reinterpret_cast<uint64_t>(word), 2, 0};
		timespec time = monotonic_in_ms(CLOCK_MONOTONIC, kTimeoutMs);
		return ::syscall(kSysFutexWaitv, &waiter, 1, 0, &time, CLOCK_MONOTONIC);
	});
	add("sigtimedwait", EAGAIN, [] {
		block_signal(SIGUSR2);
		sigset_t set = one_signal(SIGUSR2);
		timespec time = after_ms(kTimeoutMs);
		return ::syscall(SYS_rt_sigtimedwait, &set, nullptr, &time, 8);
	});
	add("semtimedop", EAGAIN, [] {
		int semaphores = ::semget(IPC_PRIVATE, 1, 0600);
		sembuf take = {0, -1, 0};
		timespec time = after_ms(kTimeoutMs);
		long result = ::syscall(SYS_semtimedop, semaphores, &take, 1, &time);
		int err = errno;
		::semctl(semaphores, 0, IPC_RMID);
		errno = err;
		return result;
	});
	add("mq_timedreceive", ETIMEDOUT, [] {
		std::string name = "/bpfckpt-" + std::to_string(::getpid());
		mqd_t queue = ::mq_open(name.c_str(), O_CREAT | O_RDWR, 0600, nullptr);
		::mq_unlink(name.c_str());
		std::vector<char> message(16384);
		timespec time = monotonic_in_ms(CLOCK_REALTIME, kTimeoutMs);
		return static_cast<long>(::mq_timedreceive(queue, message.data(), message.size(), nullptr, &time));
	});
	add("io_getevents", 0, [] {
		aio_context_t context = 0;
		::syscall(SYS_io_setup, 4, &context);
		io_event event;
		timespec time = after_ms(kTimeoutMs);
		return ::syscall(SYS_io_getevents, context, 1, 1, &event, &time);
	});
	add("io_uring_enter for a time", ETIME, [] {
		int ring = RawRing().fd();
		timespec time = after_ms(kTimeoutMs);
		struct {
			uint64_t mask;
			uint32_t size, min_wait;
			uint64_t time;
		} arg = {0, 0, 0, reinterpret_cast<uint64_t>(&time)};
		return ::syscall(SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg,
				 sizeof(arg));
	});
	add("read a timerfd", 0, [] {
		int fd = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
		itimerspec time = {{}, after_ms(kTimeoutMs)};
		::timerfd_settime(fd, 0, &time, nullptr);
		uint64_t ticks;
		return static_cast<long>(::read(fd, &ticks, sizeof(ticks)));
	});

	// Their deadline is a tick of the timer wheel.
	add("recv with SO_RCVTIMEO", EAGAIN, [] {
		char byte;
		return static_cast<long>(::recv(new_socketpair(true).in, &byte, 1, 0));
	});
	add("read with SO_RCVTIMEO", EAGAIN, [] {
		char byte;
		return static_cast<long>(::read(new_socketpair(true).in, &byte, 1));
	});
}

void add_reads(Cases &cases)
{
	auto add = [&](const char *name, std::function<long()> wait, std::function<void(pid_t)> trigger) {
		cases.push_back({name, WaitCase::kForever, 0, std::move(wait), std::move(trigger)});
	};
	auto read_some = [](int fd) {
		char bytes[512];
		return static_cast<long>(::read(fd, bytes, sizeof(bytes)));
	};
	auto add_read = [&](const char *name, int fd, std::function<void(pid_t)> trigger) {
		add(name, [=] { return read_some(fd); }, std::move(trigger));
	};
	Pipe pipe = new_pipe();
	add_read("read a pipe", pipe.in, [=](pid_t) { poke(pipe.out); });
	int event = ::eventfd(0, EFD_CLOEXEC);
	add_read("read an eventfd", event, [=](pid_t) { poke(event); });
	add(
		"read a signalfd",
		[=] {
			block_signal(SIGUSR2);
			sigset_t set = one_signal(SIGUSR2);
			return read_some(::signalfd(-1, &set, SFD_CLOEXEC));
		},
		send_usr2);
	char file[] = "/tmp/bpfckpt-inotify-XXXXXX";
	int watched = ::mkstemp(file);
	int inotify = ::inotify_init1(IN_CLOEXEC);
	::inotify_add_watch(inotify, file, IN_MODIFY);
	::unlink(file);
	char drained[4096];
	::fcntl(inotify, F_SETFL, O_NONBLOCK);
	while (::read(inotify, drained, sizeof(drained)) > 0)
		;
	::fcntl(inotify, F_SETFL, 0);
	add_read("read an inotify", inotify, [=](pid_t) { poke(watched); });
	int master, slave;
	if (::openpty(&master, &slave, nullptr, nullptr, nullptr) == 0)
		add_read("read a terminal", slave, [=](pid_t) { (void)!::write(master, "x\n", 2); });
	Pipe unix_pair = new_socketpair(false);
	add_read("read a socket", unix_pair.in, [=](pid_t) { poke(unix_pair.out); });
	Pipe recv_pair = new_socketpair(false);
	add(
		"recv",
		[=] {
			char byte;
			return static_cast<long>(::recv(recv_pair.in, &byte, 1, 0));
		},
		[=](pid_t) { poke(recv_pair.out); });
	Pipe from = new_pipe(), to = new_pipe();
	add(
		"splice", [=] { return static_cast<long>(::splice(from.in, nullptr, to.out, nullptr, 512, 0)); },
		[=](pid_t) { poke(from.out); });
	Pipe full = new_pipe();
	::fcntl(full.out, F_SETPIPE_SZ, 4096);
	std::vector<char> page(4096);
	(void)!::write(full.out, page.data(), page.size());
	add(
		"write to a full pipe", [=] { return static_cast<long>(::write(full.out, "x", 1)); },
		[=](pid_t) {
			read_some(full.in);
			read_some(full.in);
			read_some(full.in);
			read_some(full.in);
			read_some(full.in);
			read_some(full.in);
			read_some(full.in);
			read_some(full.in);
		});
}

void add_forever(Cases &cases)
{
	auto add = [&](const char *name, std::function<long()> wait, std::function<void(pid_t)> trigger,
		       int error = 0) {
		cases.push_back({name, WaitCase::kForever, error, std::move(wait), std::move(trigger)});
	};
	Pipe polled = new_pipe();
	auto poke_polled = [=](pid_t) { poke(polled.out); };
	add(
		"poll for ever",
		[=] {
			pollfd fd = {polled.in, POLLIN, 0};
			return ::syscall(SYS_poll, &fd, 1, -1);
		},
		poke_polled);
	add(
		"select for ever",
		[=] {
			fd_set set;
			FD_ZERO(&set);
			FD_SET(polled.in, &set);
			return ::syscall(SYS_select, polled.in + 1, &set, nullptr, nullptr, nullptr);
		},
		poke_polled);
	add(
		"ppoll for ever",
		[=] {
			pollfd fd = {polled.in, POLLIN, 0};
			uint64_t mask = 1 << (SIGUSR2 - 1);
			return ::syscall(SYS_ppoll, &fd, 1, nullptr, &mask, 8);
		},
		poke_polled);
	int epoll = new_epoll(polled.in);
	add(
		"epoll_wait for ever",
		[=] {
			epoll_event event;
			return ::syscall(SYS_epoll_wait, epoll, &event, 1, -1);
		},
		poke_polled);
	add(
		"epoll_pwait2 for ever",
		[=] {
			epoll_event event;
			return ::syscall(kSysEpollPwait2, epoll, &event, 1, nullptr, nullptr, 8);
		},
		poke_polled);
	auto *word = new_futex(0);
	add(
		"futex wait for ever",
		[=] {
			// EAGAIN: the word had changed by the time that the call was entered again.
			long result = futex(word, FUTEX_WAIT, 0, nullptr);
			return result < 0 && errno == EAGAIN ? 0 : result;
		},
		[=](pid_t) { wake(word); });
	auto *pi = new_futex(::getpid());
	add(
		"futex lock pi", [=] { return futex(pi, FUTEX_LOCK_PI, 0, nullptr); },
		[=](pid_t) { futex(pi, FUTEX_UNLOCK_PI, 0, nullptr); });
	add(
		"sigwaitinfo",
		[] {
			block_signal(SIGUSR2);
			sigset_t set = one_signal(SIGUSR2);
			return ::syscall(SYS_rt_sigtimedwait, &set, nullptr, nullptr, 8);
		},
		send_usr2);
	int semaphores = ::semget(IPC_PRIVATE, 1, 0600);
	add(
		"semop",
		[=] {
			sembuf take = {0, -1, 0};
			long result = ::syscall(SYS_semop, semaphores, &take, 1);
			int err = errno;
			::semctl(semaphores, 0, IPC_RMID);
			errno = err;
			return result;
		},
		[=](pid_t) {
			sembuf give = {0, 1, 0};
			::semop(semaphores, &give, 1);
		});
	int messages = ::msgget(IPC_PRIVATE, 0600);
	add(
		"msgrcv",
		[=] {
			struct {
				long type;
				char text[16];
			} message;
			long result = ::msgrcv(messages, &message, sizeof(message.text), 0, 0);
			int err = errno;
			::msgctl(messages, IPC_RMID, nullptr);
			errno = err;
			return result;
		},
		[=](pid_t) {
			struct {
				long type;
				char text[1];
			} message = {1, {'x'}};
			::msgsnd(messages, &message, 1, 0);
		});
	sockaddr_un accept_at = abstract_address("accept");
	int listener = new_listener(accept_at, 8);
	add(
		"accept", [=] { return static_cast<long>(::accept(listener, nullptr, nullptr)); },
		[=](pid_t) { connect_to(accept_at); });
	sockaddr_un full_at = abstract_address("connect");
	int full = new_listener(full_at, 0);
	connect_to(full_at);
	add("connect", [=] { return connect_to(full_at); }, [=](pid_t) { ::close(::accept(full, nullptr, nullptr)); });
	Pipe uring = new_pipe();
	add(
		"io_uring_enter for ever",
		[=] {
			return ::syscall(SYS_io_uring_enter, new_ring(uring.in), 0, 1, IORING_ENTER_GETEVENTS, nullptr,
					 0);
		},
		[=](pid_t) { poke(uring.out); });
	Pipe child_pipe = new_pipe();
	add(
		"wait4",
		[=] {
			pid_t child = ::fork();
			if (child == 0) {
				char bytes[8];
				(void)!::read(child_pipe.in, bytes, sizeof(bytes));
				::_exit(0);
			}
			return static_cast<long>(::waitpid(child, nullptr, 0));
		},
		[=](pid_t) { poke(child_pipe.out); });
	int locked = ::memfd_create("lock", MFD_CLOEXEC);
	std::string lock_path = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(locked);
	::flock(locked, LOCK_EX);
	add(
		"flock", [=] { return static_cast<long>(::flock(::open(lock_path.c_str(), O_RDWR), LOCK_EX)); },
		[=](pid_t) { ::flock(locked, LOCK_UN); });
	static struct flock posix_lock = {};
	posix_lock.l_type = F_WRLCK;
	::fcntl(locked, F_SETLK, &posix_lock);
	add(
		"fcntl(F_SETLKW)", [=] { return static_cast<long>(::fcntl(locked, F_SETLKW, &posix_lock)); },
		[=](pid_t) {
			struct flock unlock = {};
			unlock.l_type = F_UNLCK;
			::fcntl(locked, F_SETLK, &unlock);
		});
	for (bool pause : {true, false})
		add(
			pause ? "pause" : "sigsuspend",
			[=] {
				struct sigaction action = {};
				action.sa_handler = count_signal;
				::sigaction(SIGUSR2, &action, nullptr);
				sigset_t none;
				sigemptyset(&none);
				long result = pause ? ::pause() : ::sigsuspend(&none);
				return handled_signals == 1 ? result : 0;
			},
			send_usr2, EINTR);
}

} // namespace

std::vector<WaitCase> wait_cases()
{
	Cases cases;
	add_timed(cases);
	add_reads(cases);
	add_forever(cases);
	return cases;
}

} // namespace bpfckpt::selftests
