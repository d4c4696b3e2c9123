// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/cli/view.h"

#include <cstdlib>
#include <string_view>

#include <unistd.h>

#include "user/cli/view_parts.h"

namespace bpfckpt::cli {

namespace {

constexpr size_t kMaxHolders = 3;

// Addresses say more than "socket:[1234]".
std::string socket_name(const images::File &file)
{
	const images::Socket &socket = file.socket();
	if (socket.local().empty())
		return printable(file.path());
	if (socket.remote().empty())
		return fmt::format("{} {}", printable(socket.state()), printable(socket.local()));
	return fmt::format("{} -> {}", printable(socket.local()), printable(socket.remote()));
}

void view_reasons(View &view)
{
	if (view.document().not_restorable().empty())
		return;
	view.heading("Not restorable");
	for (const images::Reason &reason : view.document().not_restorable())
		view.line("  {}: {}", printable(reason.object()), printable(reason.message()));
	view.blank();
}

} // namespace

View::View(const images::Document &document, bool colour) : document_(document), palette_(colour)
{
	for (const images::File &file : document.files())
		files_[file.id()] = &file;
	std::unordered_map<uint32_t, size_t> counts;
	for (const images::Process &process : document.processes())
		for (const images::FdEntry &entry : process.files()) {
			size_t count = ++counts[entry.file()];
			std::string &text = holders_[entry.file()];
			if (count > kMaxHolders)
				continue;
			text += fmt::format("{}fd {} of {}", text.empty() ? "" : ", ", entry.fd(), process.pid());
		}
	for (auto &[id, text] : holders_)
		if (counts[id] > kMaxHolders)
			text += fmt::format(" and {} more", counts[id] - kMaxHolders);
}

const images::File *View::file(uint32_t id) const
{
	auto it = files_.find(id);
	return it == files_.end() ? nullptr : it->second;
}

std::string View::file_name(uint32_t id) const
{
	if (!id)
		return "";
	const images::File *found = file(id);
	if (!found)
		return fmt::format("{}: not in this tree", id);
	if (found->has_socket())
		return fmt::format("{}: {}", id, socket_name(*found));
	return fmt::format("{}: {}{}", id, printable(found->path().empty() ? found->kind() : found->path()),
			   found->deleted() ? " (deleted)" : "");
}

std::string View::holders(uint32_t file_id) const
{
	auto it = holders_.find(file_id);
	return it == holders_.end() ? "no fd" : it->second;
}

void View::field(std::string_view name, std::string_view value)
{
	if (!value.empty())
		line("  {:<16}{}", name, value);
}

void View::table(const Table &table, std::string_view indent)
{
	if (!table.empty())
		out_ += table.text(palette_, indent);
}

bool wants_colour(int fd)
{
	const char *no_colour = std::getenv("NO_COLOR");
	const char *terminal = std::getenv("TERM");
	return ::isatty(fd) && !(no_colour && *no_colour) && terminal && std::string_view(terminal) != "dumb";
}

std::string render_text(const images::Document &document, const ViewOptions &options)
{
	View view(document, options.colour);
	const Sections &sections = options.sections;
	view_reasons(view);
	if (sections.has(&Sections::tasks))
		view_tasks(view);
	if (sections.has(&Sections::files))
		view_files(view);
	if (sections.has(&Sections::rings))
		view_rings(view);
	if (sections.has(&Sections::timers))
		view_timers(view);
	if (sections.has(&Sections::memory))
		view_memory(view);
	std::string text = view.take();
	while (text.ends_with("\n\n"))
		text.pop_back();
	return text;
}

} // namespace bpfckpt::cli
