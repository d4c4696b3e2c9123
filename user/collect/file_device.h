/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

#include <cstdint>

#include <sys/sysmacros.h>

namespace bpfckpt::collect {

// The kernel keeps 12 bits of major and 20 of minor (include/linux/kdev_t.h); user space sees another encoding.
inline uint64_t user_device(uint32_t dev)
{
	return makedev(dev >> 20, dev & 0xfffff);
}

} // namespace bpfckpt::collect
