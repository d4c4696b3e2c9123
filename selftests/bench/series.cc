// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "selftests/bench/series.h"

#include <algorithm>

#include <fmt/core.h>

namespace bpfckpt::selftests {

double Series::median() const
{
	std::vector<double> sorted = values;
	std::ranges::sort(sorted);
	return sorted.empty() ? 0 : sorted[sorted.size() / 2];
}

double Series::min() const
{
	return values.empty() ? 0 : std::ranges::min(values);
}

double Series::max() const
{
	return values.empty() ? 0 : std::ranges::max(values);
}

std::string Series::range() const
{
	return values.empty() ? "" : fmt::format("({:.1f}-{:.1f})", min(), max());
}

double milliseconds_since(std::chrono::steady_clock::time_point start)
{
	return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

std::string or_dash(double value, const char *unit)
{
	return value > 0 ? fmt::format("{:.1f}{}", value, unit) : "-";
}

bool BenchOptions::wants(const std::string &row, const Args &all_rows) const
{
	return names.empty() || std::ranges::any_of(names, [&](const std::string &name) {
		       return std::ranges::find(all_rows, name) != all_rows.end() ? row == name
										  : row.find(name) != std::string::npos;
	       });
}

} // namespace bpfckpt::selftests
