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

uint32_t code_point(std::string_view sequence)
{
	auto byte = [&](size_t i) { return static_cast<uint8_t>(sequence[i]); };
	if (sequence.size() == 1)
		return byte(0);
	uint32_t point = byte(0) & (0x7f >> sequence.size());
	for (size_t i = 1; i < sequence.size(); i++)
		point = point << 6 | (byte(i) & 0x3f);
	return point;
}

bool is_visible(std::string_view sequence)
{
	// Unicode's categories Cc, Zl, Zp and, of Cf, what is invisible in every script.
	static constexpr std::pair<uint32_t, uint32_t> kInvisible[] = {
		{0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},       {0x61c, 0x61c},
		{0x180e, 0x180e}, {0x200b, 0x200f}, {0x2028, 0x202e},   {0x2060, 0x206f},
		{0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f},
	};
	uint32_t point = code_point(sequence);
	return std::ranges::none_of(kInvisible,
				    [&](const auto &range) { return point >= range.first && point <= range.second; });
}

std::string printable(std::string_view text)
{
	std::string out;
	out.reserve(text.size());
	while (!text.empty()) {
		size_t length = images::utf8_length(text);
		std::string_view sequence = text.substr(0, std::max<size_t>(length, 1));
		if (length && is_visible(sequence))
			out += sequence;
		else
			for (char c : sequence)
				out += fmt::format("\\{:03o}", static_cast<unsigned char>(c));
		text.remove_prefix(sequence.size());
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
	if (singular.ends_with("ss") || singular.ends_with("ch"))
		return fmt::format("{} {}es", count, singular);
	return fmt::format("{} {}s", count, singular);
}

// Code points: near enough for names.
static size_t width_of(std::string_view text)
{
	return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

void Table::add_cell(std::string_view text)
{
	text_ += text;
	ends_.push_back(text_.size());
}

void Table::row(const std::vector<std::string> &cells)
{
	rows_.push_back({ends_.size(), cells.size(), false});
	for (const std::string &text : cells)
		add_cell(text);
}

void Table::note(std::string_view text)
{
	rows_.push_back({ends_.size(), 1, true});
	add_cell(text);
}

std::string_view Table::cell(const Row &row, size_t column) const
{
	if (column >= row.count)
		return {};
	size_t at = row.first + column;
	size_t begin = at ? ends_[at - 1] : 0;
	return std::string_view(text_).substr(begin, ends_[at] - begin);
}

std::vector<size_t> Table::widths() const
{
	std::vector<size_t> widths(columns_.size(), 0);
	for (const Row &row : rows_)
		for (size_t i = 0; !row.note && i < widths.size(); i++)
			widths[i] = std::max(widths[i], width_of(cell(row, i)));
	for (size_t i = 0; i < widths.size(); i++)
		if (widths[i])
			widths[i] = std::max(widths[i], columns_[i].title.size());
	return widths;
}

std::string Table::line(const std::vector<std::string_view> &cells, const std::vector<size_t> &widths) const
{
	std::string line;
	for (size_t i = 0; i < widths.size(); i++) {
		if (!widths[i])
			continue;
		std::string padding(widths[i] - std::min(widths[i], width_of(cells[i])), ' ');
		if (!line.empty())
			line += "  ";
		line += columns_[i].align == Align::kRight ? padding : "";
		line += cells[i];
		line += columns_[i].align == Align::kLeft ? padding : "";
	}
	line.erase(line.find_last_not_of(' ') + 1);
	return line;
}

std::string Table::text(const Palette &palette, std::string_view indent) const
{
	std::vector<size_t> columns = widths();
	std::vector<std::string_view> cells;
	cells.reserve(columns_.size());
	for (const Column &column : columns_)
		cells.emplace_back(column.title);
	std::string out = fmt::format("{}{}\n", indent, palette.paint(Tone::kFaint, line(cells, columns)));
	for (const Row &row : rows_) {
		for (size_t i = 0; i < cells.size(); i++)
			cells[i] = cell(row, i);
		if (row.note)
			out += fmt::format("{}{:{}}{}\n", indent, "", (columns.empty() ? 0 : columns[0]) + 2,
					   cell(row, 0));
		else
			out += fmt::format("{}{}\n", indent, line(cells, columns));
	}
	return out;
}

} // namespace bpfckpt::cli
