/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Protobuf's JSON mapping of a message, with the field names of the .proto files and with fields that have their
// default value: what google::protobuf::util::MessageToJsonString() prints, in a sixth of the time and, because the
// text leaves in pieces, without room for all of it. (That function builds a tree of all fields: 370 MiB for a ring
// with 10,000 requests.)
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <google/protobuf/message.h>

#include "user/util/result.h"

namespace bpfckpt::cli {

// A JSON string with its quotes, of any bytes (images/text.h). Nothing in it moves a cursor.
std::string json_string(std::string_view text);

// Takes the text in the order in which it is made.
using TextSink = std::function<Result<>(std::string_view)>;

class JsonText {
public:
	explicit JsonText(TextSink sink) : sink_(std::move(sink)) {}

	// {...}, all fields.
	void message(const google::protobuf::Message &message);

	// Pieces, for a caller that leaves some of a message out: name(), then one value, or begin('['), each element
	// after an item(), end(']').
	void begin(char bracket);
	void item();
	void name(std::string_view name);
	void field(const google::protobuf::Message &message, const google::protobuf::FieldDescriptor *field);
	void end(char bracket);

	// The last newline, and whether the sink took all.
	Result<> finish();

private:
	void value(const google::protobuf::Message &message, const google::protobuf::FieldDescriptor *field, int index);
	void add(std::string_view text);
	void new_line();

	TextSink sink_;
	std::string text_; // not given to the sink yet
	Result<> result_;
	size_t depth_ = 0;
	bool first_ = true; // no item in the innermost bracket yet
};

} // namespace bpfckpt::cli
