/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What each kind of file has of its own: File.detail.
#pragma once

#include <unordered_map>
#include <vector>

#include "iterators/file_reader.h"
#include "user/collect/context.h"
#include "user/collect/fd_index.h"
#include "user/collect/socket.h"

namespace bpfckpt::collect {

// The state at `now` on the timer's base clock; the kernel does the expirations of a periodic timer only when it is
// read (fs/timerfd.c: timerfd_read()).
images::Timerfd timerfd_at(const file_timerfd &timer, int64_t now);

class DetailCollector {
public:
	DetailCollector(const iterators::FileRecords &records, const FdIndex &fds, Context &ctx);

	void collect(const file_record &record, iterators::FileKind kind, images::File &file) const;

private:
	void collect_epoll(const file_record &record, images::Epoll &epoll) const;
	void collect_inotify(const file_record &record, images::Inotify &inotify) const;
	void collect_pipe(const file_record &record, images::Pipe &pipe) const;

	template <class Record>
	using ByFile = std::unordered_map<uint64_t, std::vector<const Record *>>;

	const FdIndex &fds_;
	Context &ctx_;
	SocketCollector sockets_;
	ByFile<epoll_item_record> epoll_items_;
	ByFile<inotify_mark_record> marks_;
	ByFile<pipe_buffer_record> buffers_;
};

} // namespace bpfckpt::collect
