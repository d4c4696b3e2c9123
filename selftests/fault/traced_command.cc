// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "selftests/fault/traced_command.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <functional>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/util/unique_fd.h"

namespace bpfckpt::selftests {

constexpr unsigned kSecondsToLive = 60;

[[noreturn]] static void become_tracee(char *const *argv, int out, int err)
{
	alarm(kSecondsToLive);
	// `make asan`: LeakSanitizer traces its own process, which can have one tracer only.
	setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
	close(0);
	if (open("/dev/null", O_RDONLY) == 0 && dup2(out, 1) == 1 && dup2(err, 2) == 2 &&
	    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0)
		execvp(argv[0], argv);
	_exit(127);
}

// Of a thread that enters one.
static bool enters(pid_t pid, const TracedCall &call)
{
	__ptrace_syscall_info info = {};
	return ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) > 0 &&
	       info.entry.nr == static_cast<uint64_t>(call.nr) &&
	       (call.first_argument == kAnyArgument || info.entry.args[0] == call.first_argument);
}

static bool enters(pid_t pid, long nr)
{
	__ptrace_syscall_info info = {};
	return ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) > 0 &&
	       info.entry.nr == static_cast<uint64_t>(nr);
}

// Lets the tracee run to its end; counts entries, and signals at the one asked for. Returns its wait status.
static int drive(pid_t pid, int signal, const std::function<bool()> &here, TracedOutput &result)
{
	int status = 0;
	long deliver = 0;
	bool entry = true;

	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return status;
	ptrace(PTRACE_SETOPTIONS, pid, nullptr, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD);
	for (;;) {
		ptrace(PTRACE_SYSCALL, pid, nullptr, deliver);
		if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
			return status;
		deliver = 0;
		if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
			deliver = WSTOPSIG(status);
			continue;
		}
		if (entry) {
			result.syscalls++;
			if (!result.renames_at && enters(pid, SYS_renameat2))
				result.renames_at = result.syscalls;
			if (signal && here())
				kill(pid, signal);
		}
		entry = !entry;
	}
}

static TracedOutput run(const Args &command, int signal, const std::function<bool(pid_t, unsigned)> &here)
{
	UniqueFd out(memfd_create("stdout", MFD_CLOEXEC)), err(memfd_create("stderr", MFD_CLOEXEC));
	std::vector<char *> argv;
	for (const std::string &word : command)
		argv.push_back(const_cast<char *>(word.c_str()));
	argv.push_back(nullptr);
	pid_t pid = fork();
	if (pid == 0)
		become_tracee(argv.data(), out.get(), err.get());
	TracedOutput result;
	int status = drive(pid, signal, [&] { return here(pid, result.syscalls); }, result);
	result.exit = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	result.out = contents_of(out.get());
	result.err = contents_of(err.get());
	return result;
}

TracedOutput run_traced(const Args &command, int signal, unsigned at_syscall)
{
	return run(command, signal, [=](pid_t, unsigned syscalls) { return syscalls == at_syscall; });
}

TracedOutput run_traced(const Args &command, int signal, const TracedCall &at)
{
	unsigned seen = 0;
	return run(command, signal, [&](pid_t pid, unsigned) { return enters(pid, at) && ++seen == at.nth; });
}

} // namespace bpfckpt::selftests
