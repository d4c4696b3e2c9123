/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What goes to stderr when a command cannot do its work, and the exit status that follows from it.
#pragma once

#include <string>
#include <string_view>

#include "user/util/result.h"

namespace bpfckpt::cli {

// "bpfckpt: error: OBJECT: MESSAGE", its causes and its hint. Returns the exit status.
int report_error(const Error &error);

// "bpfckpt: warning: ..." for what does not end the command.
void report_warning(const Error &error);

// "bpfckpt: error: WHAT: 3 obstacles" and an aligned list. Returns the exit status of the first; 0 if there are none.
int report_findings(std::string_view what, const Findings &findings);

// The texts of the above, for logs and tests.
std::string error_text(std::string_view severity, const Error &error);
std::string findings_text(const Findings &findings);

// {"version":1,"command":COMMAND,"pid":PID,"ok":false,"findings":[{"code":...,"object":...,"message":...,"hint":...}]}
std::string findings_json(std::string_view command, int pid, const Findings &findings);

// Writes to stdout, whole. Errors: that of write(2).
Result<> print(std::string_view text);

} // namespace bpfckpt::cli
