// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Children whose end is told by another signal than SIGCHLD, or by none: only a wait with __WCLONE hears of it.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const int exit_signals[] = {0, SIGURG};
static pid_t children[2];

static void start(void)
{
	for (int i = 0; i < 2; i++) {
		children[i] = (pid_t)syscall(SYS_clone, (long)exit_signals[i], NULL, NULL, NULL, NULL);
		if (children[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				pause();
		}
		SCENARIO_REQUIRE(children[i] > 0, "clone: errno %d", errno);
	}
}

static void check(int round)
{
	for (int i = 0; i < 2; i++) {
		siginfo_t end = {};

		kill(children[i], SIGKILL);
		SCENARIO_CHECK(waitid(P_PID, (id_t)children[i], &end, WEXITED | WNOWAIT | __WCLONE) == 0, "errno %d",
			       errno);
		SCENARIO_CHECK(waitpid(children[i], NULL, WNOHANG) < 0 && errno == ECHILD,
			       "round %d: a plain wait hears of child %d", round, i);
		SCENARIO_CHECK(waitpid(children[i], NULL, __WCLONE) == children[i], "errno %d", errno);
	}
	start();
}

int main(void)
{
	scenario_init();
	start();
	return scenario_main(check);
}
