// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <cstdlib>
#include <string_view>
#include <unordered_set>

#include <google/protobuf/message.h>

#include "images/validate.h"
#include "selftests/fuzz/record_input.h"
#include "user/cli/view.h"
#include "user/policy/file_support.h"
#include "user/policy/memory_support.h"
#include "user/policy/task_support.h"
#include "user/restore/plan.h"

// The fuzzer learns from comparisons what to try next: it must not learn the mark of our addresses.
#define UNSEEN __attribute__((no_sanitize("coverage")))

namespace bpfckpt::fuzz {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

UNSEEN static void check_number(uint64_t number)
{
	if (number >> 16 == kAddresses >> 16)
		abort();
}

UNSEEN static void check_text(std::string_view text)
{
	constexpr std::string_view kMark = "ffff9d37c0de";
	for (size_t at = 0; at + kMark.size() <= text.size(); at++) {
		size_t same = 0;
		while (same < kMark.size() && text[at + same] == kMark[same])
			same++;
		if (same == kMark.size())
			abort();
	}
}

static void check_addresses(const Message &message)
{
	const google::protobuf::Reflection *reflection = message.GetReflection();
	std::vector<const FieldDescriptor *> fields;
	reflection->ListFields(message, &fields);
	for (const FieldDescriptor *field : fields) {
		bool repeated = field->is_repeated();
		int count = repeated ? reflection->FieldSize(message, field) : 1;
		for (int i = 0; i < count; i++) {
			if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE)
				check_addresses(repeated ? reflection->GetRepeatedMessage(message, field, i)
							 : reflection->GetMessage(message, field));
			else if (field->cpp_type() == FieldDescriptor::CPPTYPE_UINT64)
				check_number(repeated ? reflection->GetRepeatedUInt64(message, field, i)
						      : reflection->GetUInt64(message, field));
			else if (field->cpp_type() == FieldDescriptor::CPPTYPE_INT64)
				check_number(
					static_cast<uint64_t>(repeated ? reflection->GetRepeatedInt64(message, field, i)
								       : reflection->GetInt64(message, field)));
		}
	}
}

template <class Messages, class Id>
static void check_unique(const Messages &messages, Id id_of)
{
	std::unordered_set<uint32_t> ids;
	for (const auto &message : messages)
		if (!id_of(message) || !ids.insert(id_of(message)).second)
			abort();
}

void check_collected(collect::Context &context, size_t size_limit)
{
	const images::Document &document = *context.document;
	if (document.ByteSizeLong() > size_limit)
		abort();
	check_unique(document.processes(), [](const images::Process &process) { return process.pid(); });
	check_unique(document.files(), [](const images::File &file) { return file.id(); });
	check_unique(document.memory(), [](const images::Memory &memory) { return memory.id(); });
	check_unique(document.shared_memory(), [](const images::SharedMemory &memory) { return memory.id(); });

	policy::refuse_unsupported_tasks(document, context.findings);
	policy::refuse_unsupported_memory(document, context.findings);
	policy::refuse_unsupported_files(document, {}, context.findings);
	for (const Error &finding : context.findings) {
		check_text(finding.object);
		check_text(finding.message);
	}
	check_addresses(document);
	if (images::validate(document, UINT64_MAX))
		(void)restore::find_tree_obstacles(document);
	(void)cli::render_text(document, {});
}

} // namespace bpfckpt::fuzz
