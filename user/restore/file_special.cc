// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Files of the kernel's own that stand alone: eventfd, timerfd, signalfd, epoll, pidfd.
#include "user/restore/file.h"

#include <climits>
#include <csignal>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/util/io.h"

namespace bpfckpt::restore {

static constexpr unsigned long kTimerfdSetTicks = 0x40085400; // TFD_IOC_SET_TICKS

static timespec timespec_of(int64_t ns)
{
	return {.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
}

static Result<UniqueFd> checked(int fd, const images::File &file)
{
	UniqueFd result(fd);
	if (!result.valid())
		return errno_error(errno, "cannot create").on(name_of(file));
	if ((file.flags() & O_NONBLOCK) && fcntl(result.get(), F_SETFL, O_NONBLOCK))
		return errno_error(errno, "cannot set flags").on(name_of(file));
	return result;
}

Result<UniqueFd> open_eventfd(const images::File &file)
{
	const images::Eventfd &image = file.eventfd();
	uint64_t count = image.count();
	bool fits = count <= UINT_MAX; // the rest has to be written
	UniqueFd fd(eventfd(fits ? static_cast<unsigned>(count) : 0, EFD_CLOEXEC | eventfd_flags(file)));
	if (!fd.valid())
		return errno_error(errno, "cannot create").on(name_of(file));
	if (!fits)
		TRY(write_all(fd.get(), std::as_bytes(std::span(&count, 1))));
	return fd;
}

int eventfd_flags(const images::File &file)
{
	return (file.eventfd().semaphore() ? EFD_SEMAPHORE : 0) |
	       (file.flags() & O_NONBLOCK ? static_cast<int>(EFD_NONBLOCK) : 0);
}

// A timer that is due without ticks fires at once; ticks that were there are set after settime, which would clear them.
// A wall-clock deadline stays where it is, whatever time has passed since the freeze.
Result<UniqueFd> open_timerfd(const images::File &file, int64_t frozen_at_ns)
{
	const images::Timerfd &image = file.timerfd();
	UniqueFd fd = TRY(checked(timerfd_create(static_cast<int>(image.clock_id()), TFD_CLOEXEC), file));
	bool armed = image.armed() || image.remaining_ns() > 0;
	uint64_t ticks = image.ticks();
	if (armed || ticks) {
		int64_t remaining = image.remaining_ns() > 0 ? image.remaining_ns() : 1;
		itimerspec spec = {.it_interval = timespec_of(image.interval_ns()), .it_value = timespec_of(remaining)};
		bool wall_clock = image.clock_id() == CLOCK_REALTIME || image.clock_id() == CLOCK_REALTIME_ALARM;
		bool absolute = wall_clock && (image.settime_flags() & TFD_TIMER_ABSTIME);
		if (absolute)
			spec.it_value = timespec_of(frozen_at_ns + remaining);
		if (timerfd_settime(fd.get(), absolute ? static_cast<int>(image.settime_flags()) : 0, &spec, nullptr))
			return errno_error(errno, "cannot arm").on(name_of(file));
	}
	if (ticks && ioctl(fd.get(), kTimerfdSetTicks, &ticks))
		return errno_error(errno, "cannot set {} ticks", ticks).on(name_of(file));
	return fd;
}

Result<UniqueFd> open_signalfd(const images::File &file, uint64_t mask)
{
	return checked(static_cast<int>(syscall(SYS_signalfd4, -1, &mask, sizeof(mask), SFD_CLOEXEC)), file);
}

// The items are added by a process that has them under their numbers (OpenFiles::install).
Result<UniqueFd> open_epoll(const images::File &file)
{
	return checked(epoll_create1(EPOLL_CLOEXEC), file);
}

static Result<UniqueFd> pidfd_of(pid_t pid, const images::File &file)
{
	unsigned flags = file.pidfd().thread() ? O_EXCL : 0; // PIDFD_THREAD
	return checked(static_cast<int>(syscall(SYS_pidfd_open, pid, flags)), file);
}

Result<OpenedFiles> open_pidfds(std::span<const images::File *const> files)
{
	OpenedFiles opened;
	auto pid = static_cast<pid_t>(files[0]->pidfd().pid());
	// A process that was reaped is stood for by one that we create and reap.
	pid_t stand_in = pid ? 0 : fork();
	if (!pid && stand_in == 0)
		_exit(0);
	if (stand_in < 0)
		return errno_error(errno, "cannot fork").on(name_of(*files[0]));
	Result<> failed;
	for (const images::File *file : files) {
		Result<UniqueFd> fd = pidfd_of(pid ? pid : stand_in, *file);
		if (fd)
			opened.emplace_back(file->id(), std::move(*fd));
		else
			failed = std::move(fd).error();
	}
	if (stand_in)
		waitpid(stand_in, nullptr, 0);
	TRY(std::move(failed));
	return opened;
}

} // namespace bpfckpt::restore
