// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/cli/report.h"

#include <algorithm>
#include <cerrno>

#include <unistd.h>

#include "user/cli/json_text.h"
#include "user/cli/terminal.h"
#include "user/cli/view.h"
#include "user/util/io.h"

namespace bpfckpt::cli {

namespace {

void to_stderr(const std::string &text)
{
	// There is nowhere left to report a failure to.
	(void)write_all(STDERR_FILENO, as_bytes(text));
}

std::string with_object(const Error &error)
{
	if (error.object.empty())
		return printable(error.message);
	return fmt::format("{}: {}", printable(error.object), printable(error.message));
}

// What helps against a limit of the system does not depend on who reached it.
std::string hint_of(const Error &error)
{
	if (!error.hint.empty())
		return error.hint;
	const Error *reason = &error;
	while (!reason->sys_errno && reason->cause)
		reason = reason->cause.get();
	switch (reason->sys_errno) {
	case EMFILE:
		return "bpfckpt may open no more files: raise its RLIMIT_NOFILE (ulimit -n), or give it "
		       "CAP_SYS_RESOURCE";
	case ENFILE:
		return "the system has no room for more open files: see fs.file-max and /proc/sys/fs/file-nr";
	case ENOMEM:
		return "see free, memory.max of the cgroup, ulimit -v and vm.max_map_count";
	default:
		break;
	}
	switch (error.code) {
	case Code::kCorrupt:
		return "it is damaged, or no checkpoint: copy it again from where it was made, or dump again";
	case Code::kTimeout:
		return "a longer --timeout gives it more time";
	default:
		return {};
	}
}

} // namespace

std::string error_text(std::string_view severity, const Error &error)
{
	std::string text = fmt::format("bpfckpt: {}: {}\n", severity, with_object(error));
	for (const Error *cause = error.cause.get(); cause; cause = cause->cause.get())
		text += fmt::format("  because: {}\n", with_object(*cause));
	if (std::string hint = hint_of(error); !hint.empty())
		text += fmt::format("  hint: {}\n", printable(hint));
	return text;
}

std::string findings_text(const Findings &findings)
{
	size_t width = 0;
	for (const Error &finding : findings)
		width = std::max(width, std::min<size_t>(printable(finding.object).size(), 40));
	std::string text;
	for (const Error &finding : findings) {
		std::string object = printable(finding.object);
		size_t column = std::max(width, object.size());
		text += fmt::format("  {:{}}  {}\n", object, column, printable(finding.message));
		if (std::string hint = hint_of(finding); !hint.empty())
			text += fmt::format("  {:{}}    hint: {}\n", "", column, printable(hint));
	}
	return text;
}

std::string findings_json(std::string_view command, int pid, const Findings &findings)
{
	std::string text =
		fmt::format("{{\n \"version\": 1,\n \"command\": {},\n \"pid\": {},\n \"ok\": {},\n \"findings\": [",
			    json_string(command), pid, findings.empty());
	const char *separator = "\n";
	for (const Error &finding : findings) {
		text += fmt::format("{}  {{\"code\": {}, \"object\": {}, \"message\": {}, \"hint\": {}}}", separator,
				    json_string(name_of(finding.code)), json_string(finding.object),
				    json_string(finding.message), json_string(hint_of(finding)));
		separator = ",\n";
	}
	return text + (findings.empty() ? "]\n}\n" : "\n ]\n}\n");
}

int report_error(const Error &error)
{
	to_stderr(error_text("error", error));
	return exit_status(error.code);
}

void report_warning(const Error &error)
{
	to_stderr(error_text("warning", error));
}

int report_findings(std::string_view what, const Findings &findings)
{
	if (findings.empty())
		return 0;
	to_stderr(fmt::format("bpfckpt: error: {}: {}\n{}", printable(what), count_of(findings.size(), "obstacle"),
			      findings_text(findings)));
	return exit_status(findings.front().code);
}

Result<> print(std::string_view text)
{
	return write_all(STDOUT_FILENO, std::as_bytes(std::span(text)));
}

} // namespace bpfckpt::cli
