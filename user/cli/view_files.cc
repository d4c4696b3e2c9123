// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <fcntl.h>
#include <sys/sysmacros.h>

#include "user/cli/names.h"
#include "user/cli/view_parts.h"

namespace bpfckpt::cli {

namespace {

using namespace images;

uint64_t number(int count)
{
	return static_cast<uint64_t>(count);
}

std::string socket_detail(const Socket &socket)
{
	std::string text = fmt::format("{} {}", printable(socket.family()), printable(socket.type()));
	if (!socket.state().empty())
		text += " " + printable(socket.state());
	if (!socket.local().empty())
		text += " " + printable(socket.local());
	if (!socket.remote().empty())
		text += " -> " + printable(socket.remote());
	if (socket.receive_queue() || socket.send_queue())
		text += fmt::format(", queued {} in and {} out", human_bytes(socket.receive_queue()),
				    human_bytes(socket.send_queue()));
	if (socket.state() == "LISTEN")
		text += fmt::format(", backlog {} of {}", socket.accept_queue(), socket.backlog());
	if (socket.messages_size())
		text += ", " + count_of(number(socket.messages_size()), "message");
	if (socket.peer_file())
		text += fmt::format(", peer is file {}", socket.peer_file());
	else if (socket.peer_inode())
		text += fmt::format(", peer is inode {}{}", socket.peer_inode(),
				    socket.peer_inside() ? "" : " outside");
	return text;
}

std::string pipe_detail(const Pipe &pipe)
{
	return fmt::format("{} of {} queued, {}, {}", human_bytes(pipe.queued()), human_bytes(pipe.size()),
			   count_of(pipe.readers(), "reader"), count_of(pipe.writers(), "writer"));
}

std::string timerfd_detail(const Timerfd &timer)
{
	std::string text = clock_name(timer.clock_id());
	if (!timer.armed())
		return text + ", disarmed";
	text += timer.remaining_ns() > 0 ? fmt::format(", {} left", human_duration(timer.remaining_ns())) : ", due";
	if (timer.interval_ns())
		text += fmt::format(", every {}", human_duration(timer.interval_ns()));
	return text;
}

std::string memfd_detail(const Memfd &memfd)
{
	std::string text = human_bytes(memfd.size());
	if (memfd.seals())
		text += ", seals " + memfd_seals(memfd.seals());
	return text;
}

std::string regular_detail(const File &file)
{
	return fmt::format("at {} of {}", file.position(), human_bytes(file.size()));
}

std::string lock_text(const FileLock &lock)
{
	std::string range = "to the end";
	if (lock.end() < INT64_MAX)
		range = fmt::format("to {}", lock.end());
	return fmt::format("{} {} lock from {} {}{}", printable(lock.kind()), printable(lock.type()), lock.start(),
			   range, lock.pid() ? fmt::format(" of pid {}", lock.pid()) : "");
}

std::string path_of(const File &file)
{
	return printable(file.path()) + (file.deleted() ? " (deleted)" : "");
}

constexpr uint32_t kOnChild = 0x08000000; // FS_EVENT_ON_CHILD: the kernel's own, in every mask

// Epoll items, inotify watches, locks and who is sent signals: one line each below their file.
void add_items(const View &view, Table &table, const File &file)
{
	for (const FileLock &lock : file.locks())
		table.note(lock_text(lock));
	if (file.has_owner())
		table.note(fmt::format("signals {} to {} {}",
				       file.owner().signal() ? signal_name(file.owner().signal()) : "SIGIO",
				       file.owner().type() == F_OWNER_PGRP ? "group" : "pid", file.owner().pid()));
	for (const EpollItem &item : file.epoll().items())
		table.note(fmt::format("fd {}{} {} data {:#x}{} -> {}", item.fd(), item.fd_closed() ? " (closed)" : "",
				       poll_events(item.events()), item.data(), item.ready() ? " ready" : "",
				       view.file_name(item.file())));
	for (const InotifyWatch &watch : file.inotify().watches())
		table.note(fmt::format("watch {} {} {}", watch.wd(), inotify_events(watch.mask() & ~kOnChild),
				       watch.path().empty() ? fmt::format("inode {}", watch.inode())
							    : printable(watch.path())));
	if (const std::string &kind = file.inotify().accepted(); !kind.empty())
		table.note(fmt::format("accepted as inexact: {}", printable(kind)));
}

std::string inotify_detail(const Inotify &inotify)
{
	std::string watches = count_of(number(inotify.watches_size()), "watch");
	if (inotify.only_overflow())
		return watches + ", events lost";
	return inotify.pending_events() ? watches + ", " + count_of(number(inotify.pending_events()), "unread event")
					: watches;
}

std::string rdev_of(const File &file)
{
	return fmt::format("{}:{}", major(file.rdev()), minor(file.rdev()));
}

} // namespace

std::string file_detail(const File &file)
{
	switch (file.detail_case()) {
	case File::kEventfd:
		return fmt::format("count {}{}", file.eventfd().count(),
				   file.eventfd().semaphore() ? ", semaphore" : "");
	case File::kTimerfd:
		return timerfd_detail(file.timerfd());
	case File::kSignalfd:
		return signal_set(file.signalfd().mask());
	case File::kEpoll:
		return count_of(number(file.epoll().items_size()), "item");
	case File::kInotify:
		return inotify_detail(file.inotify());
	case File::kPipe:
		return pipe_detail(file.pipe());
	case File::kSocket:
		return socket_detail(file.socket());
	case File::kMemfd:
		return memfd_detail(file.memfd());
	case File::kPidfd:
		return file.pidfd().pid() ? fmt::format("pid {}", file.pidfd().pid())
					  : "a process that is gone or outside";
	case File::kIoUring:
		return fmt::format("ring {}", file.io_uring().ring());
	case File::kGhost:
	case File::DETAIL_NOT_SET:
		break;
	}
	if (file.kind() == "regular")
		return regular_detail(file);
	return file.kind() == "chardev" || file.kind() == "blockdev" ? rdev_of(file) : "";
}

void view_files(View &view)
{
	if (view.document().files().empty())
		return;
	Table table({{"ID", Table::Align::kRight}, {"HELD BY"}, {"KIND"}, {"FLAGS"}, {"PATH"}, {"CONTENT"}});
	for (const File &file : view.document().files()) {
		table.row({fmt::format("{}", file.id()), view.holders(file.id()), printable(file.kind()),
			   open_flags(file.flags()), path_of(file), file_detail(file)});
		add_items(view, table, file);
	}
	view.heading(fmt::format("Files: {}", view.document().files_size()));
	view.table(table);
	view.blank();
}

} // namespace bpfckpt::cli
