// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/inode_attributes.h"

#include <climits>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/fs.h>
#include <linux/limits.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>

namespace bpfckpt::collect {

static bool read_extended(const char *path, images::InodeAttributes &attributes)
{
	std::string names(XATTR_LIST_MAX, '\0');
	ssize_t length = ::listxattr(path, names.data(), names.size());
	if (length <= 0)
		return length == 0 || errno == EOPNOTSUPP;
	std::string value(XATTR_SIZE_MAX, '\0');
	std::string_view left(names.data(), static_cast<size_t>(length));
	while (!left.empty()) {
		std::string name(left.substr(0, left.find('\0')));
		left.remove_prefix(std::min(left.size(), name.size() + 1));
		ssize_t size = ::getxattr(path, name.c_str(), value.data(), value.size());
		if (size < 0)
			return false;
		images::ExtendedAttribute *attribute = attributes.add_extended();
		attribute->set_name(name);
		attribute->set_value(value.data(), static_cast<size_t>(size));
	}
	return true;
}

std::optional<images::InodeAttributes> read_inode_attributes(int fd)
{
	images::InodeAttributes attributes;
	// Not by the descriptor, which may be O_PATH.
	attributes.set_unreadable(!read_extended(fmt::format("/proc/self/fd/{}", fd).c_str(), attributes));
	unsigned flags = 0;
	if (::ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0)
		attributes.set_flags(flags);
	uint64_t hint = 0;
	if (::fcntl(fd, F_GET_RW_HINT, &hint) == 0)
		attributes.set_write_hint(hint);
	if (attributes.ByteSizeLong() == 0)
		return {};
	return attributes;
}

} // namespace bpfckpt::collect
