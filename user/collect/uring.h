/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// io_uring instances and their requests in flight: records to Document.rings.
#pragma once

#include "iterators/uring_reader.h"
#include "user/collect/context.h"
#include "user/util/result.h"

namespace bpfckpt::collect
{

// After the thaw, and after the files: Ids.files and Ids.rings are looked up, not given out, for files of fixed slots
// and requests that UringReader::referenced_files() named. What a dump cannot carry over becomes a finding.
Result<> collect_rings(const iterators::UringReader &reader, Context &context);

} // namespace bpfckpt::collect
