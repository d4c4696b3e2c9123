/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Bytes of a field that a relocation names, as two BTFs have it.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include <bpf/btf.h>

namespace bpfckpt::selftests {

// "task_struct.flags" or "a.b.c", below a struct or union of that name. Nothing: it is not there, or is no number,
// pointer or enumerator.
std::optional<size_t> field_size(const btf *types, std::string_view field);

} // namespace bpfckpt::selftests
