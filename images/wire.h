/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What the bytes of a message tell at once, where the parsed message has to be asked field by field.
#pragma once

#include <string_view>

#include <google/protobuf/descriptor.h>

namespace bpfckpt::images {

struct WireContent {
	// A newer bpfckpt may have written fields that this one does not have. Restoring without them would lose state
	// silently.
	bool unknown_fields = false;
	bool escapes = false; // a string holds a backslash (text.h)
};

// At any depth, of bytes that were parsed as a message of this type.
WireContent wire_content(const google::protobuf::Descriptor &type, std::string_view bytes);

} // namespace bpfckpt::images
