// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Files that the kernel makes up: two pidfds of a process that is gone, a namespace, files of /proc about the program
// and its child, shared anonymous memory opened through map_files; a pipe that raises a signal; a memfd that is
// executed.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int gone, gone_too, network, own_maps, child_status, memory, ends[2], program;
static char *mapping;
static pid_t child;
static int first_flags;
static volatile sig_atomic_t signals;

static void on_signal(int signal)
{
	(void)signal;
	signals++;
}

static void check_pidfds(int round)
{
	struct stat one, other;

	SCENARIO_CHECK(syscall(SYS_pidfd_send_signal, gone, 0, NULL, 0) < 0 && errno == ESRCH, "errno %d", errno);
	SCENARIO_CHECK(fstat(gone, &one) == 0 && fstat(gone_too, &other) == 0 && one.st_ino == other.st_ino,
		       "round %d: two processes", round);
}

static void check_proc(int round)
{
	struct stat here, there;
	char text[4096] = "", wanted[32];

	SCENARIO_CHECK(fstat(network, &here) == 0 && stat("/proc/self/ns/net", &there) == 0 &&
			       here.st_ino == there.st_ino,
		       "round %d: another namespace", round);
	SCENARIO_CHECK(pread(own_maps, text, sizeof(text) - 1, 0) > 0 && strstr(text, "file_kernel"), "round %d: %s",
		       round, text);
	snprintf(wanted, sizeof(wanted), "%d (file_kernel)", child);
	SCENARIO_CHECK(pread(child_status, text, sizeof(text) - 1, 0) > 0 && strstr(text, wanted), "round %d: %s",
		       round, text);
}

static void check_memory(int round)
{
	char byte = 0;

	SCENARIO_CHECK(lseek(memory, 0, SEEK_CUR) == 5, "round %d: at %ld", round, (long)lseek(memory, 0, SEEK_CUR));
	mapping[7] = (char)('a' + round);
	SCENARIO_CHECK(pread(memory, &byte, 1, 7) == 1 && byte == 'a' + round, "round %d: not the mapping", round);
	SCENARIO_CHECK(pread(memory, &byte, 1, 9) == 1 && byte == 'z', "round %d: content", round);
}

static void check_pipe(int round)
{
	int before = signals;
	char byte;

	SCENARIO_CHECK(fcntl(ends[0], F_GETFL) == first_flags, "flags %o, were %o", fcntl(ends[0], F_GETFL),
		       first_flags);
	SCENARIO_CHECK(write(ends[1], "x", 1) == 1 && SCENARIO_EVENTUALLY(signals == before + 1, 5),
		       "round %d: %d signals", round, (int)signals - before);
	SCENARIO_CHECK(read(ends[0], &byte, 1) == 1, "errno %d", errno);
}

static void check_program(int round)
{
	static char *const none[] = {NULL};
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		syscall(SYS_execveat, program, "", none, none, AT_EMPTY_PATH);
		_exit(errno == ENOEXEC ? 42 : errno);
	}
	SCENARIO_CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 42,
		       "round %d: status %x", round, status);
}

static void check(int round)
{
	check_pidfds(round);
	check_proc(round);
	check_memory(round);
	check_pipe(round);
	check_program(round);
}

static void make_children(void)
{
	char path[32];
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	gone = (int)syscall(SYS_pidfd_open, pid, 0);
	gone_too = (int)syscall(SYS_pidfd_open, pid, 0);
	SCENARIO_REQUIRE(gone >= 0 && gone_too >= 0 && waitpid(pid, NULL, 0) == pid, "errno %d", errno);
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	snprintf(path, sizeof(path), "/proc/%d/stat", child);
	child_status = open(path, O_RDONLY);
	SCENARIO_REQUIRE(child_status >= 0, "errno %d", errno);
}

static void make_memory(void)
{
	char path[64];

	mapping = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	SCENARIO_REQUIRE(mapping != MAP_FAILED, "errno %d", errno);
	mapping[9] = 'z';
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)mapping,
		 (unsigned long)mapping + 4096);
	memory = open(path, O_RDWR);
	SCENARIO_REQUIRE(memory >= 0 && lseek(memory, 5, SEEK_SET) == 5, "errno %d", errno);
}

int main(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	scenario_init();
	make_children();
	make_memory();
	network = open("/proc/self/ns/net", O_RDONLY);
	own_maps = open("/proc/self/maps", O_RDONLY);
	SCENARIO_REQUIRE(network >= 0 && own_maps >= 0, "errno %d", errno);
	sigaction(SIGIO, &action, NULL);
	SCENARIO_REQUIRE(pipe(ends) == 0 && fcntl(ends[0], F_SETOWN, getpid()) == 0 &&
				 fcntl(ends[0], F_SETFL, O_ASYNC) == 0,
			 "errno %d", errno);
	first_flags = fcntl(ends[0], F_GETFL);
	program = memfd_create("program", 0);
	SCENARIO_REQUIRE(program >= 0 && write(program, "no program", 10) == 10 && fchmod(program, 0700) == 0,
			 "errno %d", errno);
	scenario_tell("gone", "%d", gone);
	scenario_tell("gone_too", "%d", gone_too);
	scenario_tell("network", "%d", network);
	scenario_tell("memory", "%d", memory);
	return scenario_main(check);
}
