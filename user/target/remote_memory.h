/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Memory of another process, all of what is asked for or nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <sys/types.h>
#include <sys/uio.h>

namespace bpfckpt::target {

inline bool read_remote(pid_t pid, uint64_t address, std::span<std::byte> bytes)
{
	iovec local = {bytes.data(), bytes.size()};
	iovec remote = {reinterpret_cast<void *>(address), bytes.size()};
	return ::process_vm_readv(pid, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes.size());
}

inline bool write_remote(pid_t pid, uint64_t address, std::span<const std::byte> bytes)
{
	iovec local = {const_cast<std::byte *>(bytes.data()), bytes.size()};
	iovec remote = {reinterpret_cast<void *>(address), bytes.size()};
	return ::process_vm_writev(pid, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes.size());
}

} // namespace bpfckpt::target
