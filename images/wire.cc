// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "images/wire.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format.h>

namespace bpfckpt::images {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::internal::WireFormat;
using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

struct Field {
	unsigned wire_types = 0; // a bit for each that it may have; none: no such field
	bool is_text = false;
	const Descriptor *message = nullptr;
};

using Fields = std::vector<Field>; // by number

unsigned bit(WireFormatLite::WireType type)
{
	return 1U << type;
}

Fields fields_of(const Descriptor &type)
{
	Fields fields;
	for (int i = 0; i < type.field_count(); i++) {
		const FieldDescriptor &field = *type.field(i);
		auto number = static_cast<size_t>(field.number());
		fields.resize(std::max(fields.size(), number + 1));
		fields[number] = {.wire_types = bit(WireFormat::WireTypeForFieldType(field.type())),
				  .is_text = field.type() == FieldDescriptor::TYPE_STRING,
				  .message = field.message_type()};
		if (field.is_packable())
			fields[number].wire_types |= bit(WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
	}
	return fields;
}

// Asking a descriptor is slow.
const Fields &known_fields(const Descriptor &type)
{
	thread_local std::unordered_map<const Descriptor *, Fields> known;
	auto it = known.find(&type);
	return it == known.end() ? known.emplace(&type, fields_of(type)).first->second : it->second;
}

class Walk {
public:
	explicit Walk(std::string_view bytes)
		: bytes_(bytes),
		  stream_(reinterpret_cast<const uint8_t *>(bytes.data()), static_cast<int>(bytes.size()))
	{
	}
	WireContent content(const Descriptor &type)
	{
		content_.unknown_fields = !walk(type, static_cast<int>(bytes_.size()));
		return content_;
	}

private:
	bool walk(const Descriptor &type, int end);
	bool walk_delimited(const Field &field);
	bool skip(WireFormatLite::WireType wire_type);

	std::string_view bytes_;
	CodedInputStream stream_;
	WireContent content_;
};

bool Walk::skip(WireFormatLite::WireType wire_type)
{
	uint64_t value = 0;
	switch (wire_type) {
	case WireFormatLite::WIRETYPE_VARINT:
		return stream_.ReadVarint64(&value);
	case WireFormatLite::WIRETYPE_FIXED64:
		return stream_.Skip(8);
	case WireFormatLite::WIRETYPE_FIXED32:
		return stream_.Skip(4);
	default:
		return false;
	}
}

bool Walk::walk_delimited(const Field &field)
{
	uint32_t length = 0;
	if (!stream_.ReadVarint32(&length))
		return false;
	auto start = static_cast<size_t>(stream_.CurrentPosition());
	if (length > bytes_.size() - start)
		return false;
	if (field.message)
		return walk(*field.message, static_cast<int>(start + length));
	if (field.is_text && bytes_.substr(start, length).find('\\') != std::string_view::npos)
		content_.escapes = true;
	return stream_.Skip(static_cast<int>(length));
}

// Up to `end`. Whether all of it is known.
bool Walk::walk(const Descriptor &type, int end)
{
	const Fields &fields = known_fields(type);
	while (stream_.CurrentPosition() < end) {
		uint32_t tag = 0;
		if (!stream_.ReadVarint32(&tag))
			return false;
		auto number = static_cast<size_t>(WireFormatLite::GetTagFieldNumber(tag));
		WireFormatLite::WireType wire_type = WireFormatLite::GetTagWireType(tag);
		if (number >= fields.size() || !(fields[number].wire_types & bit(wire_type)))
			return false;
		bool delimited = wire_type == WireFormatLite::WIRETYPE_LENGTH_DELIMITED;
		if (!(delimited ? walk_delimited(fields[number]) : skip(wire_type)))
			return false;
	}
	return stream_.CurrentPosition() == end;
}

} // namespace

WireContent wire_content(const Descriptor &type, std::string_view bytes)
{
	return Walk(bytes).content(type);
}

} // namespace bpfckpt::images
