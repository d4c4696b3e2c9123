/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What options take, and what is said of a command line that is wrong: the option, the value, and where to look.
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "user/util/result.h"

namespace bpfckpt::cli {

CLI::Validator process_id();
CLI::Validator at_least(double least);
CLI::Validator whole_number();
CLI::Validator file_name();
CLI::Validator one_of(std::vector<std::string> words);
// "10", "10s", "500ms", "2m" becomes a number of seconds.
CLI::Validator duration();

// "65536", "64K", "10M", "1G" becomes a number of bytes.
CLI::Validator size_in_bytes();

// Flags take no value, not even --flag=true.
void forbid_flag_values(CLI::App &app);

// `app` has thrown it while it parsed.
Error usage_error(const CLI::App &app, const CLI::ParseError &thrown);

} // namespace bpfckpt::cli
