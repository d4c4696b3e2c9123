// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Command lines that are wrong, as somebody who is new types them: the message names what is wrong, and a way out.
#include <fstream>

#include <unistd.h>

#include "selftests/fault/fault_test.h"
#include "selftests/unit/temporary_directory.h"

namespace bpfckpt::selftests {

struct Wrong {
	Args arguments;
	int exit;
	const char *message;
};

static void expect_all(const std::vector<Wrong> &lines)
{
	for (const Wrong &line : lines) {
		std::string text;
		for (const std::string &argument : line.arguments)
			text += " '" + argument + "'";
		SCOPED_TRACE("bpfckpt" + text);
		Output output = bpfckpt(line.arguments);
		expect_error(output, line.exit, line.message);
		EXPECT_EQ(output.out, "");
	}
}

TEST(Usage, commands_and_options_are_named)
{
	expect_all({
		{{}, 2, "no command is given"},
		{{"frobnicate"}, 2, "unknown command 'frobnicate'"},
		{{"--nope"}, 2, "unknown option '--nope'"},
		{{"inspect", "--nope", "-t", "1"}, 2, "inspect: unknown option '--nope'"},
		{{"inspect", "1"}, 2, "--tree is required; unexpected argument '1'"},
		{{"show", "a", "b"}, 2, "unexpected argument 'b'"},
		{{"show"}, 2, "DIR is required"},
		{{"dump", "-t", "1", "-D", "a", "-D", "b"}, 2, "--images-dir: is given 2 times"},
		{{"dump", "-t", "1", "-R", "-s"}, 2, "--leave-running excludes --leave-stopped"},
		{{"check", "--json=3"}, 2, "--json: takes no value"},
		{{"check", "--tcp-established"}, 2, "--tcp-established requires --tree"},
		{{"restore"}, 2, "--images-dir is required"},
	});
}

TEST(Usage, process_ids)
{
	for (const char *value : {"", "0", "-1", "+1", "abc", "1x", "1.5", "0x10", "99999999999999999"})
		expect_all({{{"inspect", "-t", value}, 2, "is not a process ID"},
			    {{"check", "-t", value}, 2, "is not a process ID"},
			    {{"dump", "-t", value}, 2, "is not a process ID"}});
	expect_all({{{"inspect", "-t"}, 2, "--tree: PID is missing"},
		    {{"inspect", "-t", "4194999"}, 1, "pid 4194999: no such process"},
		    {{"check", "-t", "4194999"}, 1, "pid 4194999: no such process"},
		    {{"dump", "-t", "4194999", "--dry-run"}, 1, "pid 4194999: no such process"}});
	if (::access("/proc/2/stat", R_OK) == 0 && status_field(2, "Name") == "kthreadd")
		expect_all({{{"inspect", "-t", "2"}, 2, "is a kernel thread"},
			    {{"check", "-t", "2"}, 2, "is a kernel thread"},
			    {{"dump", "-t", "2", "--dry-run"}, 2, "is a kernel thread"}});
}

TEST(Usage, numbers_and_times)
{
	for (const char *value : {"", "-1", "abc", "5h", "1e400", "nan", "inf", "10 s", "1e9"})
		expect_all({{{"dump", "-t", "1", "--timeout", value}, 2, "--timeout: "},
			    {{"dump", "-t", "1", "--drain-timeout", value}, 2, "is not a time such as"},
			    {{"restore", "-D", "x", "--timeout", value}, 2, "is not a time such as"},
			    {{"restore", "-D", "x", "--ring-counter-budget", value}, 2, "is not a time such as"}});
	for (const char *value : {"", "0", "-1", "abc", "nan", "inf", "1e400"})
		expect_all({{{"inspect", "-t", "1", "--watch", value}, 2, "--watch: "}});
	for (const char *value : {"", "-1", "1.5", "many", "99999999999999999999999"})
		expect_all({{{"restore", "-D", "x", "--timer-id-limit", value}, 2, "--timer-id-limit: "}});
	for (const char *value : {"", "-1", "1.5M", "many", "10X", "K", "99999999999999999999999", "99999999999G"})
		expect_all({{{"dump", "-t", "1", "--ghost-limit", value}, 2, "--ghost-limit: "},
			    {{"check", "-t", "1", "--ghost-limit", value}, 2, "is not a size such as"}});
	expect_all({{{"dump", "-t", "1", "--stats", "xml"}, 2, "'xml' is not text or json"},
		    {{"dump", "-t", "1", "--leak", "none"}, 2, "'none' is not all=ignore"},
		    {{"dump", "-t", "1", "--timeout"}, 2, "--timeout: TIME is missing"}});
}

TEST(Usage, names_of_files)
{
	test::TemporaryDirectory directory;
	std::string file = directory / "file";
	std::ofstream(file) << "text";
	std::string nowhere = directory / "nowhere";
	expect_all({
		{{"show", ""}, 2, "DIR: is an empty name"},
		{{"dump", "-t", "1", "-D", ""}, 2, "--images-dir: is an empty name"},
		{{"restore", "-D", ""}, 2, "--images-dir: is an empty name"},
		{{"restore", "-D", "x", "--pidfile", ""}, 2, "--pidfile: is an empty name"},
		{{"show", file}, 6, "is not a checkpoint: Not a directory"},
		{{"show", nowhere}, 6, "is not a checkpoint: No such file or directory"},
		{{"restore", "-D", file}, 6, "is not a checkpoint: Not a directory"},
		{{"restore", "-D", nowhere}, 6, "is not a checkpoint: No such file or directory"},
		{{"restore", "-v10", "-D", nowhere}, 6, "is not a checkpoint"},
		{{"restore", "-v1x", "-D", nowhere}, 2, "unknown option '-1x'"},
		{{"restore", "-D", nowhere, "-o", nowhere + "/log"}, 1, nowhere.c_str()},
	});
}

} // namespace bpfckpt::selftests
