// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Children of threads: only their own thread finds them with __WNOTHREAD, and its end is the death of their parent. One
// child has a thread with a child, too. Each round ends one thread, and starts another one with another child.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECONDS 5

struct parent {
	pthread_t thread;
	sem_t asked, answered;
	pid_t tid, child, zombie;
	int end;
	char failure[128];
};

static struct parent idle, steady, mortal;
static pid_t of_leader;
static struct {
	atomic_int tid, child;
} *nested;

static void wait_for_ever(void)
{
	for (;;)
		pause();
}

static pid_t fork_child(void (*then)(void))
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGUSR1);
		then();
	}
	return pid;
}

static void *have_child(void *unused)
{
	nested->tid = (pid_t)syscall(SYS_gettid);
	nested->child = fork_child(wait_for_ever);
	wait_for_ever();
	return unused;
}

static void start_nested(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, have_child, NULL);
	wait_for_ever();
}

static pid_t fork_zombie(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(7);
	return pid;
}

static void check_own(struct parent *parent)
{
	siginfo_t info = {};

	if (parent->child && waitpid(parent->child, NULL, WNOHANG | __WNOTHREAD))
		snprintf(parent->failure, sizeof(parent->failure), "child %d: %s", parent->child, strerror(errno));
	if (parent->zombie && (waitid(P_PID, (id_t)parent->zombie, &info, WEXITED | WNOHANG | WNOWAIT | __WNOTHREAD) ||
			       info.si_status != 7))
		snprintf(parent->failure, sizeof(parent->failure), "zombie %d: %s, status %d", parent->zombie,
			 strerror(errno), info.si_status);
	if (waitpid(of_leader, NULL, WNOHANG | __WNOTHREAD) != -1 || errno != ECHILD)
		snprintf(parent->failure, sizeof(parent->failure), "the leader's child is ours");
}

static void *be_parent(void *arg)
{
	struct parent *parent = arg;

	parent->tid = (pid_t)syscall(SYS_gettid);
	if (parent == &steady)
		parent->child = fork_child(start_nested);
	if (parent == &mortal) {
		parent->child = fork_child(wait_for_ever);
		parent->zombie = fork_zombie();
	}
	for (;;) {
		sem_post(&parent->answered);
		while (sem_wait(&parent->asked))
			;
		if (parent->end)
			return NULL;
		check_own(parent);
	}
}

static bool is_answered(struct parent *parent)
{
	return SCENARIO_EVENTUALLY(sem_trywait(&parent->answered) == 0, SECONDS);
}

static void start(struct parent *parent)
{
	memset(parent, 0, sizeof(*parent));
	sem_init(&parent->asked, 0, 0);
	sem_init(&parent->answered, 0, 0);
	SCENARIO_REQUIRE(pthread_create(&parent->thread, NULL, be_parent, parent) == 0, "pthread_create");
	SCENARIO_REQUIRE(is_answered(parent), "the thread does not answer");
}

/* Where the kernel tells it (CONFIG_PROC_CHILDREN). */
static bool has_child(pid_t pid, pid_t tid, pid_t child)
{
	char path[64], line[256] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, tid);
	file = fopen(path, "r");
	if (!file)
		return true;
	if (!fgets(line, sizeof(line), file))
		line[0] = 0;
	fclose(file);
	for (char *rest = line, *word; (word = strsep(&rest, " "));)
		if (atoi(word) == child)
			return true;
	return false;
}

static void check_parent(struct parent *parent)
{
	sem_post(&parent->asked);
	SCENARIO_CHECK(is_answered(parent), "thread %d does not answer", parent->tid);
	SCENARIO_CHECK(!parent->failure[0], "thread %d: %s", parent->tid, parent->failure);
	if (!parent->child)
		return;
	SCENARIO_CHECK(has_child(getpid(), parent->tid, parent->child), "%d has no child %d", parent->tid,
		       parent->child);
	SCENARIO_CHECK(waitpid(parent->child, NULL, WNOHANG) == 0, "waitpid: %s", strerror(errno));
	SCENARIO_CHECK(waitpid(parent->child, NULL, WNOHANG | __WNOTHREAD) == -1 && errno == ECHILD,
		       "the child of thread %d is the leader's", parent->tid);
}

static void end_parent(struct parent *parent)
{
	int status = 0;

	parent->end = 1;
	sem_post(&parent->asked);
	pthread_join(parent->thread, NULL);
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(waitpid(parent->child, &status, WNOHANG) == parent->child, SECONDS),
		       "the child did not hear of the end of its thread");
	SCENARIO_CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1, "status %#x", status);
	SCENARIO_CHECK(waitpid(parent->zombie, &status, WNOHANG) == parent->zombie, "the zombie is not ours now");
}

static void check(int round)
{
	(void)round;
	check_parent(&idle);
	check_parent(&steady);
	check_parent(&mortal);
	SCENARIO_CHECK(has_child(getpid(), getpid(), of_leader), "the leader has no child");
	SCENARIO_CHECK(waitpid(of_leader, NULL, WNOHANG | __WNOTHREAD) == 0, "the leader's child: %s", strerror(errno));
	SCENARIO_CHECK(has_child(steady.child, nested->tid, nested->child), "no child of the child's thread");
	end_parent(&mortal);
	SCENARIO_CHECK(waitpid(-1, NULL, WNOHANG) == 0, "another child has ended");
	start(&mortal);
}

int main(void)
{
	scenario_init();
	nested = mmap(NULL, sizeof(*nested), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	SCENARIO_REQUIRE(nested != MAP_FAILED, "mmap");
	of_leader = fork_child(wait_for_ever);
	start(&idle);
	start(&steady);
	start(&mortal);
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(nested->child, SECONDS), "no grandchild");
	return scenario_main(check);
}
