// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Descriptor tables (struct files_struct), and the items of epoll instances (struct epitem), whose key is a struct file
// under the number that it had.
#include "user/restore/file.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/target/batch.h"
#include "user/util/io.h"

namespace bpfckpt::restore {

using target::SyscallBatch;

void OpenFiles::add_tool(SyscallBatch &batch, int at)
{
	batch.add(SYS_pidfd_open, getpid(), 0); // the lowest free number: 0 in an empty table
	if (at) {
		batch.add(SYS_dup3, 0, at, O_CLOEXEC);
		batch.add(SYS_close, 0);
	}
}

namespace {

constexpr uint32_t kModes = EPOLLET | EPOLLONESHOT | EPOLLWAKEUP | EPOLLEXCLUSIVE;
constexpr uint32_t kAnyEvent =
	EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDNORM | EPOLLRDBAND | EPOLLWRNORM | EPOLLWRBAND | EPOLLMSG | EPOLLRDHUP;

// A descriptor table while it is filled: numbers are given by the kernel, so they are foretold here, and checked.
class Table {
public:
	// `tool` is above every number that is put.
	Table(SyscallBatch &batch, int tool) : batch_(batch), tool_(tool), used_(static_cast<size_t>(tool) + 1)
	{
		used_[static_cast<size_t>(tool)] = true;
	}

	void put(int source, int number, bool cloexec)
	{
		int got = lowest_free();
		expected_.emplace_back(batch_.add(SYS_pidfd_getfd, tool_, source, 0), got);
		if (got == number && !cloexec)
			batch_.add(SYS_fcntl, number, F_SETFD, 0);
		move(got, number, cloexec);
	}
	void put_eventfd(const images::File &file, int number, bool cloexec)
	{
		int got = lowest_free();
		int flags = eventfd_flags(file) | (cloexec ? static_cast<int>(EFD_CLOEXEC) : 0);
		expected_.emplace_back(batch_.add(SYS_eventfd2, file.eventfd().count(), flags), got);
		move(got, number, cloexec);
	}
	void close(int number)
	{
		batch_.add(SYS_close, number);
		used_[static_cast<size_t>(number)] = false;
		low_ = std::min(low_, number);
	}
	[[nodiscard]] Result<> check() const
	{
		for (auto [call, number] : expected_)
			if (batch_.result(call) != number)
				return make_error(Code::kInternal, "descriptor {} came as {}", number,
						  batch_.result(call));
		return {};
	}

private:
	void move(int got, int number, bool cloexec)
	{
		if (got != number) {
			batch_.add(SYS_dup3, got, number, cloexec ? O_CLOEXEC : 0);
			batch_.add(SYS_close, got);
		}
		used_[static_cast<size_t>(number)] = true;
	}
	// Behind `tool` if all others are taken.
	[[nodiscard]] int lowest_free()
	{
		while (static_cast<size_t>(low_) < used_.size() && used_[static_cast<size_t>(low_)])
			low_++;
		return low_;
	}

	SyscallBatch &batch_;
	int tool_;
	int low_ = 0; // nothing below it is free
	std::vector<bool> used_;
	std::vector<std::pair<size_t, int>> expected_;
};

// A one-shot item that has fired has lost its events, also EPOLLERR and EPOLLHUP, which epoll_ctl(2) gives to every
// other (fs/eventpoll.c: ep_send_events(), EP_PRIVATE_BITS). It gets there only by firing.
bool has_fired(const images::EpollItem &item)
{
	return (item.events() & EPOLLONESHOT) && !(item.events() & ~kModes);
}

// An item that is not ready though its file is has had its edge. These are added first, and what they tell is taken
// away.
bool was_told(const images::EpollItem *item)
{
	return has_fired(*item) || ((item->events() & EPOLLET) && !item->ready());
}

// Sorted by number.
class Entries {
public:
	explicit Entries(const images::Process &process)
	{
		for (const images::FdEntry &entry : process.files())
			entries_.push_back(&entry);
		std::ranges::sort(entries_, {}, number_of);
	}
	// nullptr: there is none.
	[[nodiscard]] const images::FdEntry *find(int number) const
	{
		auto it = std::ranges::lower_bound(entries_, number, {}, number_of);
		return it == entries_.end() || number_of(*it) != number ? nullptr : *it;
	}
	[[nodiscard]] int highest() const { return entries_.empty() ? 0 : number_of(entries_.back()); }
	[[nodiscard]] auto begin() const { return entries_.begin(); }
	[[nodiscard]] auto end() const { return entries_.end(); }

private:
	static int number_of(const images::FdEntry *entry) { return static_cast<int>(entry->fd()); }

