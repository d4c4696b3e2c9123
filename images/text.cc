// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "images/text.h"

#include <vector>

namespace bpfckpt::images {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Message types have no cycles in our model. Spares the walk over, say, a million page runs.
bool holds_strings(const Descriptor *type)
{
	for (int i = 0; i < type->field_count(); i++) {
		const FieldDescriptor *field = type->field(i);
		if (field->type() == FieldDescriptor::TYPE_STRING)
			return true;
		if (field->type() == FieldDescriptor::TYPE_MESSAGE && holds_strings(field->message_type()))
			return true;
	}
	return false;
}

// Calls visit(const std::string &, set) for every string, where set(std::string) replaces it. Stops when visit returns
// false.
template <class Visit>
bool each_string(Message &message, Visit &&visit)
{
	const Reflection *reflection = message.GetReflection();
	std::vector<const FieldDescriptor *> fields;
	reflection->ListFields(message, &fields);
	for (const FieldDescriptor *field : fields) {
		int count = field->is_repeated() ? reflection->FieldSize(message, field) : 1;
		if (field->type() == FieldDescriptor::TYPE_STRING) {
			for (int i = 0; i < count; i++) {
				std::string scratch;
				const std::string &text =
					field->is_repeated()
						? reflection->GetRepeatedStringReference(message, field, i, &scratch)
						: reflection->GetStringReference(message, field, &scratch);
				auto set = [&](std::string value) {
					if (field->is_repeated())
						reflection->SetRepeatedString(&message, field, i, std::move(value));
					else
						reflection->SetString(&message, field, std::move(value));
				};
				if (!visit(text, set))
					return false;
			}
		} else if (field->type() == FieldDescriptor::TYPE_MESSAGE && holds_strings(field->message_type())) {
			for (int i = 0; i < count; i++) {
				Message *inner = field->is_repeated()
							 ? reflection->MutableRepeatedMessage(&message, field, i)
							 : reflection->MutableMessage(&message, field);
				if (!each_string(*inner, visit))
					return false;
			}
		}
	}
	return true;
}

bool is_plain(std::string_view text)
{
	while (!text.empty()) {
		size_t length = text.front() == '\\' ? 0 : utf8_length(text);
		if (!length)
			return false;
		text.remove_prefix(length);
	}
	return true;
}

bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

} // namespace

size_t utf8_length(std::string_view text)
{
	auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
	if (text.empty())
		return 0;
	unsigned char first = byte(0);
	if (first < 0x80)
		return 1;
	size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
	if (first < 0xc2 || first > 0xf4 || text.size() < length)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((byte(i) & 0xc0) != 0x80)
			return 0;
	// Overlong forms, surrogates, and what is above U+10FFFF.
	if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) >= 0xa0) ||
	    (first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) >= 0x90))
		return 0;
	return length;
}

std::string encode_text(std::string_view bytes)
{
	std::string text;
	text.reserve(bytes.size());
	while (!bytes.empty()) {
		size_t length = bytes.front() == '\\' ? 0 : utf8_length(bytes);
		if (length)
			text += bytes.substr(0, length);
		else
			text += fmt::format("\\{:03o}", static_cast<unsigned char>(bytes.front()));
		bytes.remove_prefix(length ? length : 1);
	}
	return text;
}

Result<std::string> decode_text(std::string_view text)
{
	std::string bytes;
	bytes.reserve(text.size());
	while (!text.empty()) {
		if (text.front() != '\\') {
			bytes += text.front();
			text.remove_prefix(1);
			continue;
		}
		if (text.size() < 4 || text[1] > '3' || !is_octal(text[1]) || !is_octal(text[2]) || !is_octal(text[3]))
			return make_error(Code::kCorrupt, "holds a string with a bad escape");
		bytes += static_cast<char>((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
		text.remove_prefix(4);
	}
	return bytes;
}

bool needs_encoding(const Message &message)
{
	// Nothing is set: the walk only wants one signature for both of its uses.
	auto &unchanged = const_cast<Message &>(message);
	return !each_string(unchanged, [](const std::string &text, auto &&) { return is_plain(text); });
}

void encode_strings(Message &message)
{
	each_string(message, [](const std::string &text, auto &&set) {
		if (!is_plain(text))
			set(encode_text(text));
		return true;
	});
}

Result<> decode_strings(Message &message)
{
	Result<> result;
	each_string(message, [&result](const std::string &text, auto &&set) {
		if (text.find('\\') == std::string::npos)
			return true;
		Result<std::string> bytes = decode_text(text);
		if (bytes)
			set(std::move(*bytes));
		else
			result = std::move(bytes).error();
		return result.has_value();
	});
	return result;
}

} // namespace bpfckpt::images
