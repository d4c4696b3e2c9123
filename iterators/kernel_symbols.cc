// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "iterators/kernel_symbols.h"

#include <algorithm>
#include <string_view>
#include <type_traits>
#include <vector>

#include "bpf/symbol.skel.h"
#include "iterators/bpf_object.h"

namespace bpfckpt::iterators {

// "function [module]", "0xffffffff81000000"
static std::string_view name_of(std::string_view text)
{
	text = text.substr(0, std::min(text.find('\0'), text.find(' ')));
	return text.starts_with("0x") ? std::string_view() : text;
}

Result<std::unordered_map<uint64_t, std::string>> kernel_symbols(std::span<const uint64_t> addresses)
{
	std::unordered_map<uint64_t, std::string> result;
	std::vector<uint64_t> wanted(addresses.begin(), addresses.end());
	std::ranges::sort(wanted);
	wanted.erase(std::ranges::unique(wanted).begin(), wanted.end());
	if (wanted.empty())
		return result;
	auto object = TRY(BpfObject<symbol_bpf>::open());
	TRY(object.load());
	constexpr size_t kChunk = std::extent_v<decltype(object->bss->addresses)>;
	for (size_t first = 0; first < wanted.size(); first += kChunk) {
		size_t count = std::min(wanted.size() - first, kChunk);
		std::copy_n(wanted.begin() + static_cast<ptrdiff_t>(first), count, object->bss->addresses);
		object->bss->symbol_count = static_cast<uint32_t>(count);
		TRY(run_syscall_program(object->progs.name_symbols, {}));
		for (size_t i = 0; i < count; i++) {
			const auto &text = object->bss->names[i];
			if (std::string_view name = name_of({text, sizeof(text)}); !name.empty())
				result.try_emplace(wanted[first + i], name);
		}
	}
	return result;
}

} // namespace bpfckpt::iterators
