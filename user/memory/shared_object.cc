// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/memory/shared_object.h"

#include <fcntl.h>
#include <unistd.h>

#include "user/util/io.h"

namespace bpfckpt::memory {

Result<UniqueFd> open_object(const SharedObject &object)
{
	std::string path = object.fd >= 0 ? fmt::format("/proc/{}/fd/{}", object.pid, object.fd)
					  : fmt::format("/proc/{}/map_files/{:x}-{:x}", object.pid,
							object.mapping.start, object.mapping.end);
	// The access time stays as it is where we may ask for that (it takes the owner, or CAP_FOWNER).
	Result<UniqueFd> fd = open_at(AT_FDCWD, path, O_RDONLY | O_NOATIME);
	if (!fd && fd.error().sys_errno == EPERM)
		fd = open_at(AT_FDCWD, path, O_RDONLY);
	if (!fd)
		return std::move(fd.error()).on(object.name + " (" + path + ")");
	return fd;
}

Result<std::vector<Range>> find_data(int fd)
{
	std::vector<Range> ranges;
	for (off_t at = 0;;) {
		off_t data = lseek(fd, at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			return ranges;
		off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return errno_error(errno, "cannot find the data of a memory object");
		append(ranges, {static_cast<uint64_t>(data) & ~(kPageSize - 1), page_up(static_cast<uint64_t>(hole))});
		at = hole;
	}
}

} // namespace bpfckpt::memory
