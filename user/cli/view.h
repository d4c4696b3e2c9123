/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// The views of a document: text for people. inspect and show print the same one.
#pragma once

#include <string>

#include "images/document.pb.h"
#include "user/cli/options.h"

namespace bpfckpt::cli {

struct ViewOptions {
	Sections sections;
	bool colour = false;
};

// Whether `fd` wants colour: a terminal that is not dumb, and no NO_COLOR in the environment.
bool wants_colour(int fd);

std::string render_text(const images::Document &document, const ViewOptions &options);

} // namespace bpfckpt::cli
