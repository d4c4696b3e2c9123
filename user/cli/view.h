/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// The views of a document: text for people. inspect and show print the same one.
#pragma once

#include <string>

#include "images/document.pb.h"

namespace bpfckpt::cli {

// Which parts to show; none chosen means all.
struct Sections {
	bool tasks = false;
	bool files = false;
	bool rings = false;
	bool timers = false;
	bool memory = false;

	[[nodiscard]] bool all() const { return !(tasks || files || rings || timers || memory); }
	[[nodiscard]] bool has(bool Sections::*section) const { return all() || this->*section; }
};

struct ViewOptions {
	Sections sections;
	bool colour = false;
};

// Whether `fd` wants colour: a terminal that is not dumb, and no NO_COLOR in the environment.
bool wants_colour(int fd);

std::string render_text(const images::Document &document, const ViewOptions &options);

} // namespace bpfckpt::cli
