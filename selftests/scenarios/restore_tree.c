// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Sessions and groups whose leaders are gone, a child that was forked before its parent led a session, an orphan of
// a session whose leader lives, and a session that two parents have left, in which their children are.
#include "selftests/scenarios/scenario.h"

#include <signal.h>
#include <stdio.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
	volatile pid_t of_dead_session, dead_session;
	volatile pid_t of_dead_group, dead_group;
	volatile pid_t leader, before, orphan;
	volatile pid_t left, left_by[2], children[2];
} *family;

static void wait_for_ever(void)
{
	for (;;)
		pause();
}

static void dead_session(void)
{
	if (fork())
		return;
	setsid();
	family->dead_session = getpid();
	if (fork())
		_exit(0);
	family->of_dead_session = getpid();
	wait_for_ever();
}

static void dead_group(void)
{
	pid_t leader = fork(), member;

	if (leader == 0)
		wait_for_ever();
	setpgid(leader, leader);
	member = fork();
	if (member == 0)
		wait_for_ever();
	setpgid(member, leader);
	family->dead_group = leader;
	family->of_dead_group = member;
	kill(leader, SIGKILL);
	waitpid(leader, NULL, 0);
}

static void late_leader(void)
{
	pid_t before;

	if (fork())
		return;
	before = fork();
	if (before == 0)
		wait_for_ever();
	family->before = before;
	setsid();
	if (fork() == 0) {
		if (fork())
			_exit(0);
		family->orphan = getpid();
		wait_for_ever();
	}
	wait(NULL);
	family->leader = getpid();
	wait_for_ever();
}

/* Two processes that have children in a session, and have left it. */
static void session_that_two_have_left(void)
{
	pid_t child;

	if (fork())
		return;
	setsid();
	family->left = getpid();
	for (int i = 0; i < 2; i++) {
		if (fork())
			continue;
		child = fork();
		if (child == 0)
			wait_for_ever();
		family->children[i] = child;
		setsid();
		family->left_by[i] = getpid();
		wait_for_ever();
	}
	while (!family->left_by[0] || !family->left_by[1])
		scenario_sleep_ms(1);
	_exit(0);
}

static pid_t parent_of(pid_t pid)
{
	char path[64];
	pid_t parent = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	if (!file || fscanf(file, "%*d (%*[^)]) %*c %d", &parent) != 1)
		parent = 0;
	if (file)
		fclose(file);
	return parent;
}

static void check_left_session(void)
{
	SCENARIO_CHECK(kill(family->left, 0) < 0, "the leader that had ended is alive");
	for (int i = 0; i < 2; i++) {
		SCENARIO_CHECK(getsid(family->left_by[i]) == family->left_by[i] &&
				       parent_of(family->left_by[i]) == getpid(),
			       "session %d, parent %d", getsid(family->left_by[i]), parent_of(family->left_by[i]));
		SCENARIO_CHECK(getsid(family->children[i]) == family->left &&
				       parent_of(family->children[i]) == family->left_by[i],
			       "session %d instead of %d, parent %d", getsid(family->children[i]), family->left,
			       parent_of(family->children[i]));
	}
}

static void check(int round)
{
	(void)round;
	SCENARIO_CHECK(getsid(family->of_dead_session) == family->dead_session, "session %d instead of %d",
		       getsid(family->of_dead_session), family->dead_session);
	SCENARIO_CHECK(getpgid(family->of_dead_session) == family->dead_session, "group %d",
		       getpgid(family->of_dead_session));
	SCENARIO_CHECK(getpgid(family->of_dead_group) == family->dead_group, "group %d instead of %d",
		       getpgid(family->of_dead_group), family->dead_group);
	SCENARIO_CHECK(getsid(family->leader) == family->leader, "session %d", getsid(family->leader));
	SCENARIO_CHECK(getsid(family->before) == getsid(0), "session %d instead of %d", getsid(family->before),
		       getsid(0));
	SCENARIO_CHECK(getsid(family->orphan) == family->leader, "session %d of the orphan", getsid(family->orphan));
	SCENARIO_CHECK(waitid(P_PID, (id_t)family->orphan, NULL, WEXITED | WNOHANG) == 0,
		       "the orphan is not our child");
	SCENARIO_CHECK(kill(family->dead_session, 0) < 0, "the dead leader is alive");
	check_left_session();
	SCENARIO_CHECK(waitpid(-1, NULL, WNOHANG) == 0, "a child has ended");
}

/* What a user needs who has to keep to limits of processes (kernel/fork.c: copy_process()). */
static void drop_admin(void)
{
	static const cap_value_t admin[] = {CAP_SYS_ADMIN, CAP_SYS_RESOURCE};
	cap_t caps = cap_get_proc();

	SCENARIO_REQUIRE(caps, "%m");
	for (int i = 0; i < 2; i++)
		SCENARIO_REQUIRE(!cap_drop_bound(admin[i]), "%m");
	for (cap_flag_t flag = CAP_EFFECTIVE; flag <= CAP_INHERITABLE; flag++)
		cap_set_flag(caps, flag, 2, admin, CAP_CLEAR);
	SCENARIO_REQUIRE(!cap_set_proc(caps), "%m");
	cap_free(caps);
}

/* argv[1] "without_admin": without some capabilities. */
int main(int argc, char **argv)
{
	(void)argv;
	scenario_init();
	if (argc > 1)
		drop_admin();
	family = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	dead_session();
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(family->of_dead_session, 10), "no session");
	waitpid(family->dead_session, NULL, 0);
	session_that_two_have_left();
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(family->left_by[0] && family->left_by[1], 10), "no second session");
	waitpid(family->left, NULL, 0);
	dead_group();
	late_leader();
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(family->leader && family->orphan, 10), "no leader");
	return scenario_main(check);
}
