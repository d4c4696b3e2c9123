/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Names in the model are bytes as the kernel has them (paths and comms need not be UTF-8), while protobuf and JSON want
// UTF-8. On the wire a byte that is not part of valid UTF-8, and every backslash, is written as \ooo (three octal
// digits, as in /proc/self/mounts). Only this file knows: in memory strings are always the kernel's bytes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <google/protobuf/message.h>

#include "user/util/result.h"

namespace bpfckpt::images {

// Length of the valid UTF-8 sequence at the start of `text`, 0 if there is none.
size_t utf8_length(std::string_view text);

std::string encode_text(std::string_view bytes);
Result<std::string> decode_text(std::string_view text);

// Whether any string of the message would change.
bool needs_encoding(const google::protobuf::Message &message);

// All strings of a message, at any depth.
void encode_strings(google::protobuf::Message &message);
Result<> decode_strings(google::protobuf::Message &message);

} // namespace bpfckpt::images
