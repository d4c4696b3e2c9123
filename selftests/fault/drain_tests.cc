// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// bpfckpt is killed while a thread of the target is lent to its task work (user/target/borrowed_syscall.h): the thread
// finds back by itself, and what it was to post is posted once.
#include <csignal>

#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "selftests/fault/fault_test.h"
#include "selftests/fault/traced_command.h"

namespace bpfckpt::selftests {

struct Step {
	const char *name;
	long nr;
	uint64_t first_argument;
	unsigned times; // that such a call is tried: some belong to the freeze
};

TEST_F(Fault, sigkill_while_a_thread_is_lent_leaves_the_target_running)
{
	Scenario target;
	SCENARIO_START(target, "uring_drain", {"defer"});
	for (const Step &step : {Step{"its registers", SYS_ptrace, PTRACE_SETREGSET, 3},
				 Step{"its mask", SYS_ptrace, PTRACE_SETSIGMASK, 3},
				 Step{"into the call, out of it", SYS_ptrace, PTRACE_SYSCALL, 4},
				 Step{"its result", SYS_ptrace, PTRACE_PEEKUSER, 2},
				 Step{"back to its stop", SYS_ptrace, PTRACE_CONT, 2}}) {
		for (unsigned nth = 1; nth <= step.times; nth++) {
			SCOPED_TRACE(std::string(step.name) + ", number " + std::to_string(nth));
			Args dump = dump_command(target.pid(), target.new_image_dir(), {"-R", "--drain", "enter"});
			TracedOutput killed = run_traced(dump, SIGKILL, TracedCall{step.nr, step.first_argument, nth});
			EXPECT_TRUE(killed.exit == 128 + SIGKILL || killed.exit == 0) << killed.exit << killed.err;
			expect_unharmed(target);
			if (HasFailure())
				return;
		}
	}
}

} // namespace bpfckpt::selftests
