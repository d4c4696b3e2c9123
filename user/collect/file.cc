// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/file.h"

#include <algorithm>
#include <climits>

#include <sys/stat.h>

#include "iterators/file_path.h"
#include "iterators/record_text.h"
#include "user/collect/fd_index.h"
#include "user/collect/file_detail.h"
#include "user/collect/whole_process.h"
#include "user/memory/vma_kind.h"
#include "user/util/id_set.h"

namespace bpfckpt::collect {

using iterators::FileKind;

constexpr uint64_t kAnonInodeFs = 0x09041934; // ANON_INODE_FS_MAGIC

// Kinds without a sample of their own (iterators/file_kinds.cc): all are refused, their name is enough.
static std::string anonymous_kind(std::string_view path)
{
	static constexpr std::pair<std::string_view, const char *> kKinds[] = {
		{"anon_inode:[fanotify]", "fanotify"},
		{"anon_inode:[userfaultfd]", "userfaultfd"},
		{"anon_inode:[perf_event]", "perf"},
		{"anon_inode:bpf", "bpf"},
		{"anon_inode:btf", "bpf"},
		{"anon_inode:[pidfd]", "pidfd"},
		{"[aio]", "aio"},             // fs/aio.c: aio_private_file()
		{"anon_hugepage", "hugetlb"}, // include/linux/hugetlb.h: HUGETLB_ANON_FILE
		{"secretmem", "secretmem"},   // mm/secretmem.c: secretmem_file_create()
	};
	for (auto [prefix, kind] : kKinds)
		if (path.starts_with(prefix))
			return kind;
	return "unknown";
}

static void collect_owner(const file_record &record, images::File &file)
{
	if (!record.owned)
		return;
	images::FileOwner *owner = file.mutable_owner();
	owner->set_pid(record.owner_pid);
	// enum pid_type: PID, TGID, PGID; F_OWNER_TID 0, F_OWNER_PID 1, F_OWNER_PGRP 2.
	owner->set_type(record.owner_type);
	owner->set_uid(record.owner_uid);
	owner->set_euid(record.owner_euid);
	owner->set_signal(record.owner_signal);
}

static bool has_name(FileKind kind)
{
	switch (kind) {
	case FILE_KIND_REGULAR:
	case FILE_KIND_DIRECTORY:
	case FILE_KIND_PATH:
	case FILE_KIND_CHARDEV:
	case FILE_KIND_BLOCKDEV:
	case FILE_KIND_TTY:
	case FILE_KIND_FIFO:
		return true;
	default:
		return false;
	}
}

static void collect_common(const file_record &record, FileKind kind, images::File &file)
{
	file.set_kind(kind == FILE_KIND_UNKNOWN ? anonymous_kind(file.path()) : iterators::name_of(kind));
	file.set_deleted(has_name(kind) && (record.path_flags & FILE_PATH_UNLINKED) != 0);
	file.set_linkable(file.deleted() && !record.nlink && (record.path_flags & FILE_PATH_LINKABLE) != 0);
	file.set_flags(record.f_flags);
	file.set_mode(record.i_mode);
	file.set_uid(record.i_uid);
	file.set_gid(record.i_gid);
	file.set_position(record.position);
	file.set_device(memory::device_number(record.s_dev));
	file.set_inode(record.ino);
	file.set_size(record.size);
	file.set_links(record.nlink);
	file.set_rdev(static_cast<uint32_t>(memory::device_number(record.rdev))); // as st_rdev
	file.set_mount(record.mount_id);
	file.set_filesystem(std::string(iterators::text_of(record.filesystem)));
	file.set_mtime_ns(record.mtime_ns);
	file.set_file_mode(record.f_mode);
	collect_owner(record, file);
}

static const char *lock_kind_name(const lock_record &lock)
{
	constexpr uint32_t kOfd = 1024; // FL_OFDLCK: include/linux/filelock.h
	if (lock.kind == LOCK_LEASE)
		return "LEASE";
	if (lock.kind == LOCK_FLOCK)
		return "FLOCK";
	return lock.flags & kOfd ? "OFD" : "POSIX";
}

static void collect_locks(const iterators::FileRecords &records, const FdIndex &fds, Context &ctx,
			  std::span<images::File *const> by_id)
{
	for (const lock_record &lock : records.locks) {
		std::string kind = lock_kind_name(lock);
		uint32_t pid = fds.owner_of(lock.owner);
		// A POSIX lock is its process's: through a file that we share, an outsider may have taken it.
		if (kind == "POSIX" && !pid)
			continue;
		images::File *file = by_id[ctx.ids.files.find(lock.file)];
		if (!file) {
			ctx.findings.push_back(Error(Code::kInternal, "has a lock, and was not described")
						       .on(fmt::format("file {}", ctx.ids.files.find(lock.file))));
			continue;
		}
		images::FileLock *out = file->add_locks();
		out->set_kind(std::move(kind));
		out->set_type(lock.type == 0 ? "READ" : "WRITE");
		out->set_start(lock.start);
		out->set_end(lock.end);
		out->set_pid(pid);
	}
}

static void add_fd(const fd_record &fd, const Context &ctx, images::Process &process)
{
	images::FdEntry *entry = process.add_files();
	entry->set_fd(fd.fd);
	entry->set_file(ctx.ids.files.find(fd.file));
	entry->set_cloexec(fd.cloexec != 0);
}

void collect_fds(const FdIndex &fds, const Context &ctx, images::Process &process)
{
	for (const fd_record *fd : fds.table_of(process.pid()))
		add_fd(*fd, ctx, process);
}

// Of whose files everybody who has one is asked for: rings (user/uring/holders.h), signalfds that requests poll, and
// what POSIX locks were taken through, which is not always by who has it first.
static std::unordered_set<uint64_t> files_of_everybody(const iterators::FileRecords &records)
{
	std::unordered_set<uint64_t> files;
	for (const file_record &record : records.files)
		if (auto kind = iterators::kind_of(record);
		    kind == FileKind::FILE_KIND_IO_URING || kind == FileKind::FILE_KIND_SIGNALFD)
			files.insert(record.file);
	for (const lock_record &lock : records.locks)
		if (lock.kind == LOCK_POSIX)
			files.insert(lock.file);
	return files;
}

// Of other files it matters who is the first to have them.
static void collect_fds(const FdIndex &fds, const iterators::FileRecords &records, Context &ctx)
{
	IdSet seen(ctx.ids.files.all().size());
	const std::unordered_set<uint64_t> kept = files_of_everybody(records);
	for (images::Process &process : *ctx.document->mutable_processes())
		for (const fd_record *fd : fds.table_of(process.pid()))
			if (seen.insert(ctx.ids.files.find(fd->file)) || !ctx.lean || kept.contains(fd->file))
				add_fd(*fd, ctx, process);
}

// Where a path leads nowhere or elsewhere, by the walk itself.
static void check_path(const file_record &record, const std::string &object, Context &ctx)
{
	if (record.path_flags & FILE_PATH_PSEUDO || !record.mount_id)
		return;
	if (record.path_flags & FILE_PATH_TRUNCATED)
		ctx.refuse(object, "its path is deeper than 1024 directories", "open it by a shorter path");
	else if (record.path_flags & FILE_PATH_DETACHED)
		ctx.refuse(object, "it is on a file system that is unmounted",
			   "close it, or mount the file system again");
	else if (!ctx.own_namespaces.contains(record.mount_namespace))
		ctx.refuse(object, "it was opened in another mount namespace", "run bpfckpt in that mount namespace");
}

void collect_files(const iterators::FileRecords &records, const Unlinked &unlinked, Context &ctx)
{
	FdIndex fds(records.fds, *ctx.document);
	for (const file_record &record : records.files)
		ctx.ids.files.id_of(record.file);

	// Others may have given out ids of files that were not described: those have no message.
	std::vector<images::File *> by_id(ctx.ids.files.all().size() + 1, nullptr);
	std::vector<const file_record *> in_order(records.files.size());
	std::ranges::transform(records.files, in_order.begin(), [](const file_record &record) { return &record; });
	std::ranges::sort(in_order, {}, [&](const file_record *record) { return ctx.ids.files.find(record->file); });

	DetailCollector details(records, fds, ctx);
	for (const file_record *record : in_order) {
		uint32_t id = ctx.ids.files.find(record->file);
		if (!id || by_id[id])
			continue;
		images::File *file = ctx.document->add_files();
		FileKind kind = iterators::kind_of(*record);
		file->set_id(id);
		file->set_path(iterators::path_of(*record, records.names));
		collect_common(*record, kind, *file);
		unlinked.add_to(*record, *file);
		if (record->s_magic != kAnonInodeFs) // one inode for all
			file->set_object(ctx.ids.inodes.id_of(record->inode));
		file->set_references(fds.slots_of(record->file));
		file->set_hidden(fds.holders_of(record->file).empty());
		details.collect(*record, kind, *file);
		by_id[id] = file;
		check_path(*record, fds.describe(record->file, id), ctx);
		if (record->path_flags & FILE_LISTS_CUT)
			ctx.refuse(fds.describe(record->file, id),
				   "its locks or watches changed all the while they were read", "try again");
	}
	collect_locks(records, fds, ctx, by_id);
	collect_fds(fds, records, ctx);
}

} // namespace bpfckpt::collect
