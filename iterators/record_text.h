/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Text in a record: up to its NUL, or as long as the field.
#pragma once

#include <cstddef>
#include <cstring>
#include <string_view>

namespace bpfckpt::iterators {

template <size_t kSize>
std::string_view text_of(const char (&field)[kSize])
{
	return {field, strnlen(field, kSize)};
}

} // namespace bpfckpt::iterators
