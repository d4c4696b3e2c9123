/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Text that goes to a terminal: colour, tables, units, and names that came from the target and may hold anything.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bpfckpt::cli {

enum class Tone { kPlain, kHeading, kFaint, kGood, kBad };

// Adds the escape sequences of a tone, or nothing where colour is off.
class Palette {
public:
	explicit Palette(bool colour) : colour_(colour) {}
	[[nodiscard]] std::string paint(Tone tone, std::string_view text) const;

private:
	bool colour_;
};

// Control characters and what is not UTF-8 as \ooo: a file name must not move the cursor.
std::string printable(std::string_view text);

std::string human_bytes(uint64_t bytes);                         // "512 B", "64 KiB", "1.5 GiB"
std::string human_duration(int64_t nanoseconds);                 // "250 ms", "1.500 s", "2 min 3 s", "-3 ms"
std::string count_of(uint64_t count, std::string_view singular); // "1 ring", "2 rings", "3 address spaces"

// Aligned columns. A column that no row fills is left out.
class Table {
public:
	enum class Align { kLeft, kRight };
	struct Column {
		std::string title;
		Align align = Align::kLeft;
	};

	explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
	void row(std::vector<std::string> cells) { rows_.push_back({std::move(cells), false}); }
	// A line of its own below the last row, indented to its second column.
	void note(std::string text) { rows_.push_back({{std::move(text)}, true}); }
	[[nodiscard]] bool empty() const { return rows_.empty(); }
	[[nodiscard]] std::string text(const Palette &palette, std::string_view indent = "  ") const;

private:
	struct Row {
		std::vector<std::string> cells;
		bool note;
	};
	[[nodiscard]] std::vector<size_t> widths() const;
	[[nodiscard]] std::string line(const std::vector<std::string> &cells, const std::vector<size_t> &widths) const;

	std::vector<Column> columns_;
	std::vector<Row> rows_;
};

} // namespace bpfckpt::cli
