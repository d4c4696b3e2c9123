// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/file_detail.h"

#include <algorithm>

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "user/memory/vma_kind.h"
#include "user/util/page.h"
#include "user/util/saturate.h"

namespace bpfckpt::collect {

constexpr uint64_t kBlock = 512;       // of i_blocks
constexpr uint32_t kPacketFlag = 0x08; // PIPE_BUF_FLAG_PACKET: include/linux/pipe_fs_i.h

images::Timerfd timerfd_at(const file_timerfd &timer, int64_t now)
{
	images::Timerfd result;
	result.set_clock_id(timer.clock_id);
	result.set_interval_ns(timer.interval);
	result.set_ticks(timer.ticks);
	result.set_settime_flags(timer.settime_flags);
	int64_t late = saturating_sub(now, timer.expires);
	if (timer.armed || !timer.expired) {
		result.set_armed(timer.armed != 0);
		if (timer.armed)
			result.set_remaining_ns(std::max<int64_t>(-late, 0));
		return result;
	}
	if (timer.interval <= 0)
		return result;
	// It has expired and waits for a reader: whole periods since then are ticks, too.
	late = std::max<int64_t>(late, 0);
	result.set_armed(true);
	result.set_ticks(timer.ticks + static_cast<uint64_t>(late / timer.interval));
	result.set_remaining_ns(timer.interval - late % timer.interval);
	return result;
}

template <class Map, class Record>
static void group_by_file(Map &map, std::span<const Record> records)
{
	for (const Record &record : records)
		map[record.file].push_back(&record);
}

DetailCollector::DetailCollector(const iterators::FileRecords &records, const FdIndex &fds, Context &ctx)
	: fds_(fds), ctx_(ctx), sockets_(records, ctx.ids.files)
{
	for (const epoll_item_record &item : records.epoll_items)
		epoll_items_[item.epoll].push_back(&item);
	group_by_file(marks_, records.inotify_marks);
	group_by_file(buffers_, records.pipe_buffers);
}

template <class Map>
static typename Map::mapped_type of_file(const Map &map, uint64_t file)
{
	auto it = map.find(file);
	return it == map.end() ? typename Map::mapped_type() : it->second;
}

void DetailCollector::collect_epoll(const file_record &record, images::Epoll &epoll) const
{
	epoll.set_busy_poll(record.epoll.busy_poll != 0);
	for (const epoll_item_record *item : of_file(epoll_items_, record.file)) {
		images::EpollItem *out = epoll.add_items();
		out->set_fd(static_cast<uint32_t>(item->fd));
		out->set_file(ctx_.ids.files.find(item->file));
		out->set_events(item->events);
		out->set_data(item->data);
		out->set_ready(item->ready != 0);
		out->set_fd_closed(!fds_.names(record.file, out->fd(), item->file));
	}
}

// Options of a watch, which are no part of its mask (include/linux/fsnotify_backend.h, since v5.19).
static constexpr uint32_t kMarkExclUnlink = 0x10, kMarkOneshot = 0x20;

void DetailCollector::collect_inotify(const file_record &record, images::Inotify &inotify) const
{
	inotify.set_pending_events(record.inotify.queued);
	inotify.set_only_overflow(record.inotify.only_overflow != 0);
	inotify.set_next_wd(record.inotify.next_wd);
	for (const inotify_mark_record *mark : of_file(marks_, record.file)) {
		images::InotifyWatch *watch = inotify.add_watches();
		watch->set_wd(mark->wd);
		watch->set_mask(mark->mask | (mark->flags & kMarkExclUnlink ? IN_EXCL_UNLINK : 0) |
				(mark->flags & kMarkOneshot ? IN_ONESHOT : 0));
		watch->set_device(memory::device_number(mark->s_dev));
		watch->set_inode(mark->ino);
	}
}

void DetailCollector::collect_pipe(const file_record &record, images::Pipe &pipe) const
{
	pipe.set_size(static_cast<uint32_t>(record.pipe.slots * kPageSize));
	pipe.set_queued(static_cast<uint32_t>(record.pipe.queued));
	pipe.set_readers(record.pipe.readers);
	pipe.set_writers(record.pipe.writers);
	pipe.set_no_writer_yet(record.pipe.no_writer_yet);
	pipe.set_packet_mode((record.f_flags & O_DIRECT) != 0);
	for (const pipe_buffer_record *buffer : of_file(buffers_, record.file)) {
		pipe.add_packets(buffer->length);
		pipe.add_packet((buffer->flags & kPacketFlag) != 0);
	}
}

static void collect_memfd(const file_record &record, std::string_view path, Context &ctx, images::Memfd &memfd)
{
	path.remove_prefix(std::min(path.size(), std::string_view("/memfd:").size()));
	memfd.set_name(std::string(path));
	memfd.set_seals(record.memfd.seals);
	memfd.set_size(record.size);
	memfd.set_hugetlb(record.s_magic != FILE_MAGIC_TMPFS);
	memfd.set_shared_memory(ctx.ids.shared_memory.id_of(record.inode));
}

void DetailCollector::collect(const file_record &record, iterators::FileKind kind, images::File &file) const
{
	switch (kind) {
	case FILE_KIND_EVENTFD:
		file.mutable_eventfd()->set_count(record.eventfd.count);
		file.mutable_eventfd()->set_semaphore((record.eventfd.flags & 1) != 0);
		break;
	case FILE_KIND_TIMERFD:
		*file.mutable_timerfd() = timerfd_at(record.timerfd, ctx_.time.on(record.timerfd.base_clock));
		break;
	case FILE_KIND_SIGNALFD:
		file.mutable_signalfd()->set_mask(record.signalfd.mask);
		break;
	case FILE_KIND_EPOLL:
		collect_epoll(record, *file.mutable_epoll());
		break;
	case FILE_KIND_INOTIFY:
		collect_inotify(record, *file.mutable_inotify());
		break;
	case FILE_KIND_PIPE:
	case FILE_KIND_FIFO:
		collect_pipe(record, *file.mutable_pipe());
		break;
	case FILE_KIND_SOCKET:
		sockets_.collect(record, *file.mutable_socket());
		break;
	case FILE_KIND_MEMFD:
		collect_memfd(record, file.path(), ctx_, *file.mutable_memfd());
		break;
	case FILE_KIND_PIDFD:
		file.mutable_pidfd()->set_pid(record.pidfd.gone ? 0 : record.pidfd.pid);
		file.mutable_pidfd()->set_thread((record.f_flags & O_EXCL) != 0); // PIDFD_THREAD, v6.9
		break;
	case FILE_KIND_IO_URING:
		file.mutable_io_uring()->set_ring(ctx_.ids.rings.id_of(record.private_data));
		break;
	case FILE_KIND_SHM:
		file.mutable_ghost()->set_shared_memory(ctx_.ids.shared_memory.id_of(record.inode));
		break;
	case FILE_KIND_REGULAR:
	case FILE_KIND_PATH:
		if (file.deleted() && S_ISREG(file.mode()) && !file.links()) {
			file.mutable_ghost()->set_shared_memory(ctx_.ids.shared_memory.id_of(record.inode));
			file.mutable_ghost()->set_allocated(record.blocks * kBlock);
		}
		break;
	default:
		break;
	}
}

} // namespace bpfckpt::collect
