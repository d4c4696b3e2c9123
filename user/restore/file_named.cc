// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Files that are opened by name, FIFOs, deleted files, which get their name back for a moment, and memfds.
#include "user/restore/file.h"

#include <algorithm>
#include <climits>
#include <optional>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/restore/credentials.h"
#include "user/restore/inode.h"
#include "user/restore/lent_name.h"
#include "user/util/io.h"

namespace bpfckpt::restore {

// What open(2) takes again; the kernel has dropped O_CREAT and its kin already (do_dentry_open). O_ASYNC is for
// fcntl(2), which tells the driver; open(2) would only set the flag.
static int open_flags(const images::File &file)
{
	int flags = static_cast<int>(file.flags()) & ~(O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY | O_ASYNC);
	if ((flags & O_TMPFILE) == O_TMPFILE)
		flags &= ~O_TMPFILE;
	return file.kind() == "path" ? flags | O_PATH : flags;
}

static Result<> set_position(int fd, const images::File &file)
{
	if (file.position() && lseek(fd, static_cast<off_t>(file.position()), SEEK_SET) < 0)
		return errno_error(errno, "cannot seek to {}", file.position()).on(name_of(file));
	return {};
}

Result<UniqueFd> open_named(const images::File &file)
{
	int flags = open_flags(file);
	// "net:[4026531840]": that of bpfckpt, as it was at the dump
	std::string own = "/proc/self/ns/" + file.path().substr(0, file.path().find(':'));
	Result<UniqueFd> fd =
		file.kind() == "namespace" ? open_at(AT_FDCWD, own, flags) : open_exactly(file.path(), flags);
	if (!fd)
		return fd;
	if (!(flags & O_PATH) && (file.kind() == "regular" || file.kind() == "directory" || file.kind() == "shm"))
		TRY(set_position(fd->get(), file));
	return fd;
}

// A change of credentials makes a process one that nobody may look at, itself included.
Result<UniqueFd> open_as(const images::File &file, const images::Process &opener, Tree &tree)
{
	auto pid = static_cast<pid_t>(opener.pid());
	auto thread = std::ranges::find_if(opener.threads(), is_user);
	target::SyscallBatch batch;
	if (thread != opener.threads().end())
		add_credentials(batch, thread->credentials());
	batch.add(SYS_prctl, PR_SET_DUMPABLE, 1);
	size_t opened = batch.add(SYS_openat, AT_FDCWD, batch.text(file.path()), open_flags(file));
	if (Result<> done = tree.run_in_helper(pid, batch); !done)
		return make_error(done.error().code, "cannot be opened with the credentials of {}", name_of(opener))
			.on(name_of(file))
			.because(std::move(done).error());
	auto number = static_cast<int>(batch.result(opened));
	UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
	UniqueFd fd(static_cast<int>(syscall(SYS_pidfd_getfd, pidfd.get(), number, 0)));
	if (!fd.valid())
		return errno_error(errno, "cannot be taken over").on(name_of(file));
	target::SyscallBatch last;
	last.add(SYS_close, number);
	TRY(last.run(tree.member(pid).leader));
	TRY(set_position(fd.get(), file));
	return fd;
}

// Without taking it: tee(2) shares the pages.
static Result<std::string> peek_pipe(int pipe, size_t size)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return errno_error(errno, "cannot create a pipe");
	UniqueFd reader(ends[0]);
	UniqueFd writer(ends[1]);
	std::string bytes(size, '\0');
	if (fcntl(writer.get(), F_SETPIPE_SZ, fcntl(pipe, F_GETPIPE_SZ)) < 0 ||
	    tee(pipe, writer.get(), INT_MAX, SPLICE_F_NONBLOCK) < 0)
		return errno_error(errno, "cannot look into a pipe");
	size_t filled = 0;
	for (ssize_t got = 1; got > 0 && filled < size; filled += static_cast<size_t>(std::max<ssize_t>(got, 0)))
		got = read(reader.get(), bytes.data() + filled, size - filled);
	bytes.resize(filled);
	return bytes;
}

// A FIFO is one pipe to all who have it open, and keeps what is in it as long as there are any: a ring of the program,
// too, until a worker of the kernel has taken it apart (io_uring/io_uring.c: io_ring_exit_work()).
static Result<bool> has_content_still(int fifo, const images::File &file)
{
	int unread = 0;
	if (ioctl(fifo, FIONREAD, &unread))
		return errno_error(errno, "cannot ask what is in it").on(name_of(file));
	if (!unread)
		return false;
	if (static_cast<size_t>(unread) != file.pipe().data().size() ||
	    TRY(peek_pipe(fifo, file.pipe().data().size())) != file.pipe().data())
		return make_error(Code::kMismatch, "others have it open, and {} bytes in it", unread)
			.on(name_of(file))
			.with_hint("read them, or end these processes");
	return true;
}

