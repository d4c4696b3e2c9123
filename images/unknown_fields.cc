// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "images/unknown_fields.h"

#include <unordered_map>
#include <vector>

#include <google/protobuf/unknown_field_set.h>

namespace bpfckpt::images {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Most fields are numbers and strings, which have none; asking a descriptor for its type is slow.
static const std::vector<const FieldDescriptor *> &message_fields(const google::protobuf::Descriptor *type)
{
	thread_local std::unordered_map<const google::protobuf::Descriptor *, std::vector<const FieldDescriptor *>>
		known;
	auto [it, added] = known.try_emplace(type);
	for (int i = 0; added && i < type->field_count(); i++)
		if (type->field(i)->type() == FieldDescriptor::TYPE_MESSAGE)
			it->second.push_back(type->field(i));
	return it->second;
}

bool has_unknown_fields(const Message &message)
{
	const Reflection *reflection = message.GetReflection();
	if (!reflection->GetUnknownFields(message).empty())
		return true;
	for (const FieldDescriptor *field : message_fields(message.GetDescriptor())) {
		if (!field->is_repeated()) {
			if (reflection->HasField(message, field) &&
			    has_unknown_fields(reflection->GetMessage(message, field)))
				return true;
			continue;
		}
		for (int k = 0; k < reflection->FieldSize(message, field); k++)
			if (has_unknown_fields(reflection->GetRepeatedMessage(message, field, k)))
				return true;
	}
	return false;
}

} // namespace bpfckpt::images
