// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <algorithm>

#include "user/cli/names.h"
#include "user/cli/view_parts.h"

namespace bpfckpt::cli {

namespace {

using namespace images;

std::string lower(std::string text)
{
	for (char &c : text)
		c = c == '_' ? ' ' : static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
	return text;
}

// Bytes of [start, end) that `pages` hold. Runs and VMAs are both sorted: `next` walks along.
uint64_t saved_bytes(const Vma &vma, const Memory &memory, int &next)
{
	uint64_t bytes = 0;
	for (; next < memory.pages_size(); next++) {
		const PageRun &run = memory.pages(next);
		if (run.start() >= vma.end())
			break;
		uint64_t start = std::max(run.start(), vma.start());
		uint64_t end = std::min(run.start() + run.length(), vma.end());
		if (start < end)
			bytes += end - start;
		if (run.start() + run.length() > vma.end())
			break;
	}
	return bytes;
}

std::string backing_of(const View &view, const Vma &vma)
{
	if (vma.ring())
		return fmt::format("ring {}", vma.ring());
	if (!vma.name().empty())
		return printable(vma.name());
	return view.file_name(vma.file());
}

std::string advice_of(const Vma &vma)
{
	std::string text;
	for (const std::string &advice : vma.advice())
		text += (text.empty() ? "" : " ") + printable(advice);
	if (vma.protection_key())
		text += fmt::format("{}key {}", text.empty() ? "" : ", ", vma.protection_key());
	if (vma.guards_size())
		text += fmt::format("{}{}", text.empty() ? "" : ", ",
				    count_of(static_cast<uint64_t>(vma.guards_size()), "guard range"));
	return text;
}

void view_address_space(View &view, const Memory &memory)
{
	std::string pids;
	for (uint32_t pid : memory.pids())
		pids += fmt::format("{}{}", pids.empty() ? "" : ", ", pid);
	uint64_t mapped = 0, saved = 0;
	Table table({{"START", Table::Align::kRight},
		     {"END", Table::Align::kRight},
		     {"SIZE", Table::Align::kRight},
		     {"PROT"},
		     {"KIND"},
		     {"SAVED", Table::Align::kRight},
		     {"FLAGS"},
		     {"BACKING"}});
	int next = 0;
	for (const Vma &vma : memory.vmas()) {
		uint64_t bytes = saved_bytes(vma, memory, next);
		mapped += vma.end() - vma.start();
		saved += bytes;
		std::string backing = backing_of(view, vma);
		if (!backing.empty() && vma.offset() && vma.file())
			backing += fmt::format(" at {:#x}", vma.offset());
		table.row({fmt::format("{:x}", vma.start()), fmt::format("{:x}", vma.end()),
			   human_bytes(vma.end() - vma.start()), protection(vma.prot(), vma.shared()),
			   lower(Vma::Kind_Name(vma.kind())), bytes ? human_bytes(bytes) : "", advice_of(vma),
			   backing});
	}
	view.heading(fmt::format("Address space {} of {}: {}, {}{}", memory.id(), pids,
				 count_of(static_cast<uint64_t>(memory.vmas_size()), "mapping"), human_bytes(mapped),
				 saved ? fmt::format(", {} saved", human_bytes(saved)) : ""));
	view.table(table);
	view.blank();
}

void view_shared(View &view)
{
	Table table({{"ID", Table::Align::kRight},
		     {"SIZE", Table::Align::kRight},
		     {"SAVED", Table::Align::kRight},
		     {"NAME"}});
	for (const SharedMemory &memory : view.document().shared_memory()) {
		uint64_t saved = 0;
		for (const PageRun &run : memory.pages())
			saved += run.length();
		std::string name = printable(memory.name());
		if (memory.has_sysv())
			name += fmt::format(" (System V segment {})", memory.sysv().id());
		table.row({fmt::format("{}", memory.id()), human_bytes(memory.size()), human_bytes(saved), name});
	}
	if (table.empty())
		return;
	view.heading("Shared memory");
	view.table(table);
	view.blank();
}

} // namespace

void view_memory(View &view)
{
	for (const Memory &memory : view.document().memory())
		view_address_space(view, memory);
	view_shared(view);
}

} // namespace bpfckpt::cli
