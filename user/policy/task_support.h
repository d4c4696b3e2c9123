/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Which processes and threads restore can rebuild: docs/support.md as code. Pure, as file_support.h is. What is refused
// and has no place in the images is found where it is collected (user/collect/task_security.cc, task_attributes.cc).
#pragma once

#include "images/document.pb.h"
#include "user/util/result.h"

namespace bpfckpt::policy {

void refuse_unsupported_tasks(const images::Document &document, Findings &findings);

} // namespace bpfckpt::policy
