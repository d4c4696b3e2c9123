// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A tree: zombies that exited and that were killed, stopped children seen and unseen by their parent, another process
// group, another session, and an orphan that came to us because we are the subreaper.
#include "selftests/scenarios/scenario.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t exited, killed, stopped, stopped_seen, in_group, in_session, orphan;

static pid_t child(void (*then)(void))
{
	pid_t pid = fork();

	SCENARIO_REQUIRE(pid >= 0, "fork");
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (then)
		then();
	for (;;)
		pause();
}

static void exit_with_7(void)
{
	_exit(7);
}

static void become_group(void)
{
	setpgid(0, 0);
}

static void become_session(void)
{
	setsid();
}

static pid_t parent_of(pid_t pid)
{
	char path[64], line[512] = "";
	FILE *file;
	char *end;
	pid_t parent = -1;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	if (!file)
		return -1;
	end = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
	fclose(file);
	if (end)
		sscanf(end + 4, "%d", &parent);
	return parent;
}

static void check_zombie(pid_t pid, int code, int status)
{
	siginfo_t info = {};

	SCENARIO_CHECK(waitid(P_PID, pid, &info, WEXITED | WNOWAIT | WNOHANG) == 0, "waitid");
	SCENARIO_CHECK(info.si_pid == pid && info.si_code == code && info.si_status == status, "%d: code %d status %d",
		       pid, info.si_code, info.si_status);
}

static void check_stopped(pid_t pid, bool report)
{
	siginfo_t info = {};

	SCENARIO_CHECK(SCENARIO_EVENTUALLY(scenario_state_of(pid) == 'T', 5), "%d is %c", pid, scenario_state_of(pid));
	SCENARIO_CHECK(waitid(P_PID, pid, &info, WSTOPPED | WNOWAIT | WNOHANG) == 0, "waitid");
	SCENARIO_CHECK((info.si_pid == pid) == report, "%d: report %d", pid, info.si_pid);
	if (report)
		SCENARIO_CHECK(info.si_status == SIGTSTP, "%d: stopped by %d", pid, info.si_status);
}

static void check(int round)
{
	int subreaper = 0;

	(void)round;
	check_zombie(exited, CLD_EXITED, 7);
	check_zombie(killed, CLD_KILLED, SIGTERM);
	check_stopped(stopped, true);
	check_stopped(stopped_seen, false);
	SCENARIO_CHECK(getpgid(in_group) == in_group && getsid(in_group) == getsid(0), "group %d", getpgid(in_group));
	SCENARIO_CHECK(getsid(in_session) == in_session, "session %d", getsid(in_session));
	SCENARIO_CHECK(parent_of(orphan) == getpid(), "parent of the orphan: %d", parent_of(orphan));
	prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
	SCENARIO_CHECK(subreaper == 1, "subreaper");
}

static void make_orphan(void)
{
	int fds[2];
	pid_t middle;

	SCENARIO_REQUIRE(pipe(fds) == 0, "pipe");
	middle = fork();
	if (middle == 0) {
		pid_t pid = fork();

		if (pid == 0) {
			close(fds[0]);
			close(fds[1]);
			for (;;)
				pause();
		}
		_exit(write(fds[1], &pid, sizeof(pid)) != sizeof(pid));
	}
	SCENARIO_REQUIRE(read(fds[0], &orphan, sizeof(orphan)) == sizeof(orphan), "read");
	close(fds[0]);
	close(fds[1]);
	SCENARIO_REQUIRE(waitpid(middle, NULL, 0) == middle, "waitpid");
}

int main(void)
{
	scenario_init();
	SCENARIO_REQUIRE(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0, "subreaper");
	exited = child(exit_with_7);
	killed = child(NULL);
	kill(killed, SIGTERM);
	/* Of a group of its own: SIGTSTP does not stop members of an orphaned one, such as ours. */
	stopped = child(become_group);
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(getpgid(stopped) == stopped, 10), "no group");
	kill(stopped, SIGTSTP);
	stopped_seen = child(NULL);
	kill(stopped_seen, SIGSTOP);
	SCENARIO_REQUIRE(waitpid(stopped_seen, NULL, WUNTRACED) == stopped_seen, "waitpid");
	in_group = child(become_group);
	in_session = child(become_session);
	make_orphan();
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(scenario_state_of(exited) == 'Z' && scenario_state_of(killed) == 'Z' &&
						     scenario_state_of(stopped) == 'T' &&
						     getpgid(in_group) == in_group && getsid(in_session) == in_session,
					     10),
			 "the children do not settle");
	scenario_tell("exited", "%d", exited);
	scenario_tell("killed", "%d", killed);
	scenario_tell("stopped", "%d", stopped);
	scenario_tell("stopped_seen", "%d", stopped_seen);
	scenario_tell("in_group", "%d", in_group);
	scenario_tell("in_session", "%d", in_session);
	scenario_tell("orphan", "%d", orphan);
	return scenario_main(check);
}
