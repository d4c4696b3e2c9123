// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/file_lock.h"

#include <algorithm>
#include <climits>
#include <optional>
#include <unordered_set>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "user/target/tree_scan.h"
#include "user/util/io.h"

namespace bpfckpt::restore {

using images::FileLock;
using target::SyscallBatch;

namespace {

constexpr uint64_t kEnd = LLONG_MAX; // OFFSET_MAX: to the end of the file, however long

// A lock that somebody has: a line of /proc/locks (fs/locks.c: lock_get_status()).
struct Held {
	bool flock;
	bool write;
	pid_t pid; // -1: an OFD lock
	dev_t device;
	ino_t inode;
	uint64_t start, end;
};

std::string range_of(const FileLock &lock)
{
	if (lock.kind() == "FLOCK" || (!lock.start() && lock.end() == kEnd))
		return "the whole file";
	if (lock.end() == kEnd)
		return fmt::format("all from byte {} on", lock.start());
	return fmt::format("bytes {} to {}", lock.start(), lock.end());
}

Error taken(const images::File &file, const FileLock &lock, const std::string &by)
{
	return make_error(Code::kMismatch, "its {} {} lock on {} cannot be taken again: {}", lock.kind(), lock.type(),
			  range_of(lock), by)
		.on(name_of(file))
		.with_hint("end who holds it, or restore with another copy of the file in its place");
}

struct flock posix_lock(const FileLock &lock)
{
	struct flock range = {};
	range.l_type = lock.type() == "WRITE" ? F_WRLCK : F_RDLCK;
	range.l_whence = SEEK_SET;
	range.l_start = static_cast<off_t>(lock.start());
	range.l_len = lock.end() == kEnd ? 0 : static_cast<off_t>(lock.end() - lock.start() + 1);
	return range;
}

int flock_operation(const FileLock &lock)
{
	return (lock.type() == "WRITE" ? LOCK_EX : LOCK_SH) | LOCK_NB;
}

std::optional<uint32_t> descriptor_of(const images::Process &process, uint32_t file)
{
	for (const images::FdEntry &entry : process.files())
		if (entry.file() == file)
			return entry.fd();
	return std::nullopt;
}

// Who takes the locks that belong to the file: 0: no process has it open.
uint32_t first_holder(const Plan &plan, uint32_t file)
{
	for (const images::Process &process : plan.document->processes())
		if (descriptor_of(process, file))
			return process.pid();
	return 0;
}

std::optional<Held> parse(const std::string &line)
{
	char kind[16];
	char mandatory[16];
	char type[16];
	char end[24];
	long pid = 0;
	unsigned major = 0;
	unsigned minor = 0;
	unsigned long inode = 0;
	unsigned long start = 0;
	// "1: POSIX  ADVISORY  WRITE 1271 fe:00:394012 10 EOF"; one that waits has "->" in place of its kind.
	if (sscanf(line.c_str(), "%*d: %15s %15s %15s %ld %x:%x:%lu %lu %23s", kind, mandatory, type, &pid, &major,
		   &minor, &inode, &start, end) != 9)
		return std::nullopt;
	std::string_view name = kind;
	if (name != "POSIX" && name != "OFDLCK" && name != "FLOCK")
		return std::nullopt;
	uint64_t last = std::string_view(end) == "EOF" ? kEnd : strtoull(end, nullptr, 10);
	return Held{name == "FLOCK",
		    std::string_view(type) == "WRITE",
		    static_cast<pid_t>(pid),
		    makedev(major, minor),
		    inode,
		    start,
		    last};
}

std::vector<Held> all_held()
{
	std::vector<Held> all;
	Result<std::string> text = read_file("/proc/locks");
	size_t at = 0;
	while (text && at < text->size()) {
		size_t end = std::min(text->find('\n', at), text->size());
		if (std::optional<Held> held = parse(text->substr(at, end - at)))
			all.push_back(*held);
		at = end + 1;
	}
	return all;
}

// flock(2) and fcntl(2) do not see each other's locks.
bool conflict(const FileLock &wanted, const Held &held)
{
	return (wanted.kind() == "FLOCK") == held.flock && (held.write || wanted.type() == "WRITE") &&
	       wanted.start() <= held.end && held.start <= wanted.end();
}

std::string holder_name(const Held &held)
{
	if (held.pid <= 0)
		return "somebody has a lock of an open file (F_OFD_SETLK)";
	auto stat = target::read_task_stat(fmt::format("/proc/{}/stat", held.pid));
	return fmt::format("pid {}{} has a lock", held.pid, stat ? fmt::format(" ({})", stat->comm) : "");
}

} // namespace

void check_locks(const Plan &plan, Findings &findings)
{
	std::optional<std::vector<Held>> held;
	for (const images::File *file : plan.open_files) {
		struct stat now = {};
		if (!file->locks_size() || file->deleted() || stat(file->path().c_str(), &now))
			continue;
		if (!held)
			held = all_held();
		for (const FileLock &lock : file->locks()) {
			auto by = std::ranges::find_if(*held, [&](const Held &one) {
				return one.device == now.st_dev && one.inode == now.st_ino && conflict(lock, one);
			});
			if (by != held->end())
				findings.push_back(taken(*file, lock, holder_name(*by)));
		}
	}
}

Result<> take_locks(const Plan &plan, Member &member)
{
	SyscallBatch batch;
	std::vector<std::pair<const images::File *, const FileLock *>> wanted;
	for (const images::File *file : plan.open_files) {
		for (const FileLock &lock : file->locks()) {
			bool own = lock.kind() == "POSIX";
			if ((own ? lock.pid() : first_holder(plan, file->id())) != member.image->pid())
				continue;
			std::optional<uint32_t> fd = descriptor_of(*member.image, file->id());
			if (!fd)
				return Error(Code::kInternal, "has a lock on what it has not open").on(name_of(*file));
			if (lock.kind() == "FLOCK")
				batch.add(SYS_flock, *fd, flock_operation(lock));
			else
				batch.add(SYS_fcntl, *fd, own ? F_SETLK : F_OFD_SETLK, batch.value(posix_lock(lock)));
			wanted.emplace_back(file, &lock);
		}
	}
	if (batch.empty())
		return {};
	Result<> done = batch.run(member.leader);
	if (!done && (done.error().sys_errno == EAGAIN || done.error().sys_errno == EACCES)) {
		auto [file, lock] = wanted[batch.completed()];
		return taken(*file, *lock, "others have a lock");
	}
	return done;
}

Result<> take_locks_of_rings(const Plan &plan, const OpenFiles &files)
{
	for (const images::File *file : plan.open_files) {
		if (!file->locks_size() || first_holder(plan, file->id()))
			continue;
		int fd = files.fd(file->id());
		for (const FileLock &lock : file->locks()) {
			struct flock range = posix_lock(lock);
			if (lock.kind() == "FLOCK" ? flock(fd, flock_operation(lock)) : fcntl(fd, F_OFD_SETLK, &range))
				return taken(*file, lock, strerror(errno));
		}
	}
	return {};
}

} // namespace bpfckpt::restore
