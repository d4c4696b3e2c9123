// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/file.h"

#include <algorithm>
#include <functional>
#include <map>
#include <ranges>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "user/policy/opener.h"
#include "user/restore/finish_work.h"
#include "user/restore/inode.h"
#include "user/util/cores.h"
#include "user/util/io.h"

namespace bpfckpt::restore {

static constexpr size_t kEventfdsAtATime = 500;

std::string name_of(const images::File &file)
{
	return fmt::format("file {} ({})", file.id(), file.path());
}

// Neighbours in one call: there may be thousands.
OpenFiles::~OpenFiles()
{
	std::vector<unsigned> numbers;
	numbers.reserve(fds_.size());
	for (auto &[file, fd] : fds_)
		if (fd.valid())
			numbers.push_back(static_cast<unsigned>(fd.release()));
	std::ranges::sort(numbers);
	for (size_t first = 0, end = 0; first < numbers.size(); first = end) {
		for (end = first + 1; end < numbers.size() && numbers[end] == numbers[end - 1] + 1;)
			end++;
		close_range(numbers[first], numbers[end - 1], 0);
	}
}

int OpenFiles::fd(uint32_t file) const
{
	auto it = fds_.find(file);
	return it == fds_.end() ? -1 : it->second.get();
}

int OpenFiles::shared_memory_fd(uint32_t id) const
{
	auto it = shared_.find(id);
	return it == shared_.end() ? -1 : it->second.get();
}

int OpenFiles::object_fd(uint32_t id) const
{
	if (int memory = shared_memory_fd(id); memory >= 0)
		return memory;
	for (const images::File *file : plan_.open_files)
		if (file->has_memfd() && file->memfd().shared_memory() == id && (file->flags() & O_ACCMODE) == O_RDWR)
			return fd(file->id());
	return -1;
}

// What a process of the tree must be there for, to open it or to be told of, and inotify, which would see what restore
// does to files.
bool OpenFiles::is_late(const images::File &file) const
{
	return policy::opener_of(*plan_.document, file) || file.kind() == "inotify" || file.kind() == "pidfd" ||
	       file.kind() == "socket" || file.filesystem() == "proc";
}

// FIFOs too, but together with what they hold.
static bool is_deleted_file(const images::File &file)
{
	return file.deleted() && file.kind() != "fifo";
}

// Kinds whose files come in groups: opening one makes, or needs, the others.
static bool is_grouped(const images::File &file)
{
	return file.kind() == "pipe" || file.kind() == "fifo" || file.kind() == "memfd" || is_deleted_file(file);
}

Result<UniqueFd> OpenFiles::open_file(const images::File &file)
{
	const std::string &kind = file.kind();
	if (kind == "eventfd")
		return open_eventfd(file);
	if (kind == "timerfd")
		return open_timerfd(file, static_cast<int64_t>(plan_.manifest->created_ns()));
	if (kind == "signalfd")
		return open_signalfd(file, plan_.late_signalfds.contains(file.id()) ? 0 : file.signalfd().mask());
	if (kind == "epoll")
		return open_epoll(file);
	if (kind == "inotify")
		return open_inotify(file);
	return open_named(file);
}

static const images::File *peer_of(const Plan &plan, const images::File &file)
{
	for (const images::File &other : plan.document->files())
		if (other.has_socket() && other.id() != file.id() &&
		    other.socket().inode() == file.socket().peer_inode())
			return &other;
	return nullptr;
}

// Deleted files have their names back for a moment: not longer, should we be killed in it.
static Result<OpenedFiles> with_names(const std::function<Result<OpenedFiles>()> &open)
{
	Result<OpenedFiles> opened;
	TRY(finish_work([&] { opened = open(); }));
	return opened;
}

Result<> OpenFiles::open_objects(const images::File &first)
{
	std::vector<const images::File *> same;
	for (const images::File *file : files_)
		if (file == &first || (first.object() && file->object() == first.object() &&
				       is_deleted_file(*file) == is_deleted_file(first) &&
				       (is_deleted_file(first) || file->kind() == first.kind())))
			same.push_back(file);
	uint32_t id = first.has_memfd() ? first.memfd().shared_memory() : first.ghost().shared_memory();
	auto found = plan_.shared_memories.find(id);
	const images::SharedMemory *content = found == plan_.shared_memories.end() ? nullptr : found->second;
	OpenedFiles opened;
	if (is_deleted_file(first)) {
		opened = TRY(with_names([&] { return open_deleted(same, content, pages_); }));
	} else if (first.kind() == "fifo" && first.deleted()) {
		opened = TRY(with_names([&] { return open_fifo(same); }));
	} else if (first.kind() == "pipe") {
		opened = TRY(open_pipe(same));
	} else if (first.kind() == "fifo") {
		opened = TRY(open_fifo(same));
	} else {
		LateSeals late;
		opened = TRY(open_memfd(same, content, pages_, late));
		if (late.seals)
			late_seals_.push_back(std::move(late));
	}
	for (auto &[file, fd] : opened)
		keep(file, std::move(fd));
	return {};
}

Result<> OpenFiles::seal()
{
	for (const auto &[memfd, seals] : late_seals_)
		if (fcntl(memfd.get(), F_ADD_SEALS, seals))
			return errno_error(errno, "cannot set seals {:#x} of a memfd", seals);
	late_seals_.clear();
	return {};
}

// Shared anonymous memory: made here, and reached by the tree through its entry in map_files, so that it stays one
// object.
Result<> OpenFiles::open_shared_memory(const images::SharedMemory &object)
{
	uint64_t size = (object.size() + 4095) & ~uint64_t{4095};
	if (!size)
		return {};
	Mapping mapping =
		TRY(Mapping::create(size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE));
	for (const images::PageRun &run : object.pages()) {
		std::span<const std::byte> bytes = TRY(pages_.content(run));
		if (run.start() > size || bytes.size() > size - run.start())
			return make_error(Code::kCorrupt, "pages lie outside of shared memory {}", object.id());
		std::ranges::copy(bytes, mapping.bytes().begin() + static_cast<ptrdiff_t>(run.start()));
	}
	auto start = reinterpret_cast<uint64_t>(mapping.data());
	std::string path = fmt::format("/proc/self/map_files/{:x}-{:x}", start, start + size);
	shared_[object.id()] = TRY(open_at(AT_FDCWD, path, O_RDWR));
	shared_mappings_.push_back(std::move(mapping));
	return {};
}

// A program can have thousands. What an epoll item watches, by file or by number, is left to the general way, and so is
// everything where a ring may hold files.
void OpenFiles::find_private_eventfds()
{
	if (plan_.document->rings_size())
		return;
	IdSet watched;
	IdSet seen(plan_.open_files.size());
	private_eventfds_ = IdSet(plan_.open_files.size());
	for (const images::File *file : plan_.open_files) {
		for (const images::EpollItem &item : file->epoll().items()) {
			watched.insert(item.fd());
			seen.insert(item.file());
		}
	}
	for (const images::Process &process : plan_.document->processes()) {
		for (const images::FdEntry &entry : process.files()) {
			const images::File *file = plan_.file(entry.file());
			if (!file || file->kind() != "eventfd" || file->eventfd().count() > UINT32_MAX)
				continue;
			if (seen.insert(file->id()) && !watched.contains(entry.fd()))
				private_eventfds_.insert(file->id());
			else
				private_eventfds_.erase(file->id());
		}
	}
}

// Makes room for `count` more. A table that threads share waits for all CPUs each time it grows (fs/file.c:
// expand_fdtable()).
static void reserve_descriptors(size_t count)
{
	UniqueFd any(::open("/", O_PATH | O_CLOEXEC));
	UniqueFd highest(fcntl(any.get(), F_DUPFD_CLOEXEC, any.get() + static_cast<int>(count)));
}

// By all cores together: a ring can hold thousands.
Result<> OpenFiles::open_eventfds()
{
	std::vector<const images::File *> files;
	std::ranges::copy_if(files_, std::back_inserter(files), &images::File::has_eventfd);
	reserve_descriptors(files.size());
	fds_.reserve(files.size());
	std::vector<UniqueFd> opened(files.size());
	auto open_one = [&](size_t i) -> Result<> {
		opened[i] = TRY(open_eventfd(*files[i]));
		return {};
	};
	TRY(for_each_on_cores(files.size(), kEventfdsAtATime, open_one));
	for (size_t i = 0; i < files.size(); i++)
		keep(files[i]->id(), std::move(opened[i]));
	return {};
}

Result<> OpenFiles::open()
{
	find_private_eventfds();
	std::ranges::copy_if(plan_.open_files, std::back_inserter(files_),
			     [&](const images::File *file) { return !private_eventfds_.contains(file->id()); });
	TRY(open_eventfds());
	for (const images::File *file : files_) {
		if (fds_.contains(file->id()) || is_late(*file) || file->kind() == "io_uring" || file->kind() == "shm")
			continue;
		if (is_grouped(*file))
			TRY(open_objects(*file));
		else
			keep(file->id(), TRY(open_file(*file)));
	}
	std::unordered_map<uint32_t, const images::SharedMemory *> wanted;
	for (const images::Memory &memory : plan_.document->memory())
		for (const images::Vma &vma : memory.vmas())
			if (vma.shared_memory() && vma.kind() != images::Vma::SYSV_SHM &&
			    (vma.kind() == images::Vma::ANON_SHARED || fd(vma.file()) < 0))
				if (auto it = plan_.shared_memories.find(vma.shared_memory());
				    it != plan_.shared_memories.end())
					wanted.insert(*it);
	// Opened through map_files, by the program itself.
	for (const images::File *file : files_)
		if (auto it = plan_.shared_memories.find(file->ghost().shared_memory());
		    file->kind() == "shm" && it != plan_.shared_memories.end())
			wanted.insert(*it);
	for (const auto &[id, object] : wanted)
		TRY(open_shared_memory(*object));
	for (const images::File *file : files_) {
		int memory = shared_memory_fd(file->ghost().shared_memory());
		if (file->kind() != "shm" || memory < 0)
			continue;
		UniqueFd fd = TRY(reopen(memory, *file));
		TRY(set_owner_and_mode(fd.get(), *file));
		if (lseek(fd.get(), static_cast<off_t>(file->position()), SEEK_SET) < 0)
			return errno_error(errno, "cannot seek to {}", file->position()).on(name_of(*file));
		keep(file->id(), std::move(fd));
	}
	return {};
}

Result<> OpenFiles::open_pidfds_like(const images::File &first)
{
	std::vector<const images::File *> same;
	for (const images::File *file : files_)
		if (file == &first || (first.object() && file->object() == first.object()))
			same.push_back(file);
	for (auto &[file, fd] : TRY(open_pidfds(same)))
		keep(file, std::move(fd));
	return {};
}

// Submitted again, it connects the socket itself.
static bool is_connected_by_request(const images::Document &document, uint32_t file)
{
	auto connects = [&](const images::Request &request) {
		return request.opcode() == images::IORING_OP_CONNECT && request.file() == file &&
		       request.class_() == images::Request::REARMABLE && !request.accepted().empty();
	};
	return std::ranges::any_of(document.rings(), [&](const images::Ring &ring) {
		return std::ranges::any_of(ring.in_flight(), connects);
	});
}

// While the descriptor tables are empty.
Result<> OpenFiles::open_sockets(const images::File &first, Tree &tree)
{
	const images::Socket &socket = first.socket();
	if (socket.family() != "AF_UNIX" && socket.state() != "LISTEN") {
		bool connect = socket.state() == "SYN_SENT" && !is_connected_by_request(*plan_.document, first.id());
		for (auto &[file, fd] : TRY(open_unconnected(first, connect)))
			keep(file, std::move(fd));
		return {};
	}
	Member *creator = nullptr;
	if (socket.has_peer_credentials())
		creator = &tree.member(static_cast<pid_t>(socket.peer_credentials().pid()));
	const images::File *peer = peer_of(plan_, first);
	OpenedFiles opened = socket.state() == "LISTEN" ? TRY(open_listener(first, creator))
			     : peer                     ? TRY(open_socket_pair(first, *peer, creator))
							: TRY(open_lone_socket(first, creator));
	for (auto &[file, fd] : opened)
		keep(file, std::move(fd));
	return {};
}

Result<> OpenFiles::open_late(Tree &tree)
{
	auto is_inotify = [](const images::File *file) { return file->kind() == "inotify"; };
	for (const images::File *file : files_) {
		if (fds_.contains(file->id()) || !is_late(*file) || is_inotify(file))
			continue;
		if (file->kind() == "pidfd")
			TRY(open_pidfds_like(*file));
		else if (file->kind() == "socket")
			TRY(open_sockets(*file, tree));
		else if (const images::Process *opener = policy::opener_of(*plan_.document, *file))
			keep(file->id(), TRY(open_as(*file, *opener, tree)));
		else
			keep(file->id(), TRY(open_file(*file)));
	}
	// Last: it would see names of sockets come.
	for (const images::File *file : files_ | std::views::filter(is_inotify))
		if (!fds_.contains(file->id()))
			keep(file->id(), TRY(open_file(*file)));
	return {};
}

Result<UniqueFd> reopen(int fd, const images::File &file)
{
	// O_ASYNC is set by fcntl(2) later, which tells the driver.
	int flags = static_cast<int>(file.flags()) & ~(O_CREAT | O_EXCL | O_TRUNC | O_NOFOLLOW | O_ASYNC);
	// Of a pipe it means packets, which open(2) refuses (fs/fcntl.c: setfl()).
	bool packets = file.has_pipe() && (flags & O_DIRECT);
	if (packets)
		flags &= ~O_DIRECT;
	UniqueFd again = TRY(open_at(AT_FDCWD, fmt::format("/proc/self/fd/{}", fd), flags));
	if (packets && fcntl(again.get(), F_SETFL, flags | O_DIRECT))
		return errno_error(errno, "cannot set packet mode").on(name_of(file));
	return again;
}

} // namespace bpfckpt::restore
