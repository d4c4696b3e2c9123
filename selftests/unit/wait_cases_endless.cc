// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// System calls that wait for data, a lock or a signal, however long it takes.
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <linux/futex.h>
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
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftests/unit/raw_ring.h"
#include "selftests/unit/wait_parts.h"

namespace bpfckpt::selftests {

constexpr long kSysEpollPwait2 = 441;

static void send_usr2(pid_t pid)
{
	::kill(pid, SIGUSR2);
}

void add_waits_for_data(std::vector<WaitCase> &cases)
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
	Pipe unix_pair = new_socketpair(0);
	add_read("read a socket", unix_pair.in, [=](pid_t) { poke(unix_pair.out); });
	Pipe recv_pair = new_socketpair(0);
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

void add_endless_waits(std::vector<WaitCase> &cases)
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

} // namespace bpfckpt::selftests
