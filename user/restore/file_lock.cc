// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/file_lock.h"

#include <algorithm>
#include <climits>
#include <optional>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "images/descriptors.h"
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

Locks::Locks(const Plan &plan)
{
	for (const images::File *file : plan.open_files) {
		const images::Process *first = nullptr;
		if (file->locks_size())
			first = images::first_holder(*plan.document, file->id());
		for (const FileLock &lock : file->locks()) {
			uint32_t holder = first ? first->pid() : kNobody;
			of_process_[lock.kind() == "POSIX" ? lock.pid() : holder].emplace_back(file, &lock);
		}
	}
}

Result<> Locks::take(Member &member) const
{
	auto own = of_process_.find(member.image->pid());
	if (own == of_process_.end())
		return {};
	SyscallBatch batch;
	std::unordered_map<uint32_t, uint32_t> descriptors; // by File.id
	for (const images::FdEntry &entry : member.image->files())
		descriptors.try_emplace(entry.file(), entry.fd());
	for (auto [file, lock] : own->second) {
		auto entry = descriptors.find(file->id());
		if (entry == descriptors.end())
			return Error(Code::kInternal, "has a lock on what it has not open").on(name_of(*file));
		if (lock->kind() == "FLOCK")
			batch.add(SYS_flock, entry->second, flock_operation(*lock));
		else
			batch.add(SYS_fcntl, entry->second, lock->kind() == "POSIX" ? F_SETLK : F_OFD_SETLK,
				  batch.value(posix_lock(*lock)));
	}
	Result<> done = batch.run(member.leader);
	if (!done && (done.error().sys_errno == EAGAIN || done.error().sys_errno == EACCES)) {
		auto [file, lock] = own->second[batch.completed()];
		return taken(*file, *lock, "others have a lock");
	}
	return done;
}

Result<> Locks::take_those_of_rings(const OpenFiles &files) const
{
	auto all = of_process_.find(kNobody);
	if (all == of_process_.end())
		return {};
	for (auto [file, lock] : all->second) {
		int fd = files.fd(file->id());
		struct flock range = posix_lock(*lock);
		if (lock->kind() == "FLOCK" ? flock(fd, flock_operation(*lock)) : fcntl(fd, F_OFD_SETLK, &range))
			return taken(*file, *lock, strerror(errno));
	}
	return {};
}

} // namespace bpfckpt::restore
