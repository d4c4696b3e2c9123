/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Inodes that are made anew because they have no name: what they have besides content.
#pragma once

#include <array>
#include <ctime>

#include "images/file.pb.h"
#include "user/util/result.h"

namespace bpfckpt::restore {

// The descriptor is not O_PATH.
Result<> set_owner_and_mode(int fd, const images::File &file);
// Inode flags and the write life time hint: before the content, which some of them decide how to store.
Result<> set_inode_flags(int fd, const images::File &file);
// ACLs, too; after the mode, which they are to agree with.
Result<> set_extended_attributes(int fd, const images::File &file);
// Of the last change only: for utimensat(2).
[[nodiscard]] std::array<timespec, 2> times_of(const images::File &file);

} // namespace bpfckpt::restore
