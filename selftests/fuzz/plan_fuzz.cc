// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The plan of a restore from images that anybody could have written. The input is a list of edits of a small document,
// field by field, so that what comes out is still near to something that makes sense. Of what the validator lets
// through a plan is made and held against this machine: it must end, stay in proportion, and name no process and no
// file that the images do not.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <unordered_set>

#include <google/protobuf/message.h>

#include "images/validate.h"
// NOLINTNEXTLINE(bugprone-suspicious-include): of another test program, and small
#include "selftests/unit/sample_document.cc"
#include "user/restore/plan.h"
#include "user/target/stub_process.h"

using namespace bpfckpt;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

namespace {

class Edits {
public:
	explicit Edits(std::span<const uint8_t> input) : input_(input) {}

	[[nodiscard]] bool left() const { return !input_.empty(); }
	uint8_t byte()
	{
		if (input_.empty())
			return 0;
		uint8_t value = input_.front();
		input_ = input_.subspan(1);
		return value;
	}
	// Mostly numbers that occur: ids, PIDs; now and then one that is out of every bound.
	uint64_t number()
	{
		uint8_t kind = byte();
		if (kind < 200)
			return kind % 16;
		if (kind < 250)
			return 4704 + kind % 16;
		uint64_t value = 0;
		for (int i = 0; i < 8; i++)
			value = value << 8 | byte();
		return value;
	}

private:
	std::span<const uint8_t> input_;
};

void set_scalar(Message &message, const FieldDescriptor *field, Edits &edits)
{
	const Reflection *reflection = message.GetReflection();
	uint64_t value = edits.number();
	switch (field->cpp_type()) {
	case FieldDescriptor::CPPTYPE_INT32:
		return reflection->SetInt32(&message, field, static_cast<int32_t>(value));
	case FieldDescriptor::CPPTYPE_INT64:
		return reflection->SetInt64(&message, field, static_cast<int64_t>(value));
	case FieldDescriptor::CPPTYPE_UINT32:
		return reflection->SetUInt32(&message, field, static_cast<uint32_t>(value));
	case FieldDescriptor::CPPTYPE_UINT64:
		return reflection->SetUInt64(&message, field, value);
	case FieldDescriptor::CPPTYPE_BOOL:
		return reflection->SetBool(&message, field, value & 1);
	case FieldDescriptor::CPPTYPE_ENUM:
		return reflection->SetEnumValue(&message, field, static_cast<int>(value % 32));
	case FieldDescriptor::CPPTYPE_STRING:
		return reflection->SetString(&message, field,
					     std::string(value % 300, static_cast<char>(edits.byte())));
	default:
		return;
	}
}

void edit(Message &message, Edits &edits);

void edit_list(Message &message, const FieldDescriptor *field, Edits &edits)
{
	const Reflection *reflection = message.GetReflection();
	int size = reflection->FieldSize(message, field);
	uint8_t what = edits.byte();
	if (what < 40 && size < 64) {
		Message *added = reflection->AddMessage(&message, field);
		if (size)
			added->CopyFrom(reflection->GetRepeatedMessage(message, field, edits.byte() % size));
		return edit(*added, edits);
	}
	if (what < 60 && size)
		return reflection->RemoveLast(&message, field);
	if (size)
		edit(*reflection->MutableRepeatedMessage(&message, field, what % size), edits);
}

// One field of it, or of a message in it.
void edit(Message &message, Edits &edits)
{
	const auto *type = message.GetDescriptor();
	if (!type->field_count() || !edits.left())
		return;
	const FieldDescriptor *field = type->field(edits.byte() % type->field_count());
	bool inner = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
	if (field->is_repeated() && inner)
		return edit_list(message, field, edits);
	if (!field->is_repeated() && inner)
		return edit(*message.GetReflection()->MutableMessage(&message, field), edits);
	if (!field->is_repeated())
		set_scalar(message, field, edits);
}

void check_plan(const restore::Plan &plan, const images::Document &document)
{
	std::unordered_set<uint32_t> ids;
	for (const images::Process &process : document.processes()) {
		ids.insert({process.pid(), process.pgid(), process.sid(), process.ppid()});
		if (process.pid() > INT32_MAX)
			abort();
	}
	// A fork, a session, a group; the helpers of a group's and a session's leader, and their ends.
	if (plan.tree.size() > 16 * (static_cast<size_t>(document.processes_size()) + 1))
		abort();
	for (const restore::TreeStep &step : plan.tree)
		if (!ids.contains(static_cast<uint32_t>(step.pid)))
			abort();
	if (plan.open_files.size() > static_cast<size_t>(document.files_size()))
		abort();
}

// The stub overlaps no mapping, whatever the mappings are.
void check_stub(const restore::Plan &plan)
{
	uint64_t size = target::StubLayout::size_for(plan.max_threads);
	Result<uint64_t> hole = target::find_hole(plan.occupied, size);
	for (const target::RemoteRange &range : plan.occupied)
		if (hole && *hole < range.end() && range.address < *hole + size)
			abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	images::Document document = test::sample_document();
	Edits edits({data, size});
	while (edits.left())
		edit(document, edits);
	if (!images::validate(document, test::kSamplePagesSize))
		return 0;
	images::Manifest manifest;
	Findings findings;
	Result<restore::Plan> plan = restore::make_plan(document, manifest, findings);
	if (!plan)
		return 0;
	check_plan(*plan, document);
	// Asked whatever has been found already, as restore does; it looks at this machine, and leaves it as it is.
	restore::check_machine(*plan, {}, findings);
	if (!(restore::timer_id_seconds(*plan) >= 0 && restore::ring_counter_seconds(*plan) >= 0))
		abort();
	// Only a plan without findings is printed or carried out.
	if (findings.empty())
		(void)restore::plan_text(*plan);
	check_stub(*plan);
	return 0;
}
