// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/restorable_polls.h"

#include <algorithm>

#include <fmt/format.h>
#include <linux/io_uring.h>
#include <sys/epoll.h>

#include "images/descriptors.h"
#include "user/uring/opcode.h"

namespace bpfckpt::uring {

namespace {

constexpr uint32_t kModes = EPOLLET | EPOLLONESHOT | EPOLLWAKEUP | EPOLLEXCLUSIVE;
constexpr uint32_t kInput = EPOLLIN | EPOLLPRI | EPOLLRDNORM | EPOLLRDBAND | EPOLLMSG | EPOLLRDHUP;
constexpr uint32_t kAlways = EPOLLERR | EPOLLHUP;
constexpr int kMostNested = 5; // EP_MAX_NESTS, and one more

template <class Signals>
bool has_one_of(const Signals &pending, uint64_t mask)
{
	return std::ranges::any_of(pending, [mask](const images::PendingSignal &one) {
		return one.signal() && mask >> (one.signal() - 1) & 1;
	});
}

// One that neither has data nor an end or error to tell of.
bool has_no_input(const images::Socket &socket)
{
	if (socket.state() == "LISTEN")
		return !socket.accept_queue();
	return socket.family() == "AF_UNIX" && socket.peer_file() && !socket.shutdown() && !socket.receive_queue() &&
	       socket.messages().empty();
}

// There is certainly nothing to read, no end and no error.
bool is_quiet(const images::File &file)
{
	std::string_view kind = file.kind();
	if (kind == "pipe" || kind == "fifo")
		return !file.pipe().queued() && file.pipe().readers() && file.pipe().writers();
	if (kind == "eventfd")
		return !file.eventfd().count();
	if (kind == "timerfd")
		return !file.timerfd().ticks();
	if (kind == "inotify")
		return !file.inotify().pending_events();
	if (kind == "socket")
		return has_no_input(file.socket());
	return kind == "pidfd"; // of a process that lives: is_steady()
}

using FileOf = std::function<const images::File *(uint32_t)>;

// Any signal wakes who waits for one, and whoever polls the epoll instance takes it for an event (fs/eventpoll.c:
// ep_poll_callback()).
bool watches_signals(const images::File &epoll, const FileOf &file_of, int depth)
{
	return std::ranges::any_of(epoll.epoll().items(), [&](const images::EpollItem &item) {
		const images::File *file = file_of(item.file());
		if (!file || !file->has_epoll())
			return file && file->has_signalfd();
		return !depth || watches_signals(*file, file_of, depth - 1);
	});
}

// What was on the list once is there until somebody looks, also if it has been read since (ep_send_events()).
bool may_be_told(const images::EpollItem &item, const images::File &file)
{
	bool reads_only = !(item.events() & ~(kModes | kInput | kAlways));
	return item.ready() && !(reads_only && is_quiet(file));
}

// Made again it tells the same, or of what has come since.
bool is_steady(const images::Document &document, const images::File &file)
{
	std::string_view kind = file.kind();
	if (kind == "pidfd")
		return file.pidfd().pid() && !is_of_zombie(document, file);
	return kind == "pipe" || kind == "fifo" || kind == "eventfd" || kind == "timerfd" || kind == "inotify" ||
	       kind == "socket";
}

} // namespace

bool is_of_zombie(const images::Document &document, const images::File &file)
{
	if (!file.has_pidfd())
		return false;
	return std::ranges::any_of(document.processes(), [&](const images::Process &process) {
		return process.pid() == file.pidfd().pid() && process.state() == images::Process::ZOMBIE;
	});
}

uint32_t signalfd_of(const images::Ring &ring, const images::Request &request, const images::Process *submitter,
		     const std::function<const images::File *(uint32_t)> &file_of)
{
	uint32_t id = request.file();
	if (request.class_() != images::Request::REARMABLE || !uses_file(static_cast<uint8_t>(request.opcode())))
		return 0;
	if (!id && request.flags() & IOSQE_FIXED_FILE) {
		auto slot = std::ranges::find(ring.fixed_files(), request.fixed_slot(), &images::FixedFile::slot);
		id = slot == ring.fixed_files().end() ? 0 : slot->file();
	} else if (!id && submitter) {
		id = images::file_of(*submitter, static_cast<uint32_t>(request.fd()));
	}
	const images::File *file = file_of(id);
	return file && file->has_signalfd() ? id : 0;
}

// Restore gives it its mask last of all, by a descriptor in the process that waits (user/restore/ring_signalfd.h). What
// is pending comes before that.
std::string signalfd_obstacle(const images::Request &request, const images::File &signalfd, const Maker &submitter)
{
	if (request.exited())
		return "the thread that submitted it has exited, and the next signal ends it";
	if (!images::descriptor_of(*submitter.process, signalfd.id()))
		return "its process has no descriptor of the signalfd any more";
	uint64_t mask = signalfd.signalfd().mask();
	if (request.file() && request.multishot() && !request.woken() &&
	    (has_one_of(submitter.process->pending_signals(), mask) ||
	     has_one_of(submitter.thread->pending_signals(), mask)))
		return "it repeats, and has told of a signal that is still pending";
	return {};
}

std::string epoll_obstacle(const images::Document &document, const images::Request &request, const images::File &epoll,
			   const FileOf &file_of)
{
	if (watches_signals(epoll, file_of, kMostNested))
		return "the epoll instance watches signals, and would tell of those that a restore sends";
	if (!request.multishot())
		return {};
	for (const images::EpollItem &item : epoll.epoll().items()) {
		const images::File *file = file_of(item.file());
		if (!file || !is_steady(document, *file))
			return fmt::format(
				"it repeats, and whether a {} that the epoll instance watches is ready cannot "
				"be told beforehand",
				file ? file->kind() : "file");
		if (!request.woken() && may_be_told(item, *file))
			return "it repeats, and has told of events that nobody has fetched from the epoll instance";
	}
	return {};
}

} // namespace bpfckpt::uring
