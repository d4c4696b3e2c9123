/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Which instructions of a relocated BPF program can be reached, as its verifier sees it: constants that relocations
// left behind (bpf_core_field_exists() is 0 or 1 then) decide branches.
#pragma once

#include <span>
#include <vector>

#include <linux/bpf.h>

namespace bpfckpt::selftests {

// One element for each instruction. What is not known to be constant may be anything, so that more may be told
// reachable than is, never less.
std::vector<bool> reachable(std::span<const bpf_insn> program);

// Where functions begin: 0, targets of calls and callbacks; in ascending order.
std::vector<size_t> function_starts(std::span<const bpf_insn> program);

} // namespace bpfckpt::selftests
