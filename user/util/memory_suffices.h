/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// For work in a thread, which no exception may leave.
#pragma once

#include <new>

#include "user/util/result.h"

namespace bpfckpt {

template <class Work>
Result<> if_memory_suffices(Work &&work)
{
	try {
		return work();
	} catch (const std::bad_alloc &) {
		return Error(Code::kLimit, "there is not enough memory");
	}
}

} // namespace bpfckpt
