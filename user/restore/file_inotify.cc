// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Inotify (fs/notify/inotify): watches under their numbers, and of events that were unread that they are lost.
#include "user/restore/file.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace bpfckpt::restore {

static constexpr unsigned long kSetNextWd = 0x40044900; // INOTIFY_IOC_SETNEXTWD
static constexpr uint32_t kWatchMask = IN_ALL_EVENTS | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_ONESHOT;
static constexpr size_t kEventBytes = sizeof(inotify_event); // of one without a name
static constexpr size_t kMostEvents = 1 << 22; // that are made: fs.inotify.max_queued_events is 16384 by default

static Result<size_t> unread_bytes(int inotify)
{
	int bytes = 0;
	if (ioctl(inotify, FIONREAD, &bytes))
		return errno_error(errno, "cannot ask for unread events");
	return static_cast<size_t>(bytes);
}

// Events of two kinds in turns, as equal ones become one (fs/notify/inotify/inotify_fsnotify.c: inotify_merge()), until
// the queue does not take all of them. Gives its length.
static Result<size_t> fill_queue(int inotify, int watched)
{
	size_t bytes = 0;
	for (size_t count = 512; count < kMostEvents; count *= 2) {
		for (size_t i = 0; i < count; i += 2)
			if (fchmod(watched, 0600) || ftruncate(watched, 0))
				return errno_error(errno, "cannot make an event");
		size_t before = std::exchange(bytes, TRY(unread_bytes(inotify)));
		if (bytes < before + count * kEventBytes)
			return bytes;
	}
	return make_error(Code::kLimit, "a queue of inotify takes more than {} events", kMostEvents)
		.with_hint("fs.inotify.max_queued_events says how many");
}

static Result<> discard(int inotify, size_t bytes)
{
	std::vector<std::byte> events(bytes);
	while (bytes) {
		ssize_t got = read(inotify, events.data(), bytes);
		if (got <= 0)
			return errno_error(errno, "cannot read events");
		bytes -= static_cast<size_t>(got);
	}
	return {};
}

// IN_Q_OVERFLOW and nothing else: it is the last one of a full queue, which drops the end of the watch, too
// (fs/notify/notification.c: fsnotify_insert_event()). What is watched is nobody else's.
static Result<> queue_overflow(int inotify)
{
	UniqueFd watched(memfd_create("inotify", MFD_CLOEXEC));
	std::string path = fmt::format("/proc/self/fd/{}", watched.get());
	int watch = inotify_add_watch(inotify, path.c_str(), IN_ATTRIB | IN_MODIFY);
	if (watch < 0)
		return errno_error(errno, "cannot watch a file of our own");
	size_t bytes = TRY(fill_queue(inotify, watched.get()));
	if (inotify_rm_watch(inotify, watch))
		return errno_error(errno, "cannot end the watch of a file of our own");
	if (bytes < kEventBytes || TRY(unread_bytes(inotify)) != bytes)
		return Error(Code::kInternal, "a queue of inotify does not overflow");
	return discard(inotify, bytes - kEventBytes);
}

// The number of the next watch.
static Result<> set_next(int inotify, uint32_t number)
{
	if (ioctl(inotify, kSetNextWd, static_cast<long>(number)))
		return errno_error(errno, "cannot set the next watch to {}", number);
	return {};
}

static Result<> add_watches(int inotify, const images::Inotify &image)
{
	if (image.pending_events())
		TRY(queue_overflow(inotify));
	for (const images::InotifyWatch &watch : image.watches()) {
		TRY(set_next(inotify, watch.wd()));
		if (inotify_add_watch(inotify, watch.path().c_str(), watch.mask() & kWatchMask) < 0)
			return errno_error(errno, "cannot watch {} as {}", watch.path(), watch.wd());
	}
	uint32_t next = std::max(image.next_wd(), 1U);
	return next > 1 || image.pending_events() ? set_next(inotify, next) : Result<>();
}

Result<UniqueFd> open_inotify(const images::File &file)
{
	UniqueFd fd(inotify_init1(IN_CLOEXEC | static_cast<int>(file.flags() & O_NONBLOCK)));
	if (!fd.valid())
		return errno_error(errno, "cannot create").on(name_of(file));
	if (Result<> added = add_watches(fd.get(), file.inotify()); !added)
		return std::move(added).error().on(name_of(file));
	return fd;
}

} // namespace bpfckpt::restore
