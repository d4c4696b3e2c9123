/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// struct cred of one thread.
#pragma once

#include "images/task.pb.h"
#include "user/restore/plan.h"
#include "user/target/batch.h"

namespace bpfckpt::restore {

// Afterwards the thread can do only what it could in the source: everything that needs a privilege comes before.
// Nothing is added for a thread that has them from bpfckpt.
void add_credentials(target::SyscallBatch &batch, const images::Credentials &credentials);
// Those of bpfckpt.
[[nodiscard]] bool are_own(const images::Credentials &credentials);

// What bpfckpt has to have itself to give the tree its PIDs and credentials. Findings: kPermission, by capability.
void check_capabilities(const Plan &plan, Findings &findings);

} // namespace bpfckpt::restore
