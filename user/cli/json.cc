// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/cli/json.h"

#include <unordered_set>

namespace bpfckpt::cli {

namespace {

using namespace images;
using google::protobuf::FieldDescriptor;

// Of one process, what the sections say of it.
Process part_of(const Process &process, const Sections &sections)
{
	Process part;
	if (sections.tasks) {
		part = process;
		part.clear_files();
		part.clear_timers();
	} else {
		part.set_pid(process.pid());
		part.set_comm(process.comm());
	}
	if (sections.files)
		*part.mutable_files() = process.files();
	if (sections.timers) {
		*part.mutable_timers() = process.timers();
		*part.mutable_interval_timers() = process.interval_timers();
		part.set_next_timer_id(process.next_timer_id());
	}
	return part;
}

// A section comes with the files that it refers to.
std::unordered_set<uint32_t> files_of(const Document &document, const Sections &sections)
{
	std::unordered_set<uint32_t> files;
	if (sections.tasks)
		for (const Process &process : document.processes())
			files.insert(process.exe_file());
	if (sections.rings) {
		for (const Ring &ring : document.rings()) {
			files.insert({ring.file(), ring.eventfd().file()});
			for (const FixedFile &file : ring.fixed_files())
				files.insert(file.file());
			for (const Request &request : ring.in_flight())
				files.insert({request.file(), request.in_flight_file2()});
		}
	}
	if (sections.memory)
		for (const Memory &memory : document.memory())
			for (const Vma &vma : memory.vmas())
				files.insert(vma.file());
	return files;
}

void write_processes(const Document &document, const Sections &sections, JsonText &json)
{
	for (const Process &process : document.processes()) {
		json.item();
		json.message(part_of(process, sections));
	}
}

void write_files(const Document &document, const Sections &sections, JsonText &json)
{
	const std::unordered_set<uint32_t> wanted = files_of(document, sections);
	for (const File &file : document.files()) {
		if (!sections.files && !(sections.timers && file.has_timerfd()) && !wanted.contains(file.id()))
			continue;
		json.item();
		json.message(file);
	}
}

void write_part(const Document &document, const Sections &sections, const FieldDescriptor *field, JsonText &json)
{
	switch (field->number()) {
	case Document::kProcessesFieldNumber:
		if (sections.tasks || sections.files || sections.timers)
			write_processes(document, sections, json);
		return;
	case Document::kFilesFieldNumber:
		return write_files(document, sections, json);
	default:
		return;
	}
}

// Whether a section has this field of the document, and all of it.
bool is_whole(const Sections &sections, const FieldDescriptor *field)
{
	switch (field->number()) {
	case Document::kProcessesFieldNumber:
	case Document::kFilesFieldNumber:
		return sections.all();
	case Document::kRingsFieldNumber:
		return sections.has(&Sections::rings);
	case Document::kMemoryFieldNumber:
	case Document::kSharedMemoryFieldNumber:
		return sections.has(&Sections::memory);
	default:
		return true;
	}
}

} // namespace

Result<> write_json(const Document &document, const Sections &sections, const TextSink &sink)
{
	JsonText json(sink);
	json.begin('{');
	for (int i = 0; i < Document::descriptor()->field_count(); i++) {
		const FieldDescriptor *field = Document::descriptor()->field(i);
		json.name(field->name());
		if (is_whole(sections, field)) {
			json.field(document, field);
		} else {
			json.begin('[');
			write_part(document, sections, field, json);
			json.end(']');
		}
	}
	json.end('}');
	return json.finish();
}

std::string render_json(const Document &document, const Sections &sections)
{
	std::string text;
	(void)write_json(document, sections, [&text](std::string_view piece) {
		text += piece;
		return Result<>();
	});
	return text;
}

} // namespace bpfckpt::cli
