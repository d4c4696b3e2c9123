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

// In full only where everything is shown.
void view_reasons(View &view, bool in_full)
{
	const auto &reasons = view.document().not_restorable();
	if (reasons.empty())
		return;
	view.heading(fmt::format("Not restorable: {}", count_of(static_cast<uint64_t>(reasons.size()), "reason")));
	for (const images::Reason &reason : reasons)
		if (in_full)
			view.line("  {}: {}", printable(reason.object()), printable(reason.message()));
	view.blank();
}

} // namespace

View::View(const images::Document &document, bool colour) : document_(document), palette_(colour)
{
	for (const images::File &file : document.files())
		files_[file.id()] = &file;
	collect_holders();
}

void View::add_holder(uint32_t file_id, const std::string &text)
{
	Holders &holders = holders_[file_id];
	if (++holders.count <= kMaxHolders)
		holders.text += (holders.text.empty() ? "" : ", ") + text;
}

// Descriptors first, then what keeps a file open without one.
void View::collect_holders()
{
	for (const images::Process &process : document_.processes())
		for (const images::FdEntry &entry : process.files())
			add_holder(entry.file(), fmt::format("fd {} of {}", entry.fd(), process.pid()));
	for (const images::Ring &ring : document_.rings()) {
		for (const images::FixedFile &file : ring.fixed_files())
			add_holder(file.file(), fmt::format("slot {} of ring {}", file.slot(), ring.id()));
		for (const images::Request &request : ring.in_flight())
			if (!holders_.contains(request.file()))
				add_holder(request.file(), fmt::format("request of ring {}", ring.id()));
	}
	for (const images::Memory &memory : document_.memory())
		for (const images::Vma &vma : memory.vmas())
			if (!holders_.contains(vma.file()))
				add_holder(vma.file(), "mapping");
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
	if (it == holders_.end())
		return "no fd";
	const Holders &holders = it->second;
	if (holders.count <= kMaxHolders)
		return holders.text;
	return fmt::format("{} and {} more", holders.text, holders.count - kMaxHolders);
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
	view_reasons(view, sections.all());
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
