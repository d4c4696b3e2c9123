// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "selftests/fault/fault_test.h"

#include <cerrno>
#include <cstring>

namespace bpfckpt::selftests {

void Fault::SetUp()
{
	if (!enter_private_mounts())
		GTEST_SKIP() << "wants root and a mount namespace: " << strerror(errno);
}

void expect_unharmed(Scenario &target)
{
	EXPECT_TRUE(eventually(
		[&] {
			for (pid_t tid : threads_of(target.pid())) {
				if (status_field(tid, "TracerPid") > "0" || status_field(tid, "State").starts_with('t'))
					return false;
			}
			return true;
		},
		milliseconds(2000)));
	target.check_target();
	target.go();
}

bool is_checkpoint(const std::string &dir)
{
	return bpfckpt({"show", dir}).exit == 0;
}

void expect_error(const Output &output, int exit, const std::string &text)
{
	EXPECT_EQ(output.exit, exit) << output.err;
	EXPECT_NE(output.err.find(text), std::string::npos) << "expected \"" << text << "\" in: " << output.err;
	EXPECT_NE(output.err.find("hint"), std::string::npos) << "no hint in: " << output.err;
	EXPECT_EQ(output.err.find("0xffff"), std::string::npos) << "a kernel address in: " << output.err;
}

Args dump_command(pid_t pid, const std::string &dir, const Args &options)
{
	Args command{bpfckpt_path(), "dump", "-t", std::to_string(pid), "-D", dir};
	command.insert(command.end(), options.begin(), options.end());
	return command;
}

} // namespace bpfckpt::selftests
