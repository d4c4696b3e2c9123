/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What the parts of the text view share: the document, names of the objects in it, and the text so far.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include <fmt/core.h>

#include "images/document.pb.h"
#include "user/cli/terminal.h"

namespace bpfckpt::cli {

class View {
public:
	View(const images::Document &document, bool colour);

	[[nodiscard]] const images::Document &document() const { return document_; }
	[[nodiscard]] const Palette &palette() const { return palette_; }

	// nullptr for 0 and for what is not there.
	[[nodiscard]] const images::File *file(uint32_t id) const;
	// "3: /var/log/x", "7: socket 127.0.0.1:80 -> ...", "" for 0.
	[[nodiscard]] std::string file_name(uint32_t id) const;
	// "fd 3 of 4711, slot 7 of ring 1", "mapping", "no fd".
	[[nodiscard]] std::string holders(uint32_t file_id) const;

	void heading(std::string_view text) { out_ += palette_.paint(Tone::kHeading, text) + "\n"; }
	template <class... Args>
	void line(fmt::format_string<Args...> format, Args &&...args)
	{
		out_ += fmt::format(format, std::forward<Args>(args)...) + "\n";
	}
	// "  NAME        value"; nothing if the value is empty.
	void field(std::string_view name, std::string_view value);
	void table(const Table &table, std::string_view indent = "  ");
	void blank() { out_ += "\n"; }
	std::string take() { return std::move(out_); }

private:
	// The first few by name, the rest as a number.
	struct Holders {
		std::string text;
		size_t count = 0;
	};
	void collect_holders();
	void add_holder(uint32_t file_id, const std::string &text);

	const images::Document &document_;
	Palette palette_;
	std::unordered_map<uint32_t, const images::File *> files_;
	std::unordered_map<uint32_t, Holders> holders_;
	std::string out_;
};

// What a file is, in its kind's own words: "count 2, semaphore", "127.0.0.1:80 LISTEN".
std::string file_detail(const images::File &file);

void view_tasks(View &view);
void view_files(View &view);
void view_rings(View &view);
void view_timers(View &view);
void view_memory(View &view);

} // namespace bpfckpt::cli
