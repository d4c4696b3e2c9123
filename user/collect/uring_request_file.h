/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Which file a request is about, and when the kernel looks that up (io_uring/io_uring.c: io_assign_file()).
#pragma once

#include "images/document.pb.h"
#include "iterators/uring_record.h"

namespace bpfckpt::collect {

// With io-wq: executed by a worker, or waiting for one.
[[nodiscard]] bool is_punted(const uring_request_record &record);
// A member of a chain, what a drain holds back, and what is only queued look up their file when they begin; till then
// the number is where the flags of the completion will be (struct io_cqe).
[[nodiscard]] bool has_begun(const uring_request_record &record);
// The process of the tree that a thread belongs to; nullptr: none.
[[nodiscard]] const images::Process *process_of(const images::Document &document, uint32_t tid);

} // namespace bpfckpt::collect
