// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Processes that are unusual and restored all the same; argv[1] says which.
#include "selftests/scenarios/scenario.h"
#include "selftests/scenarios/sched_parameters.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ZOMBIES      300
#define DEADLINE     6 /* SCHED_DEADLINE */
#define RECLAIM      2 /* SCHED_FLAG_RECLAIM */
#define MILLISECONDS 1000000ULL

static int last_round;

/* --- a deadline ----------------------------------------------------------------------------------------------------
 */

static void set_deadline(void)
{
	struct sched_parameters wanted = {.size = sizeof(wanted),
					  .policy = DEADLINE,
					  .flags = RECLAIM,
					  .runtime = 10 * MILLISECONDS,
					  .deadline = 50 * MILLISECONDS,
					  .period = 100 * MILLISECONDS};

	if (syscall(SYS_sched_setattr, 0, &wanted, 0))
		scenario_skip("SCHED_DEADLINE: %s", strerror(errno));
}

static void check_deadline(int round)
{
	struct sched_parameters now = {0};

	(void)round;
	SCENARIO_CHECK(syscall(SYS_sched_getattr, 0, &now, sizeof(now), 0) == 0, "%s", strerror(errno));
	SCENARIO_CHECK(now.policy == DEADLINE && now.flags & RECLAIM, "policy %u flags %lx", now.policy, now.flags);
	SCENARIO_CHECK(now.runtime == 10 * MILLISECONDS && now.deadline == 50 * MILLISECONDS &&
			       now.period == 100 * MILLISECONDS,
		       "%lu %lu %lu", now.runtime, now.deadline, now.period);
}

/* --- zombies -------------------------------------------------------------------------------------------------------
 */

static void make_zombies(void)
{
	siginfo_t info;

	for (int i = 0; i < ZOMBIES; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(i % 256);
		SCENARIO_REQUIRE(pid > 0, "%s", strerror(errno));
		SCENARIO_REQUIRE(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0, "%s", strerror(errno));
	}
}

/* A third of them is waited for in each round: after the first dump and after both restores. */
static void reap_zombies(int round)
{
	static unsigned left = ZOMBIES;
	int status;

	for (int i = 0; i < ZOMBIES / 3; i++, left--)
		SCENARIO_CHECK(wait(&status) > 0 && WIFEXITED(status), "round %d: %u are left", round, left);
	if (!left)
		SCENARIO_CHECK(wait(&status) < 0 && errno == ECHILD, "there are more");
}

/* --- paths ---------------------------------------------------------------------------------------------------------
 */

static void enter_jail(void)
{
	SCENARIO_REQUIRE(mkdir("jail", 0755) == 0 && mkdir("jail/inner", 0755) == 0, "%s", strerror(errno));
	SCENARIO_REQUIRE(close(open("jail/marker", O_CREAT | O_WRONLY, 0600)) == 0, "%s", strerror(errno));
	SCENARIO_REQUIRE(chroot("jail") == 0, "%s", strerror(errno));
}

static void check_jail(int round)
{
	SCENARIO_CHECK(access("/marker", F_OK) == 0, "round %d: %s", round, strerror(errno));
	SCENARIO_CHECK(access("/proc", F_OK) < 0, "round %d: the root is not ours", round);
	/* We stand outside of it. */
	SCENARIO_CHECK(access("jail/inner", F_OK) == 0, "round %d: %s", round, strerror(errno));
}

static pid_t child;

static bool in_directory(void)
{
	char link[32], path[256];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/%d/cwd", child);
	length = readlink(link, path, sizeof(path) - 1);
	path[length < 0 ? 0 : length] = 0;
	return strstr(path, "/sub (deleted)") && !strstr(path, "(deleted) (deleted)");
}

/* Nothing is deleted here. */
static void enter_misnamed_directory(void)
{
	SCENARIO_REQUIRE(mkdir("sub (deleted)", 0755) == 0, "%s", strerror(errno));
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (chdir("sub (deleted)"))
			_exit(1);
		for (;;)
			pause();
	}
	SCENARIO_REQUIRE(child > 0, "%s", strerror(errno));
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(in_directory(), 10), "the child does not get there");
}

static void check_directory(int round)
{
	SCENARIO_CHECK(in_directory(), "round %d: the child is elsewhere", round);
}

/* --- the program itself --------------------------------------------------------------------------------------------
 */

static void delete_program(char *self)
{
	char copy[] = "copy";
	char *args[] = {copy, (char *)"exe", (char *)"again", NULL};
	char command[512];

	snprintf(command, sizeof(command), "cp %s copy", self);
	SCENARIO_REQUIRE(system(command) == 0, "cp");
	execv("./copy", args);
	SCENARIO_REQUIRE(false, "%s", strerror(errno));
}

static void check_nothing(int round)
{
	last_round = round;
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "";

	scenario_init();
	if (!strcmp(kind, "deadline")) {
		set_deadline();
		return scenario_main(check_deadline);
	}
	if (!strcmp(kind, "zombies")) {
		make_zombies();
		return scenario_main(reap_zombies);
	}
	if (!strcmp(kind, "jail")) {
		enter_jail();
		return scenario_main(check_jail);
	}
	if (!strcmp(kind, "misnamed")) {
		enter_misnamed_directory();
		return scenario_main(check_directory);
	}
	if (!strcmp(kind, "exe") && argc == 2)
		delete_program(argv[0]);
	if (!strcmp(kind, "exe"))
		SCENARIO_REQUIRE(unlink("copy") == 0, "%s", strerror(errno));
	return scenario_main(check_nothing);
}
