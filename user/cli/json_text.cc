// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/cli/json_text.h"

#include <algorithm>

#include <fmt/format.h>

#include "images/text.h"
#include "user/cli/terminal.h"

namespace bpfckpt::cli {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

namespace {

constexpr size_t kPiece = 64 << 10;

bool stays_as_it_is(char c)
{
	return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

// JSON has UTF-16 code units.
std::string unicode_escape(uint32_t point)
{
	if (point < 0x10000)
		return fmt::format("\\u{:04x}", point);
	point -= 0x10000;
	return fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + (point >> 10), 0xdc00 + (point & 0x3ff));
}

std::string base64(std::string_view bytes)
{
	static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	std::string out;
	out.reserve((bytes.size() + 2) / 3 * 4);
	for (size_t i = 0; i < bytes.size(); i += 3) {
		auto byte = [&](size_t at) { return at < bytes.size() ? static_cast<uint8_t>(bytes[at]) : 0U; };
		uint32_t group = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
		for (unsigned digit = 0; digit < 4; digit++)
			out += i + digit > bytes.size() ? '=' : kDigits[group >> (18 - 6 * digit) & 63];
	}
	return out;
}

std::string enumerator(const FieldDescriptor *field, int number)
{
	const auto *value = field->enum_type()->FindValueByNumber(number);
	return value ? fmt::format("\"{}\"", value->name()) : fmt::format("{}", number);
}

} // namespace

std::string json_string(std::string_view text)
{
	std::string out = "\"";
	while (!text.empty()) {
		auto plain = static_cast<size_t>(std::ranges::find_if_not(text, stays_as_it_is) - text.begin());
		out += text.substr(0, plain);
		text.remove_prefix(plain);
		if (text.empty())
			break;
		size_t length = text.front() == '\\' ? 0 : images::utf8_length(text);
		std::string_view sequence = text.substr(0, std::max<size_t>(length, 1));
		if (!length)
			out += "\\" + images::encode_text(sequence);
		else if (sequence == "\"")
			out += "\\\"";
		else if (is_visible(sequence))
			out += sequence;
		else
			out += unicode_escape(code_point(sequence));
		text.remove_prefix(sequence.size());
	}
	return out + '"';
}

void JsonText::add(std::string_view text)
{
	text_ += text;
	if (text_.size() < kPiece)
		return;
	if (result_)
		result_ = sink_(text_);
	text_.clear();
}

void JsonText::new_line()
{
	add("\n");
	text_.append(depth_, ' ');
}

void JsonText::begin(char bracket)
{
	add({&bracket, 1});
	depth_++;
	first_ = true;
}

void JsonText::item()
{
	if (!first_)
		add(",");
	first_ = false;
	new_line();
}

void JsonText::name(std::string_view name)
{
	item();
	add(fmt::format("\"{}\": ", name));
}

void JsonText::end(char bracket)
{
	depth_--;
	if (!first_)
		new_line();
	first_ = false;
	add({&bracket, 1});
}

// `index`: of an element, -1 for a field that is not repeated.
void JsonText::value(const Message &message, const FieldDescriptor *field, int index)
{
	const Reflection &reflection = *message.GetReflection();
	auto get = [&](auto one, auto element) {
		return index < 0 ? (reflection.*one)(message, field) : (reflection.*element)(message, field, index);
	};
	std::string scratch;
	switch (field->cpp_type()) {
	case FieldDescriptor::CPPTYPE_INT32:
		return add(fmt::format("{}", get(&Reflection::GetInt32, &Reflection::GetRepeatedInt32)));
	case FieldDescriptor::CPPTYPE_UINT32:
		return add(fmt::format("{}", get(&Reflection::GetUInt32, &Reflection::GetRepeatedUInt32)));
	case FieldDescriptor::CPPTYPE_INT64:
		return add(fmt::format("\"{}\"", get(&Reflection::GetInt64, &Reflection::GetRepeatedInt64)));
	case FieldDescriptor::CPPTYPE_UINT64:
		return add(fmt::format("\"{}\"", get(&Reflection::GetUInt64, &Reflection::GetRepeatedUInt64)));
	case FieldDescriptor::CPPTYPE_DOUBLE:
		return add(fmt::format("{}", get(&Reflection::GetDouble, &Reflection::GetRepeatedDouble)));
	case FieldDescriptor::CPPTYPE_FLOAT:
		return add(fmt::format("{}", get(&Reflection::GetFloat, &Reflection::GetRepeatedFloat)));
	case FieldDescriptor::CPPTYPE_BOOL:
		return add(get(&Reflection::GetBool, &Reflection::GetRepeatedBool) ? "true" : "false");
	case FieldDescriptor::CPPTYPE_ENUM:
		return add(enumerator(field, get(&Reflection::GetEnumValue, &Reflection::GetRepeatedEnumValue)));
	case FieldDescriptor::CPPTYPE_STRING: {
		const std::string &text =
			index < 0 ? reflection.GetStringReference(message, field, &scratch)
				  : reflection.GetRepeatedStringReference(message, field, index, &scratch);
		return add(field->type() == FieldDescriptor::TYPE_BYTES ? '"' + base64(text) + '"' : json_string(text));
	}
	case FieldDescriptor::CPPTYPE_MESSAGE:
		return this->message(index < 0 ? reflection.GetMessage(message, field)
					       : reflection.GetRepeatedMessage(message, field, index));
	}
}

void JsonText::field(const Message &message, const FieldDescriptor *field)
{
	if (!field->is_repeated())
		return value(message, field, -1);
	begin('[');
	for (int i = 0, size = message.GetReflection()->FieldSize(message, field); i < size; i++) {
		item();
		value(message, field, i);
	}
	end(']');
}

void JsonText::message(const Message &message)
{
	begin('{');
	for (int i = 0; i < message.GetDescriptor()->field_count(); i++) {
		const FieldDescriptor *field = message.GetDescriptor()->field(i);
		if (field->has_presence() && !message.GetReflection()->HasField(message, field))
			continue;
		name(field->name());
		this->field(message, field);
	}
	end('}');
}

Result<> JsonText::finish()
{
	add("\n");
	if (result_)
		result_ = sink_(text_);
	text_.clear();
	return std::move(result_);
}

} // namespace bpfckpt::cli
