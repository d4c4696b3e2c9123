/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// OwnMounts: the mounts among which bpfckpt looks names up. They are read before a freeze, and inside of it again only
// if they have changed, which poll(2) tells (fs/proc_namespace.c: mounts_poll()).
#pragma once

#include "user/collect/mount_table.h"
#include "user/util/unique_fd.h"

namespace bpfckpt::collect {

class OwnMounts {
public:
	OwnMounts();
	const MountTable &now();

private:
	UniqueFd changes_;
	MountTable table_;
};

} // namespace bpfckpt::collect
