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

// Of one valid UTF-8 sequence.
uint32_t code_point(std::string_view sequence);
// Not a control character, nor one that shows as nothing, or turns the direction of what follows.
bool is_visible(std::string_view sequence);

// What is not visible or not UTF-8 as \ooo: a file name must not move the cursor, nor look like another one.
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
	void row(const std::vector<std::string> &cells);
	// A line of its own below the last row, indented to its second column.
	void note(std::string_view text);
	[[nodiscard]] bool empty() const { return rows_.empty(); }
	[[nodiscard]] std::string text(const Palette &palette, std::string_view indent = "  ") const;

private:
	struct Row {
		size_t first; // of its cells, in ends_
		size_t count;
		bool note;
	};
	void add_cell(std::string_view text);
	[[nodiscard]] std::string_view cell(const Row &row, size_t column) const;
	[[nodiscard]] std::vector<size_t> widths() const;
	[[nodiscard]] std::string line(const std::vector<std::string_view> &cells,
				       const std::vector<size_t> &widths) const;

	std::vector<Column> columns_;
	std::vector<Row> rows_;
	// All cells one after the other, because there can be half a million, and where each ends.
	std::string text_;
	std::vector<size_t> ends_;
};

} // namespace bpfckpt::cli
