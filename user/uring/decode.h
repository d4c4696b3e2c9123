/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// From a request in flight to the SQE that would submit it again, and to the fields that people read.
//
// What an SQE pointed to may be gone from the program's memory: the kernel took copies of it. Then the SQE here has 0
// in that place, and the message the content (iovecs, sockaddr, path, timeout_ns), which restore puts somewhere.
#pragma once

#include <string>

#include <linux/io_uring.h>

#include "user/uring/request_source.h"

namespace bpfckpt::uring {

// Fills the fields of `request` that its opcode has, and request.sqe. Returns why it cannot be submitted again; empty:
// nothing is in the way.
std::string decode_request(const RequestSource &source, images::Request &request);

// One per family of opcodes; `sqe` comes zeroed but for what every opcode has (opcode, flags, fd, user_data,
// buf_index).
using DecodeFamily = std::string(const RequestSource &source, images::Request &request, io_uring_sqe &sqe);

DecodeFamily decode_poll;
DecodeFamily decode_poll_update;
DecodeFamily decode_rw;
DecodeFamily decode_rw_vector;
DecodeFamily decode_send;
DecodeFamily decode_send_message;
DecodeFamily decode_receive;
DecodeFamily decode_receive_message;
DecodeFamily decode_accept;
DecodeFamily decode_connect;
DecodeFamily decode_socket;
DecodeFamily decode_timeout;
DecodeFamily decode_timeout_update;
DecodeFamily decode_futex;
DecodeFamily decode_futex_vector;
DecodeFamily decode_waitid;
DecodeFamily decode_epoll;
DecodeFamily decode_epoll_control;
DecodeFamily decode_open;
DecodeFamily decode_splice;
DecodeFamily decode_file;
DecodeFamily decode_path;
DecodeFamily decode_two_paths;
DecodeFamily decode_attribute;
DecodeFamily decode_nop;
DecodeFamily decode_cancel;
DecodeFamily decode_message;
DecodeFamily decode_command;
DecodeFamily decode_resources;

// What people read of an SQE that the program could have submitted as it is: operations that keep nothing apart.
void tell_sqe(const io_uring_sqe &sqe, images::Request &request);

// Of an operation that makes a descriptor.
void tell_open_limit(const iterators::KernelObject &command, images::Request &request);

// Adds request.iovecs: what remains of the iov_iter at `path` of `object`.
void add_iovecs(const RequestSource &source, const iterators::KernelObject &object, const std::string &path,
		images::Request &request);

} // namespace bpfckpt::uring
