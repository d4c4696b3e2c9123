// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "iterators/kernel_symbols.h"

#include <charconv>
#include <string_view>
#include <unordered_set>

#include "user/util/io.h"

namespace bpfckpt::iterators {

// "ffffffff81000000 T name\t[module]"
static bool parse(std::string_view line, uint64_t &address, std::string_view &name)
{
	auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), address, 16);
	if (error != std::errc())
		return false;
	size_t start = static_cast<size_t>(end - line.data()) + 3;
	if (start >= line.size())
		return false;
	name = line.substr(start);
	name = name.substr(0, name.find('\t'));
	return true;
}

Result<std::unordered_map<uint64_t, std::string>> kernel_symbols(std::span<const uint64_t> addresses)
{
	std::unordered_map<uint64_t, std::string> result;
	if (addresses.empty())
		return result;
	std::unordered_set<uint64_t> wanted(addresses.begin(), addresses.end());
	std::string text = TRY(read_file("/proc/kallsyms"));
	std::string_view rest = text;
	while (!rest.empty()) {
		size_t end = std::min(rest.find('\n'), rest.size());
		uint64_t address = 0;
		std::string_view name;
		if (parse(rest.substr(0, end), address, name) && wanted.contains(address))
			result.try_emplace(address, name);
		rest.remove_prefix(std::min(end + 1, rest.size()));
	}
	return result;
}

} // namespace bpfckpt::iterators
