// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/own_mounts.h"

#include <fcntl.h>
#include <poll.h>

#include "user/util/io.h"

namespace bpfckpt::collect {

static constexpr char kMounts[] = "/proc/self/mountinfo";

static MountTable read_mounts()
{
	return MountTable::parse(read_file(kMounts).value_or(""));
}

OwnMounts::OwnMounts() : changes_(::open(kMounts, O_RDONLY | O_CLOEXEC)), table_(read_mounts()) {}

const MountTable &OwnMounts::now()
{
	pollfd change = {.fd = changes_.get(), .events = POLLPRI, .revents = 0};
	if (!changes_.valid() || (::poll(&change, 1, 0) > 0 && change.revents & (POLLPRI | POLLERR)))
		table_ = read_mounts();
	return table_;
}

} // namespace bpfckpt::collect
