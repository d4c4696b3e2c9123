// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Processes with root directories of their own, one below the other, one that two have as one (CLONE_FS), and a socket
// that listens there; a login uid; a zombie that SIGKILL ended.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOGIN "4711"

static pid_t *pids; // shared: jailed, jailed within, killed, with the root of the first
static char jail[PATH_MAX], inner[PATH_MAX + 8];
static bool has_login;

static void check_link(int round, pid_t pid, const char *name, const char *wanted)
{
	char path[64], target[PATH_MAX] = "";

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	SCENARIO_CHECK(readlink(path, target, sizeof(target) - 1) > 0 && !strcmp(target, wanted),
		       "round %d: %s is %s, not %s", round, path, target, wanted);
}

static void check_server(int round)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "jail/socket"};
	int client = socket(AF_UNIX, SOCK_STREAM, 0);
	char byte;

	SCENARIO_CHECK(!connect(client, (void *)&name, sizeof(name)), "round %d: connect: %m", round);
	SCENARIO_CHECK(read(client, &byte, 1) == 0, "round %d: read: %m", round);
	close(client);
}

static void check(int round)
{
	siginfo_t info = {};
	char login[16] = "";
	int fd = open("/proc/self/loginuid", O_RDONLY);

	check_link(round, getpid(), "root", "/");
	check_link(round, pids[0], "root", jail);
	check_link(round, pids[0], "cwd", jail);
	check_link(round, pids[1], "root", inner);
	check_link(round, pids[3], "root", jail);
	check_link(round, pids[3], "cwd", jail);
	check_server(round);
	SCENARIO_CHECK(!waitid(P_PID, pids[2], &info, WEXITED | WNOWAIT | WNOHANG) && info.si_pid == pids[2] &&
			       info.si_code == CLD_KILLED && info.si_status == SIGKILL,
		       "round %d: code %d status %d", round, info.si_code, info.si_status);
	if (has_login)
		SCENARIO_CHECK(read(fd, login, sizeof(login) - 1) > 0 && !strcmp(login, LOGIN), "round %d: login %s",
			       round, login);
	close(fd);
}

static void enter(const char *root)
{
	if (chroot(root) || chdir("/"))
		_exit(1);
}

/* Under a name that means another file outside. Who connects is told its end. */
static void serve(void)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "/socket"};
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);

	if (listener < 0 || bind(listener, (void *)&name, sizeof(name)) || listen(listener, 3))
		_exit(1);
	pids[0] = getpid();
	for (;;)
		close(accept(listener, NULL, NULL));
}

static void run_jailed(void)
{
	enter("jail");
	if (!fork()) {
		enter("inner");
		pids[1] = getpid();
		for (;;)
			pause();
	}
	if (!syscall(SYS_clone, CLONE_FS | SIGCHLD, 0, 0, 0, 0)) {
		pids[3] = getpid();
		for (;;)
			pause();
	}
	serve();
}

int main(void)
{
	siginfo_t info;
	pid_t child;
	int fd;

	scenario_init();
	pids = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	SCENARIO_REQUIRE(!mkdir("jail", 0755) && !mkdir("jail/inner", 0755) && realpath("jail", jail), "%s",
			 strerror(errno));
	snprintf(inner, sizeof(inner), "%s/inner", jail);
	fd = open("/proc/self/loginuid", O_WRONLY);
	has_login = fd >= 0 && write(fd, LOGIN, strlen(LOGIN)) > 0;
	close(fd);
	if (!fork())
		run_jailed();
	child = fork(); /* not at once into memory that both have */
	SCENARIO_REQUIRE(child >= 0, "%s", strerror(errno));
	if (!child)
		for (;;)
			pause();
	pids[2] = child;
	kill(child, SIGKILL);
	SCENARIO_REQUIRE(!waitid(P_PID, child, &info, WEXITED | WNOWAIT), "%s", strerror(errno));
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(pids[0] && pids[1] && pids[3], 10), "the jailed do not start");
	scenario_tell("login", "%d", has_login);
	return scenario_main(check);
}
