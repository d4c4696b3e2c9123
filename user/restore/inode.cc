// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/inode.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "user/restore/file.h"

namespace bpfckpt::restore {

// The others say how the file system stores it, or are refused.
static constexpr unsigned kSettable = FS_SECRM_FL | FS_UNRM_FL | FS_COMPR_FL | FS_SYNC_FL | FS_NODUMP_FL |
				      FS_NOATIME_FL | FS_NOCOMP_FL | FS_JOURNAL_DATA_FL | FS_NOTAIL_FL | FS_DIRSYNC_FL |
				      FS_TOPDIR_FL | FS_NOCOW_FL | FS_DAX_FL | FS_PROJINHERIT_FL | FS_CASEFOLD_FL;

Result<> set_owner_and_mode(int fd, const images::File &file)
{
	// chown(2) clears the set-user-ID bits. A mode of 0 is one that was not captured: it has the kind of file, too.
	if (file.mode() && (fchown(fd, file.uid(), file.gid()) || fchmod(fd, file.mode() & 07777)))
		return errno_error(errno, "cannot set owner and mode").on(name_of(file));
	return {};
}

Result<> set_inode_flags(int fd, const images::File &file)
{
	const images::InodeAttributes &attributes = file.attributes();
	unsigned now = 0;
	if (attributes.has_flags() && ioctl(fd, FS_IOC_GETFLAGS, &now) == 0) {
		unsigned wanted = (now & ~kSettable) | (attributes.flags() & kSettable);
		if (wanted != now && ioctl(fd, FS_IOC_SETFLAGS, &wanted))
			return errno_error(errno, "cannot set inode flags {:#x}", wanted).on(name_of(file));
	} else if (attributes.flags() & kSettable) {
		return errno_error(errno, "cannot read inode flags").on(name_of(file));
	}
	uint64_t hint = attributes.write_hint();
	if (hint && fcntl(fd, F_SET_RW_HINT, &hint))
		return errno_error(errno, "cannot set the write life time hint").on(name_of(file));
	return {};
}

Result<> set_extended_attributes(int fd, const images::File &file)
{
	for (const images::ExtendedAttribute &attribute : file.attributes().extended())
		if (fsetxattr(fd, attribute.name().c_str(), attribute.value().data(), attribute.value().size(), 0))
			return errno_error(errno, "cannot set the extended attribute {}", attribute.name())
				.on(name_of(file));
	return {};
}

std::array<timespec, 2> times_of(const images::File &file)
{
	constexpr int64_t kSecond = 1'000'000'000;
	int64_t seconds = (file.mtime_ns() - (file.mtime_ns() < 0 ? kSecond - 1 : 0)) / kSecond;
	return {{{.tv_sec = 0, .tv_nsec = UTIME_OMIT},
		 {.tv_sec = seconds, .tv_nsec = file.mtime_ns() - seconds * kSecond}}};
}

} // namespace bpfckpt::restore
