/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Work that must not be left half done, as a name that has to go away again: it goes on when bpfckpt is killed.
#pragma once

#include <functional>

#include "user/util/result.h"

namespace bpfckpt::restore {

// Runs it in a child that shares memory and descriptors with this process, which sleeps meanwhile. A SIGKILL ends this
// process only. The caller must be its only thread. Errors: those of clone(2); Code::kInternal if the child was killed.
Result<> finish_work(const std::function<void()> &work);

} // namespace bpfckpt::restore
