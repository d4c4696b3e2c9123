/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Where a document lies: thousands of messages that come and go together.
#pragma once

#include <cstdint>
#include <memory>

#include <google/protobuf/arena.h>

namespace bpfckpt::images {

// For that many bytes of records. In mappings of its own: of huge pages for thousands of records, because touching
// memory page by page took a tenth of their restore; and not for children, which are emptied anyway.
[[nodiscard]] std::unique_ptr<google::protobuf::Arena> make_arena(uint64_t record_bytes);

} // namespace bpfckpt::images
