// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/cli/json.h"

#include <unordered_set>

#include <google/protobuf/util/json_util.h>

#include "images/text.h"

namespace bpfckpt::cli {

namespace {

using namespace images;

void copy_processes(const Document &document, const Sections &sections, Document &part)
{
	for (const Process &process : document.processes()) {
		Process &copy = *part.add_processes();
		if (sections.has(&Sections::tasks)) {
			copy = process;
			if (!sections.has(&Sections::files))
				copy.clear_files();
			if (!sections.has(&Sections::timers))
				copy.clear_timers();
			continue;
		}
		copy.set_pid(process.pid());
		copy.set_comm(process.comm());
		if (sections.files)
			*copy.mutable_files() = process.files();
		if (sections.timers) {
			*copy.mutable_timers() = process.timers();
			*copy.mutable_interval_timers() = process.interval_timers();
			copy.set_next_timer_id(process.next_timer_id());
		}
	}
}

// A section comes with the files that it refers to.
void copy_files(const Document &document, const Sections &sections, Document &part)
{
	std::unordered_set<uint32_t> wanted;
	for (const Ring &ring : part.rings()) {
		wanted.insert({ring.file(), ring.eventfd().file()});
		for (const FixedFile &file : ring.fixed_files())
			wanted.insert(file.file());
		for (const Request &request : ring.in_flight())
			wanted.insert({request.file(), request.in_flight_file2()});
	}
	for (const File &file : document.files())
		if (sections.files || (sections.timers && file.has_timerfd()) || wanted.contains(file.id()))
			*part.add_files() = file;
}

Document part_of(const Document &document, const Sections &sections)
{
	Document part;
	part.set_version(document.version());
	part.set_command(document.command());
	*part.mutable_not_restorable() = document.not_restorable();
	if (sections.tasks || sections.files || sections.timers)
		copy_processes(document, sections, part);
	if (sections.rings)
		*part.mutable_rings() = document.rings();
	copy_files(document, sections, part);
	if (sections.memory) {
		*part.mutable_memory() = document.memory();
		*part.mutable_shared_memory() = document.shared_memory();
	}
	return part;
}

Result<std::string> to_json(const google::protobuf::Message &message)
{
	google::protobuf::util::JsonPrintOptions options;
	options.add_whitespace = true;
	options.preserve_proto_field_names = true;
	options.always_print_primitive_fields = true;
	std::string text;
	auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
	if (!status.ok())
		return make_error(Code::kInternal, "cannot print JSON: {}", std::string(status.message()));
	return text;
}

} // namespace

Result<std::string> render_json(const google::protobuf::Message &message)
{
	if (!needs_encoding(message))
		return to_json(message);
	std::unique_ptr<google::protobuf::Message> copy(message.New());
	copy->CopyFrom(message);
	encode_strings(*copy);
	return to_json(*copy);
}

Result<std::string> render_json(const images::Document &document, const Sections &sections)
{
	const google::protobuf::Message &whole = document;
	if (sections.all())
		return render_json(whole);
	const Document part = part_of(document, sections);
	const google::protobuf::Message &selected = part;
	return render_json(selected);
}

} // namespace bpfckpt::cli
