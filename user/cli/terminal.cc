// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/cli/terminal.h"

#include <algorithm>
#include <array>

#include <fmt/core.h>

#include "images/text.h"

namespace bpfckpt::cli {

std::string Palette::paint(Tone tone, std::string_view text) const
{
	static constexpr std::array<const char *, 5> kStart = {"", "\033[1m", "\033[2m", "\033[32m", "\033[31m"};
	if (!colour_ || tone == Tone::kPlain)
		return std::string(text);
	return fmt::format("{}{}\033[0m", kStart[static_cast<size_t>(tone)], text);
}

std::string printable(std::string_view text)
{
	std::string out;
	out.reserve(text.size());
	while (!text.empty()) {
		auto first = static_cast<unsigned char>(text.front());
		size_t length = images::utf8_length(text);
		// U+0080 to U+009F are control characters too.
		bool control = first < 0x20 || first == 0x7f ||
			       (length == 2 && first == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0);
		if (!length || control) {
			out += fmt::format("\\{:03o}", first);
			length = 1;
		} else {
			out += text.substr(0, length);
		}
		text.remove_prefix(length);
	}
	return out;
}

std::string human_bytes(uint64_t bytes)
{
	static constexpr std::array<const char *, 7> kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	size_t unit = 0;
	auto value = static_cast<double>(bytes);
	for (; value >= 1024 && unit + 1 < kUnits.size(); unit++)
		value /= 1024;
	bool whole = value == static_cast<double>(static_cast<uint64_t>(value));
	return fmt::format(fmt::runtime(whole || value >= 100 ? "{:.0f} {}" : "{:.1f} {}"), value, kUnits[unit]);
}

std::string human_duration(int64_t nanoseconds)
{
	if (nanoseconds < 0)
		return "-" + human_duration(nanoseconds == INT64_MIN ? INT64_MAX : -nanoseconds);
	auto value = static_cast<double>(nanoseconds);
	if (nanoseconds < 1'000)
		return fmt::format("{} ns", nanoseconds);
	if (nanoseconds < 1'000'000)
		return fmt::format("{:.4g} us", value / 1e3);
	if (nanoseconds < 1'000'000'000)
		return fmt::format("{:.4g} ms", value / 1e6);
	int64_t seconds = nanoseconds / 1'000'000'000;
	if (seconds < 60)
		return fmt::format("{:.4g} s", value / 1e9);
	if (seconds < 3600)
		return fmt::format("{} min {} s", seconds / 60, seconds % 60);
	if (seconds < 86400)
		return fmt::format("{} h {} min", seconds / 3600, seconds / 60 % 60);
	return fmt::format("{} d {} h", seconds / 86400, seconds / 3600 % 24);
}

std::string count_of(uint64_t count, std::string_view singular)
{
	if (count == 1)
		return fmt::format("1 {}", singular);
	if (singular.ends_with("ss"))
		return fmt::format("{} {}es", count, singular);
	return fmt::format("{} {}s", count, singular);
}

// Code points: near enough for names.
static size_t width_of(std::string_view text)
{
	return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::vector<size_t> Table::widths() const
{
	std::vector<size_t> widths(columns_.size(), 0);
	for (const Row &row : rows_)
		for (size_t i = 0; !row.note && i < std::min(row.cells.size(), widths.size()); i++)
			widths[i] = std::max(widths[i], width_of(row.cells[i]));
	for (size_t i = 0; i < widths.size(); i++)
		if (widths[i])
			widths[i] = std::max(widths[i], columns_[i].title.size());
	return widths;
}

std::string Table::line(const std::vector<std::string> &cells, const std::vector<size_t> &widths) const
{
	std::string line;
	for (size_t i = 0; i < widths.size(); i++) {
		if (!widths[i])
			continue;
		std::string_view cell = i < cells.size() ? std::string_view(cells[i]) : "";
		std::string padding(widths[i] - std::min(widths[i], width_of(cell)), ' ');
		if (!line.empty())
			line += "  ";
		line += columns_[i].align == Align::kRight ? padding : "";
		line += cell;
		line += columns_[i].align == Align::kLeft ? padding : "";
	}
	line.erase(line.find_last_not_of(' ') + 1);
	return line;
}

std::string Table::text(const Palette &palette, std::string_view indent) const
{
	std::vector<size_t> columns = widths();
	std::vector<std::string> titles;
	titles.reserve(columns_.size());
	for (const Column &column : columns_)
		titles.push_back(column.title);
	std::string out = fmt::format("{}{}\n", indent, palette.paint(Tone::kFaint, line(titles, columns)));
	for (const Row &row : rows_)
		if (row.note)
			out += fmt::format("{}{:{}}{}\n", indent, "", (columns.empty() ? 0 : columns[0]) + 2,
					   row.cells[0]);
		else
			out += fmt::format("{}{}\n", indent, line(row.cells, columns));
	return out;
}

} // namespace bpfckpt::cli
