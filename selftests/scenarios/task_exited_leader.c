// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A process whose first thread has exited, while two others live: its memory, descriptors, directories, timers and
// children are theirs. They check themselves when they are asked, and end; the status is that of the last one to end.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FIRST   7
#define LAST    3
#define SECONDS 5

static struct shared {
	sem_t asked, answered;
	atomic_int end;
	pid_t heir;
	char failure[256];
} *shared;

static pid_t process, grandchild, sleeper;
static int pipe_ends[2], pair[2], timer_event;
static timer_t timers[2];
static char *memory;
static __thread int own;

#define EXPECT(cond, ...)                                                                \
	do {                                                                             \
		if (!(cond) && !shared->failure[0])                                      \
			snprintf(shared->failure, sizeof(shared->failure), __VA_ARGS__); \
	} while (0)

static bool is_zombie(pid_t pid)
{
	char path[64], line[512] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, pid);
	file = fopen(path, "r");
	if (file && !fgets(line, sizeof(line), file))
		line[0] = 0;
	if (file)
		fclose(file);
	return strstr(line, "(exited one) Z ");
}

/* Its end is a change of the pipe: it sleeps as long as nothing is written. */
static void *sleep_in_pipe(void *unused)
{
	char byte = 0;

	sleeper = (pid_t)syscall(SYS_gettid);
	while (read(pipe_ends[0], &byte, 1) == 1 && byte != 'e')
		eventfd_write(timer_event, (eventfd_t)byte);
	syscall(SYS_exit, LAST);
	return unused;
}

static void fork_grandchild(void)
{
	grandchild = fork();
	if (grandchild == 0) {
		prctl(PR_SET_NAME, "grandchild");
		prctl(PR_SET_PDEATHSIG, SIGUSR2); /* would end it, were the leader its parent */
		for (;;)
			pause();
	}
}

static void make_timers(void)
{
	struct sigevent none = {.sigev_notify = SIGEV_NONE};
	struct itimerspec hour = {.it_value.tv_sec = 3600};
	clockid_t of_leader = (clockid_t)(~(unsigned)process << 3) | 4 | 2;

	EXPECT(timer_create(CLOCK_MONOTONIC, &none, &timers[0]) == 0, "timer_create: %s", strerror(errno));
	EXPECT(timer_settime(timers[0], 0, &hour, NULL) == 0, "timer_settime: %s", strerror(errno));
	EXPECT(timer_create(of_leader, &none, &timers[1]) == 0, "CPU clock of the leader: %s", strerror(errno));
}

static void set_up(void)
{
	struct timeval hour = {.tv_sec = 3600};

	own = 4711;
	shared->heir = (pid_t)syscall(SYS_gettid);
	process = getpid();
	EXPECT(pipe(pipe_ends) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "%s", strerror(errno));
	EXPECT(send(pair[0], "queued", 6, 0) == 6, "send: %s", strerror(errno));
	EXPECT(setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &hour, sizeof(hour)) == 0, "%s", strerror(errno));
	timer_event = eventfd(0, 0);
	memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(memory, 'm', 1 << 20);
	EXPECT(chdir("/proc/sys") == 0, "chdir");
	umask(0123);
	fork_grandchild();
	make_timers();
}

static void check_memory(void)
{
	char bytes[8] = "", cwd[64] = "";
	size_t wrong = 0;

	for (size_t i = 0; i < 1 << 20; i++)
		wrong += memory[i] != 'm';
	EXPECT(!wrong && own == 4711, "%zu bytes of memory changed, own %d", wrong, own);
	EXPECT(recv(pair[1], bytes, sizeof(bytes), MSG_PEEK) == 6 && !strcmp(bytes, "queued"), "queue: %s", bytes);
	EXPECT(getcwd(cwd, sizeof(cwd)) && !strcmp(cwd, "/proc/sys"), "cwd: %s", cwd);
	EXPECT(umask(0123) == 0123, "umask");
}

static void check_threads(void)
{
	struct itimerspec left = {};
	eventfd_t told = 0;

	EXPECT(getpid() == process && syscall(SYS_gettid) == shared->heir, "other numbers");
	EXPECT(is_zombie(process), "the first thread lives");
	EXPECT(write(pipe_ends[1], "\5", 1) == 1 && eventfd_read(timer_event, &told) == 0 && told == 5, "told %d",
	       (int)told);
	EXPECT(timer_gettime(timers[0], &left) == 0 && left.it_value.tv_sec > 3000, "timer 0: %ld s",
	       (long)left.it_value.tv_sec);
	EXPECT(timer_gettime(timers[1], &left) == 0, "timer 1: %s", strerror(errno));
	EXPECT(kill(grandchild, 0) == 0 && waitpid(grandchild, NULL, WNOHANG) == 0, "the grandchild: %s",
	       strerror(errno));
}

static void *live_on(void *unused)
{
	set_up();
	EXPECT(SCENARIO_EVENTUALLY(is_zombie(process), SECONDS), "the first thread does not end");
	sem_post(&shared->answered);
	for (;;) {
		while (sem_wait(&shared->asked))
			;
		if (atomic_load(&shared->end))
			break;
		check_memory();
		check_threads();
		sem_post(&shared->answered);
	}
	kill(grandchild, SIGKILL);
	waitpid(grandchild, NULL, 0);
	EXPECT(write(pipe_ends[1], "e", 1) == 1, "write");
	syscall(SYS_exit, LAST);
	return unused;
}

static void run_child(void)
{
	pthread_t thread;

	prctl(PR_SET_NAME, "exited one");
	pthread_create(&thread, NULL, live_on, NULL);
	while (!pipe_ends[1])
		usleep(100);
	pthread_create(&thread, NULL, sleep_in_pipe, NULL);
	syscall(SYS_exit, FIRST);
}

static bool is_answered(void)
{
	struct timespec late;

	clock_gettime(CLOCK_REALTIME, &late);
	late.tv_sec += SECONDS;
	return sem_timedwait(&shared->answered, &late) == 0;
}

static pid_t child;

static void start_child(void)
{
	child = fork();
	if (child == 0)
		run_child();
	SCENARIO_REQUIRE(child > 0 && is_answered(), "the child does not answer");
	SCENARIO_CHECK(!shared->failure[0], "%s", shared->failure);
}

static void check(int round)
{
	int status = 0;

	sem_post(&shared->asked);
	SCENARIO_CHECK(is_answered(), "no answer");
	SCENARIO_CHECK(!shared->failure[0], "%s", shared->failure);
	if (round % 2)
		return;
	atomic_store(&shared->end, 1);
	sem_post(&shared->asked);
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(waitpid(child, &status, WNOHANG) == child, SECONDS), "does not end");
	SCENARIO_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == LAST, "status %#x", status);
	atomic_store(&shared->end, 0);
	start_child();
}

int main(void)
{
	scenario_init();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	SCENARIO_REQUIRE(shared != MAP_FAILED, "mmap");
	sem_init(&shared->asked, 1, 0);
	sem_init(&shared->answered, 1, 0);
	start_child();
	return scenario_main(check);
}
