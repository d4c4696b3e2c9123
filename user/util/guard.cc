// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/util/guard.h"

#include <csignal>

#include <linux/futex.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bpfckpt {

static constexpr size_t kStack = 256 << 10;

static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t));

// Not FUTEX_PRIVATE_FLAG: the kernel wakes without it.
static void wait_while(const std::atomic<uint32_t> &word, uint32_t value)
{
	while (word == value)
		syscall(SYS_futex, &word, FUTEX_WAIT, value, nullptr);
}

static void set_and_wake(std::atomic<uint32_t> &word, uint32_t value)
{
	word = value;
	syscall(SYS_futex, &word, FUTEX_WAKE, 1);
}

// What is sent to bpfckpt's process group, or to its name, must not hit both of them.
void Guard::watch()
{
	setsid();
	prctl(PR_SET_NAME, "bpfckpt-guard");
	prepared_ = work_.prepare();
	set_and_wake(ready_, 1);
	wait_while(waiting_, 1);
	if (committed_)
		work_.finish();
	else if (prepared_)
		work_.undo();
}

int Guard::run(void *guard)
{
	static_cast<Guard *>(guard)->watch();
	return 0;
}

Result<std::unique_ptr<Guard>> Guard::start(Work work)
{
	std::unique_ptr<Guard> guard(new Guard(std::move(work)));
	guard->stack_ = TRY(Mapping::create(kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK));
	sigset_t all;
	sigset_t before;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	// glibc has the word for pthread_join(3), which nobody calls on the first thread.
	syscall(SYS_set_tid_address, &guard->waiting_);
	int child = clone(run, guard->stack_.bytes().data() + kStack, CLONE_VM | CLONE_FILES | CLONE_FS, guard.get());
	int error = errno;
	sigprocmask(SIG_SETMASK, &before, nullptr);
	if (child < 0)
		return errno_error(error, "cannot create a process that guards the last step");
	guard->child_ = child;
	wait_while(guard->ready_, 0);
	TRY(std::move(guard->prepared_));
	return guard;
}

void Guard::finish()
{
	if (!child_)
		return;
	set_and_wake(waiting_, 0);
	int status = 0;
	while (waitpid(child_, &status, __WALL) < 0 && errno == EINTR)
		;
	child_ = 0;
	if (status && committed_) // it was killed
		work_.finish();
}

Guard::~Guard()
{
	finish();
	syscall(SYS_set_tid_address, nullptr);
}

} // namespace bpfckpt
