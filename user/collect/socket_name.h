/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Sockets in words.
#pragma once

#include <string>

#include "iterators/file_record.h"

namespace bpfckpt::collect {

std::string socket_family_name(unsigned family);
std::string socket_type_name(unsigned type);
// TCP_* (include/net/tcp_states.h), which unix sockets use too.
std::string socket_state_name(unsigned state);
// "127.0.0.1:80", "[::1]:80", "/run/x.sock", "@abstract"; empty: none.
std::string local_address(const socket_record &record);
std::string remote_address(const socket_record &record);

} // namespace bpfckpt::collect
