// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "images/unknown_fields.h"

#include <vector>

#include <google/protobuf/unknown_field_set.h>

namespace bpfckpt::images {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

bool has_unknown_fields(const Message &message)
{
	const Reflection *reflection = message.GetReflection();
	if (!reflection->GetUnknownFields(message).empty())
		return true;
	const google::protobuf::Descriptor *type = message.GetDescriptor();
	for (int i = 0; i < type->field_count(); i++) {
		const FieldDescriptor *field = type->field(i);
		if (field->type() != FieldDescriptor::TYPE_MESSAGE)
			continue;
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
