/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What an inode has besides content, owner, mode and times: extended attributes, flags, the write life time hint.
#pragma once

#include <optional>

#include "images/file.pb.h"

namespace bpfckpt::collect {

// None: there is nothing. Of an O_PATH descriptor the extended attributes only.
std::optional<images::InodeAttributes> read_inode_attributes(int fd);

} // namespace bpfckpt::collect
