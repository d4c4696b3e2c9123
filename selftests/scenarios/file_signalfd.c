// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Signalfds: one with a signal that waits with its value, one whose mask was changed, and one that a thread sleeps in.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define SECONDS 5

static int queued, changed, asleep;
static _Atomic int woken;

static sigset_t set_of(int signal)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signal);
	return set;
}

static void *sleep_in_it(void *unused)
{
	struct signalfd_siginfo info;

	while (read(asleep, &info, sizeof(info)) == sizeof(info) && info.ssi_signo == SIGUSR2)
		atomic_store(&woken, info.ssi_int);
	atomic_store(&woken, -errno);
	return unused;
}

static int queue(int signal, int number)
{
	return sigqueue(getpid(), signal, (union sigval){.sival_int = number});
}

static void check(int round)
{
	struct signalfd_siginfo info = {};

	SCENARIO_CHECK(fcntl(queued, F_GETFL) & O_NONBLOCK && !(fcntl(asleep, F_GETFL) & O_NONBLOCK), "flags");
	SCENARIO_CHECK(fcntl(queued, F_GETFD) == 0 && fcntl(changed, F_GETFD) == FD_CLOEXEC, "flags of descriptors");
	SCENARIO_CHECK(read(queued, &info, sizeof(info)) == sizeof(info) && info.ssi_signo == (unsigned)SIGRTMIN &&
			       info.ssi_int == round - 1 && info.ssi_code == SI_QUEUE,
		       "signal %u, value %d: %s", info.ssi_signo, info.ssi_int, strerror(errno));
	SCENARIO_CHECK(read(queued, &info, sizeof(info)) < 0 && errno == EAGAIN, "more than one");
	SCENARIO_CHECK(queue(SIGRTMIN, round) == 0, "sigqueue: %s", strerror(errno));
	SCENARIO_CHECK(queue(SIGRTMIN + 1, 5) == 0, "sigqueue: %s", strerror(errno));
	SCENARIO_CHECK(read(changed, &info, sizeof(info)) == sizeof(info) && info.ssi_signo == (unsigned)SIGRTMIN + 1 &&
			       info.ssi_int == 5,
		       "signal %u, value %d: %s", info.ssi_signo, info.ssi_int, strerror(errno));
	SCENARIO_CHECK(queue(SIGUSR2, 100 + round) == 0, "sigqueue: %s", strerror(errno));
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(woken == 100 + round, SECONDS), "who slept was told %d", woken);
}

int main(void)
{
	sigset_t all, first = set_of(SIGRTMIN), second = set_of(SIGRTMIN + 1), third = set_of(SIGUSR2);
	pthread_t thread;

	scenario_init();
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	queued = signalfd(-1, &first, SFD_NONBLOCK);
	changed = signalfd(-1, &first, SFD_NONBLOCK | SFD_CLOEXEC);
	asleep = signalfd(-1, &third, 0);
	SCENARIO_REQUIRE(queued >= 0 && asleep >= 0 && signalfd(changed, &second, 0) == changed, "errno %d", errno);
	SCENARIO_REQUIRE(queue(SIGRTMIN, 0) == 0 && pthread_create(&thread, NULL, sleep_in_it, NULL) == 0, "errno %d",
			 errno);
	scenario_tell("queued", "%d", queued);
	scenario_tell("changed", "%d", changed);
	return scenario_main(check);
}
