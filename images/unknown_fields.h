/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// A newer bpfckpt may have written fields that this one does not have. Restoring without them would lose state
// silently.
#pragma once

#include <google/protobuf/message.h>

namespace bpfckpt::images {

// At any depth.
bool has_unknown_fields(const google::protobuf::Message &message);

} // namespace bpfckpt::images
