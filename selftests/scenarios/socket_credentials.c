// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Whom SO_PEERCRED names: the process itself, as root, with other effective IDs and groups, as the user that it became;
// a child that shares the descriptors; "gone": one that has ended.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define USER  1000
#define GROUP 1001

static int as_root[2], effective[2], as_user[2], of_child[2], orphan;
static pid_t child;
static const gid_t groups[2] = {3000, 3007};

static void check_peer(int fd, pid_t pid, uid_t uid, gid_t gid, int line)
{
	struct ucred peer = {};
	socklen_t size = sizeof(peer);

	SCENARIO_CHECK(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid == pid &&
			       peer.uid == uid && peer.gid == gid,
		       "line %d: pid %d uid %u gid %u, not %d %u %u", line, peer.pid, peer.uid, peer.gid, pid, uid,
		       gid);
}

static void check_groups(int fd, size_t count)
{
	gid_t found[8] = {};
	socklen_t size = sizeof(found);

	SCENARIO_CHECK(getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, found, &size) == 0 && size == count * sizeof(gid_t) &&
			       !memcmp(found, groups, size),
		       "%u bytes of groups: %u %u", size, found[0], found[1]);
}

static void check_owner(int fd, uid_t uid, gid_t gid)
{
	struct stat status = {};

	SCENARIO_CHECK(fstat(fd, &status) == 0 && status.st_uid == uid && status.st_gid == gid,
		       "owner %u %u, not %u %u", status.st_uid, status.st_gid, uid, gid);
}

static void check(int round)
{
	char byte = 0;

	(void)round;
	for (int i = 0; i < 2; i++) {
		check_peer(as_root[i], getpid(), 0, 0, __LINE__);
		check_peer(effective[i], getpid(), USER, GROUP, __LINE__);
		check_groups(effective[i], 2);
		check_peer(as_user[i], getpid(), USER, USER, __LINE__);
		check_groups(as_user[i], 0);
		check_peer(of_child[i], child, 0, 0, __LINE__);
		check_owner(as_root[i], 0, 0);
		check_owner(effective[i], USER, GROUP);
		check_owner(as_user[i], USER, USER);
	}
	check_peer(orphan, getpid(), USER, USER, __LINE__);
	SCENARIO_CHECK(write(of_child[0], "x", 1) == 1 && read(of_child[1], &byte, 1) == 1 && byte == 'x', "errno %d",
		       errno);
}

/* A child that shares our descriptors makes a pair. */
static void make_by_child(int stays)
{
	int status;

	child = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (child == 0) {
		if (stays)
			prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, of_child))
			_exit(1);
		dup2(of_child[0], 100);
		dup2(of_child[1], 101);
		while (stays)
			pause();
		_exit(0);
	}
	of_child[0] = 100;
	of_child[1] = 101;
	if (stays)
		SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(write(101, "", 0) == 0, 10), "errno %d", errno);
	else
		SCENARIO_REQUIRE(waitpid(child, &status, 0) == child && status == 0, "status %x", status);
}

static void make_pair(int pair[2])
{
	SCENARIO_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "errno %d", errno);
}

static void set_up(void)
{
	int pair[2];

	make_by_child(1);
	make_pair(as_root);
	SCENARIO_REQUIRE(setgroups(2, groups) == 0 && setegid(GROUP) == 0 && seteuid(USER) == 0, "errno %d", errno);
	make_pair(effective);
	SCENARIO_REQUIRE(seteuid(0) == 0 && setgroups(0, NULL) == 0 && chown(".", USER, USER) == 0 &&
				 setresgid(USER, USER, USER) == 0 && setresuid(USER, USER, USER) == 0,
			 "errno %d", errno);
	make_pair(as_user);
	make_pair(pair);
	close(pair[0]);
	orphan = pair[1];
}

static void set_up_gone(void)
{
	make_by_child(0);
}

static void check_nothing(int round)
{
	(void)round;
}

int main(int argc, char **argv)
{
	static const struct scenario_state states[] = {{"alive", set_up}, {"gone", set_up_gone}};

	return scenario_state_main(argc, argv, states, 2, argc > 1 && !strcmp(argv[1], "gone") ? check_nothing : check);
}