Result<OpenedFiles> open_fifo(std::span<const images::File *const> files)
{
	std::optional<LentName> lent;
	if (files[0]->deleted())
		lent.emplace(TRY(LentName::create(*files[0], 0)));
	auto open = [&](int flags) { return lent ? lent->open(flags) : open_exactly(files[0]->path(), flags); };
	// Neither end fails in open(2), nor is data lost, while this one is there.
	UniqueFd keeper = TRY(open(O_RDWR | O_NONBLOCK));
	OpenedFiles opened;
	auto open_file = [&](const images::File &file) -> Result<> {
		UniqueFd fd = TRY(open((open_flags(file) | O_NONBLOCK) & ~O_DIRECT));
		if (fcntl(fd.get(), F_SETFL, open_flags(file))) // open(2) does not take O_DIRECT, which is packet mode
			return errno_error(errno, "cannot set flags").on(name_of(file));
		opened.emplace_back(file.id(), std::move(fd));
		return {};
	};
	auto has_seen_writer = [](const images::File *file) { return !file->pipe().no_writer_yet(); };
	for (const images::File *file : files) {
		if (has_seen_writer(file))
			TRY(open_file(*file));
		if (file->pipe().size())
			fcntl(keeper.get(), F_SETPIPE_SZ, file->pipe().size());
		if (!file->pipe().data().empty() && !TRY(has_content_still(keeper.get(), *file)))
			TRY(write_packets(keeper.get(), file->pipe()));
	}
	// Those others are not to see us write, either.
	if (!std::ranges::all_of(files, has_seen_writer))
		keeper = TRY(open(O_RDONLY | O_NONBLOCK));
	for (const images::File *file : files)
		if (!has_seen_writer(file))
			TRY(open_file(*file));
	if (lent && lent->is_new())
		TRY(lent->set_attributes(*files[0]));
	return opened;
}

Result<OpenedFiles> open_deleted(std::span<const images::File *const> files, const images::SharedMemory *content,
				 const PageImage &pages)
{
	// One that was made by O_TMPFILE is made like that again: the flag stays with it.
	auto temporary = std::ranges::find_if(files, [](auto *file) { return LentName::is_temporary(*file); });
	const images::File &first = temporary == files.end() ? *files[0] : **temporary;
	LentName lent = TRY(LentName::create(first, open_flags(first)));
	OpenedFiles opened;
	for (const images::File *file : files) {
		UniqueFd fd = lent.take_temporary(*file);
		if (!fd.valid())
			fd = TRY(lent.open_also(*file, open_flags(*file)));
		if (!(open_flags(*file) & O_PATH) && !S_ISCHR(file->mode()))
			TRY(set_position(fd.get(), *file));
		opened.emplace_back(file->id(), std::move(fd));
	}
	if (!lent.is_new())
		return opened;
	UniqueFd inode;
	if (S_ISREG(first.mode()) || S_ISDIR(first.mode())) {
		inode = TRY(lent.open(S_ISREG(first.mode()) ? O_RDWR : O_RDONLY));
		TRY(set_inode_flags(inode.get(), first));
	}
	if (S_ISREG(first.mode())) {
		if (content)
			TRY(pages.fill_file(inode.get(), *content));
		if (ftruncate(inode.get(), static_cast<off_t>(first.size())))
			return errno_error(errno, "cannot set the size").on(name_of(first));
	}
	TRY(lent.set_attributes(first));
	if (inode.valid())
		TRY(set_extended_attributes(inode.get(), first));
	return opened;
}

// What memfd_create(2) returned, unlike what open(2) gives, does not count as a writer: it can be executed (ETXTBSY
// otherwise). There is one of it at most.
static bool is_first_of_memfd(const images::File &file)
{
	constexpr uint32_t kFmodeWrite = 2;
	constexpr uint32_t kFmodeWriter = 0x10000; // FMODE_WRITER: include/linux/fs.h
	return (file.file_mode() & kFmodeWrite) && !(file.file_mode() & kFmodeWriter);
}

Result<OpenedFiles> open_memfd(std::span<const images::File *const> files, const images::SharedMemory *content,
			       const PageImage &pages, LateSeals &late)
{
	constexpr uint32_t kFutureWrite = 0x10; // F_SEAL_FUTURE_WRITE
	const images::Memfd &memfd = files[0]->memfd();
	std::string name = memfd.name();
	UniqueFd fd(memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
	if (!fd.valid() || ftruncate(fd.get(), static_cast<off_t>(memfd.size())))
		return errno_error(errno, "cannot create").on(name_of(*files[0]));
	TRY(set_inode_flags(fd.get(), *files[0]));
	if (content)
		TRY(pages.fill_file(fd.get(), *content));
	TRY(set_owner_and_mode(fd.get(), *files[0]));
	TRY(set_extended_attributes(fd.get(), *files[0]));
	if (files[0]->mtime_ns() && futimens(fd.get(), times_of(*files[0]).data()))
		return errno_error(errno, "cannot set the time of change").on(name_of(*files[0]));
	OpenedFiles opened;
	for (const images::File *file : files) {
		UniqueFd one = is_first_of_memfd(*file) ? UniqueFd(fcntl(fd.get(), F_DUPFD_CLOEXEC, 0))
							: TRY(reopen(fd.get(), *file));
		if (is_first_of_memfd(*file) && fcntl(one.get(), F_SETFL, open_flags(*file)))
			return errno_error(errno, "cannot set flags").on(name_of(*file));
		TRY(set_position(one.get(), *file));
		opened.emplace_back(file->id(), std::move(one));
	}
	// Last: a seal against writing would keep the files above from being opened for it.
	if (memfd.seals() & kFutureWrite) {
		late = {std::move(fd), memfd.seals()};
		return opened;
	}
	if (memfd.seals() && fcntl(fd.get(), F_ADD_SEALS, memfd.seals()))
		return errno_error(errno, "cannot set seals {:#x}", memfd.seals()).on(name_of(*files[0]));
	return opened;
}

} // namespace bpfckpt::restore
