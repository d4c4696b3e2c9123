/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Paths out of the names that bpf/file_path.bpf.h has read of dentries.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "iterators/file_record.h"

namespace bpfckpt::iterators {

// The same in bpf/file_path.bpf.h: a name with its NUL, and names of one path.
inline constexpr size_t kMaxName = 256;
inline constexpr uint32_t kMaxComponents = 1024;

// As readlink(2) on /proc/PID/fd/N shows it, but without " (deleted)".
std::string path_of(const file_record &record, std::string_view names);
// Below the root of its file system: "/a/b"; empty if no name is known.
std::string path_of(const inotify_mark_record &record, std::string_view names);

} // namespace bpfckpt::iterators
