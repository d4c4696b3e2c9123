// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/finish_work.h"

#include <csignal>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "user/util/mapping.h"

namespace bpfckpt::restore {

static constexpr size_t kStack = 256 << 10;

static int run(void *work)
{
	(*static_cast<const std::function<void()> *>(work))();
	return 0;
}

// As vfork(2) does, with a stack of its own; signals for the process group must not end it either.
Result<> finish_work(const std::function<void()> &work)
{
	Mapping stack = TRY(Mapping::create(kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK));
	sigset_t all;
	sigset_t before;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid_t child = clone(run, stack.bytes().data() + kStack, CLONE_VM | CLONE_FILES | CLONE_FS | CLONE_VFORK,
			    const_cast<std::function<void()> *>(&work));
	int error = errno;
	int status = 0;
	while (child > 0 && waitpid(child, &status, __WALL) < 0 && errno == EINTR)
		;
	sigprocmask(SIG_SETMASK, &before, nullptr);
	if (child < 0)
		return errno_error(error, "cannot create a process to open files in");
	if (status)
		return Error(Code::kInternal, "the process that opens files was killed");
	return {};
}

} // namespace bpfckpt::restore
