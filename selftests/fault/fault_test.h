/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What the fault tests have in common: whatever went wrong, the target runs on and nothing looks like a checkpoint.
#pragma once

#include <string>

#include "selftests/scenarios/driver.h"
#include "selftests/scenarios/process.h"

namespace bpfckpt::selftests {

// Mounts below test directories are seen by this process and its children only.
class Fault : public testing::Test {
protected:
	void SetUp() override;
};

// Neither stopped nor traced (a killed tracer's tracees may take a moment), and what it checks from inside holds.
void expect_unharmed(Scenario &target);

bool is_checkpoint(const std::string &dir);

// Exit status, a word of the message, and a hint ("hint:" or the like is the CLI's) that is not empty.
void expect_error(const Output &output, int exit, const std::string &text);

// bpfckpt dump -t PID -D DIR, as a command line.
Args dump_command(pid_t pid, const std::string &dir, const Args &options = {"-R"});

} // namespace bpfckpt::selftests
