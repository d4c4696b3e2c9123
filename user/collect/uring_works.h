/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What only the stack of an io-wq worker holds: the input file of a splice or tee, and where an open has got to.
#pragma once

#include "user/collect/uring_index.h"

namespace bpfckpt::collect {

// A splice or tee holds a reference of its input. Where the file that its descriptor names now has fewer references
// than are known of, it is another one: the request says so. Needs all rings.
void check_inputs(const UringIndex &index, const Context &context);

// An open that a worker executes waits for the other end of a FIFO, if that is where its path leads now. What else may
// take long (a device, a network file system) is told as its obstacle.
void check_opens(images::Document &document);

} // namespace bpfckpt::collect
