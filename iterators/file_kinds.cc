// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "iterators/file_kinds.h"

#include <csignal>
#include <ctime>

#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "iterators/file_reader.h"

namespace bpfckpt::iterators {

static int open_signalfd()
{
	sigset_t none;
	sigemptyset(&none);
	return ::signalfd(-1, &none, SFD_CLOEXEC);
}

static int open_ring()
{
	io_uring_params params = {};
	return static_cast<int>(::syscall(SYS_io_uring_setup, 1, &params));
}

void SampleFiles::add(file_kind kind, int fd)
{
	fds_[kind] = fd;
	if (fd >= 0)
		owned_.emplace_back(fd);
}

void SampleFiles::add_pipe()
{
	int ends[2];
	if (::pipe2(ends, O_CLOEXEC) < 0)
		return;
	add(FILE_KIND_PIPE, ends[0]);
	owned_.emplace_back(ends[1]);
}

void SampleFiles::add_socket()
{
	add(FILE_KIND_SOCKET, ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	timeval timeout = {.tv_sec = kReceiveTimeout, .tv_usec = 0};
	::setsockopt(fds_[FILE_KIND_SOCKET], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
}

SampleFiles::SampleFiles()
{
	fds_.fill(-1);
	add_pipe();
	add_socket();
	add(FILE_KIND_EVENTFD, ::eventfd(0, EFD_CLOEXEC));
	add(FILE_KIND_TIMERFD, ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
	add(FILE_KIND_SIGNALFD, open_signalfd());
	add(FILE_KIND_EPOLL, ::epoll_create1(EPOLL_CLOEXEC));
	add(FILE_KIND_INOTIFY, ::inotify_init1(IN_CLOEXEC));
	add(FILE_KIND_PIDFD, static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
	add(FILE_KIND_IO_URING, open_ring());
}

static bool is_tty(unsigned rdev)
{
	// Documentation/admin-guide/devices.txt: pty masters and slaves, tty, console and ptmx, Unix98 ptys.
	unsigned major = rdev >> 20;
	return (major >= 2 && major <= 5) || (major >= 128 && major <= 143);
}

static FileKind kind_of_regular(const file_record &record)
{
	constexpr uint64_t kNsfs = 0x6e736673;
	if (record.s_magic == kNsfs)
		return FILE_KIND_NAMESPACE;
	if (record.path_flags & FILE_PATH_MEMFD)
		return FILE_KIND_MEMFD;
	if (record.path_flags & FILE_PATH_PSEUDO)
		return record.s_magic == FILE_MAGIC_TMPFS ? FILE_KIND_SHM : FILE_KIND_UNKNOWN;
	return FILE_KIND_REGULAR;
}

FileKind kind_of(const file_record &record)
{
	constexpr uint64_t kPipefs = 0x50495045;
	constexpr unsigned kFmodePath = 0x4000;
	if (record.f_mode & kFmodePath)
		return FILE_KIND_PATH;
	if (record.kind == FILE_KIND_PIPE && record.s_magic != kPipefs)
		return FILE_KIND_FIFO;
	if (record.kind != FILE_KIND_UNKNOWN && record.kind < FILE_KIND_COUNT)
		return static_cast<FileKind>(record.kind);
	switch (record.i_mode & S_IFMT) {
	case S_IFREG:
		return kind_of_regular(record);
	case S_IFDIR:
		return FILE_KIND_DIRECTORY;
	case S_IFCHR:
		return is_tty(record.rdev) ? FILE_KIND_TTY : FILE_KIND_CHARDEV;
	case S_IFBLK:
		return FILE_KIND_BLOCKDEV;
	default:
		return FILE_KIND_UNKNOWN;
	}
}

const char *name_of(FileKind kind)
{
	switch (kind) {
	case FILE_KIND_REGULAR:
		return "regular";
	case FILE_KIND_DIRECTORY:
		return "directory";
	case FILE_KIND_PATH:
		return "path";
	case FILE_KIND_CHARDEV:
		return "chardev";
	case FILE_KIND_BLOCKDEV:
		return "blockdev";
	case FILE_KIND_TTY:
		return "tty";
	case FILE_KIND_FIFO:
		return "fifo";
	case FILE_KIND_MEMFD:
		return "memfd";
	case FILE_KIND_SHM:
		return "shm";
	case FILE_KIND_NAMESPACE:
		return "namespace";
	case FILE_KIND_PIPE:
		return "pipe";
	case FILE_KIND_SOCKET:
		return "socket";
	case FILE_KIND_EVENTFD:
		return "eventfd";
	case FILE_KIND_TIMERFD:
		return "timerfd";
	case FILE_KIND_SIGNALFD:
		return "signalfd";
	case FILE_KIND_EPOLL:
		return "epoll";
	case FILE_KIND_INOTIFY:
		return "inotify";
	case FILE_KIND_PIDFD:
		return "pidfd";
	case FILE_KIND_IO_URING:
		return "io_uring";
	default:
		return "unknown";
	}
}

} // namespace bpfckpt::iterators
