/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// EINTR- and short-transfer-safe I/O on descriptors, and small files read whole.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "user/util/result.h"
#include "user/util/unique_fd.h"

namespace bpfckpt {

// Opens below `dir` (AT_FDCWD for the working directory); O_CLOEXEC is added. Errors: that of openat(2), with the path.
Result<UniqueFd> open_at(int dir, const std::string &path, int flags, unsigned mode = 0);

// The same for an absolute path that was one of d_path(): no part of it is a symbolic link, unless the last one and
// `flags` has O_PATH | O_NOFOLLOW. What has become one since leads elsewhere, where its owner likes. Errors: that of
// openat2(2); ELOOP says so.
Result<UniqueFd> open_exactly(const std::string &path, int flags, unsigned mode = 0);

// RLIMIT_NOFILE up to its hard limit: a tree has as many iterators and files as it has processes and objects.
void raise_file_limit();
// Beyond what was given to us, where we may; false: there is nothing more.
bool raise_hard_file_limit();

// Writes all bytes. Errors: that of write(2); ENOSPC is Code::kLimit.
Result<> write_all(int fd, std::span<const std::byte> bytes);
Result<> pwrite_all(int fd, std::span<const std::byte> bytes, off_t offset);

// Reads exactly bytes.size() at `offset`. Errors: that of pread(2), or Code::kCorrupt at an early end of file.
Result<> pread_exact(int fd, std::span<std::byte> bytes, off_t offset);

// The whole of a small file such as those of /proc, at most `limit` bytes (Code::kLimit beyond it).
Result<std::string> read_file(const std::string &path, size_t limit = 64 << 20);
Result<std::string> read_file_at(int dir, const std::string &path, size_t limit = 64 << 20);
Result<std::string> read_link(const std::string &path);

inline std::span<const std::byte> as_bytes(const std::string &text)
{
	return std::as_bytes(std::span(text.data(), text.size()));
}

} // namespace bpfckpt