	std::vector<const images::FdEntry *> entries_;
};

// A pipe's reading end, with nothing in it, is ready for nothing until the last writer goes: it gets a byte, as long as
// this lives.
class ByteInPipe {
public:
	static bool wants(int fd, const images::File &file)
	{
		pollfd any = {.fd = fd, .events = -1, .revents = 0};
		return (file.kind() == "pipe" || (file.kind() == "fifo" && !file.pipe().no_writer_yet())) &&
		       (file.flags() & (O_ACCMODE | O_PATH)) == O_RDONLY && poll(&any, 1, 0) == 0;
	}
	static Result<ByteInPipe> put(int fd)
	{
		UniqueFd writer = TRY(open_at(AT_FDCWD, fmt::format("/proc/self/fd/{}", fd), O_WRONLY | O_NONBLOCK));
		TRY(write_all(writer.get(), std::array<std::byte, 1>{}));
		return ByteInPipe(fd);
	}
	~ByteInPipe()
	{
		std::byte byte;
		if (fd_ >= 0)
			(void)!read(fd_, &byte, 1);
	}
	ByteInPipe(ByteInPipe &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

private:
	explicit ByteInPipe(int fd) : fd_(fd) {}
	int fd_;
};

// The items of an epoll instance.
class Items {
public:
	Items(SyscallBatch &batch, Table &table, const Entries &entries, const OpenFiles &files)
		: batch_(batch), table_(table), entries_(entries), files_(files)
	{
	}
	void add(int epoll, const images::Epoll &image)
	{
		std::vector<const images::EpollItem *> items;
		for (const images::EpollItem &item : image.items())
			items.push_back(&item);
		auto others = std::ranges::stable_partition(items, was_told);
		auto told = std::span(items.begin(), others.begin());
		for (const images::EpollItem *item : told)
			add_item(epoll, *item);
		// What was told is no longer ready; more would not fit into a slot of the stub.
		constexpr size_t kAtOnce = 1024;
		for (size_t left = told.size(), now = 0; left; left -= now) {
			now = std::min(left, kAtOnce);
			batch_.add(SYS_epoll_wait, epoll, batch_.buffer(now * sizeof(epoll_event)), now, 0);
		}
		for (const images::EpollItem *item : others)
			add_item(epoll, *item);
	}

private:
	// Its file has its number for the moment, if that is closed by now, or another's.
	void add_item(int epoll, const images::EpollItem &item)
	{
		auto number = static_cast<int>(item.fd());
		const images::FdEntry *entry = entries_.find(number);
		bool there = entry && entry->file() == item.file();
		if (!there)
			table_.put(files_.fd(item.file()), number, false);
		epoll_event event = {};
		event.events = item.events() | (has_fired(item) && !is_idle(item.file()) ? kAnyEvent : 0);
		event.data.u64 = item.data();
		batch_.add(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, number, batch_.value(event));
		if (!there)
			table_.close(number);
		if (!there && entry)
			table_.put(files_.fd(entry->file()), number, entry->cloexec());
	}

	// It has nothing to fire by, and would be armed for all that comes. Without an event of its own an item tells
	// of EPOLLERR and EPOLLHUP, which timerfds, signalfds, inotify and epoll instances never have. What waits in a
	// signalfd is that of who asks, and the signals of the tree are not there yet.
	[[nodiscard]] bool is_idle(uint32_t file) const
	{
		const images::File *image = files_.plan().file(file);
		pollfd any = {.fd = files_.fd(file), .events = -1, .revents = 0};
		return (image && image->kind() == "signalfd") || (any.fd >= 0 && poll(&any, 1, 0) == 0);
	}

	SyscallBatch &batch_;
	Table &table_;
	const Entries &entries_;
	const OpenFiles &files_;
};

} // namespace

Result<> OpenFiles::enter_directory(Member &member)
{
	if (!member.image->cwd_file())
		return {};
	int source = fd(member.image->cwd_file());
	if (source < 0)
		return Error(Code::kInternal, "its working directory was not opened").on(name_of(*member.image));
	SyscallBatch batch;
	add_tool(batch, 0);
	batch.add(SYS_pidfd_getfd, 0, source, 0);
	batch.add(SYS_fchdir, 1);
	batch.add(SYS_close_range, 0, 1, 0);
	return batch.run(member.leader);
}

Result<> OpenFiles::install(Member &member)
{
	const images::Process &process = *member.image;
	if (process.fd_table() && !tables_.emplace(process.fd_table(), true).second)
		return {};
	Entries entries(process);
	std::map<int, const images::File *> epolls; // by number; those without items yet
	for (const images::FdEntry *entry : entries)
		if (const images::File *file = plan_.file(entry->file());
		    file && file->has_epoll() && epolls_.emplace(entry->file(), true).second)
			epolls[static_cast<int>(entry->fd())] = file;
	int highest = entries.highest();
	for (const auto &[number, file] : epolls)
		for (const images::EpollItem &item : file->epoll().items())
			highest = std::max(highest, static_cast<int>(item.fd()));
	int tool = highest + 1;
	SyscallBatch batch;
	batch.reserve(2 * static_cast<size_t>(process.files_size()));
	add_tool(batch, tool);
	Table table(batch, tool);
	for (const images::FdEntry *entry : entries) {
		auto number = static_cast<int>(entry->fd());
		if (private_eventfds_.contains(entry->file())) {
			table.put_eventfd(*plan_.file(entry->file()), number, entry->cloexec());
			continue;
		}
		int source = fd(entry->file());
		if (source < 0)
			return Error(Code::kInternal, "was not opened")
				.on(fmt::format("descriptor {} of pid {}", number, member.pid()));
		table.put(source, number, entry->cloexec());
	}
	std::vector<ByteInPipe> bytes;
	for (const auto &[number, file] : epolls)
		for (const images::EpollItem &item : file->epoll().items())
			if (const images::File *pipe = plan_.file(item.file());
			    pipe && has_fired(item) && ByteInPipe::wants(fd(pipe->id()), *pipe))
				bytes.push_back(TRY(ByteInPipe::put(fd(pipe->id()))));
	for (const auto &[epoll, file] : epolls)
		Items(batch, table, entries, *this).add(epoll, file->epoll());
	batch.add(SYS_close, tool);
	TRY(batch.run(member.leader));
	return table.check();
}

} // namespace bpfckpt::restore
