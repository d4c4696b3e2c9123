// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// POSIX timers keep their IDs, and the next one gets the ID that it would have got. argv[1]: how many timers, one after
// the other from 7 on, every third deleted again; "prctl" behind it: one at INT_MAX too, and 1000 the next ID.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FIRST 7

static int timers, next_id;
static bool far;

static int create(int id)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};

	event.sigev_value.sival_int = id;
	if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id))
		return -errno;
	return id;
}

static bool is_kept(int id)
{
	return id == INT_MAX ? far : id >= FIRST && id < FIRST + timers && id % 3;
}

static void arm(int id)
{
	struct itimerspec spec = {.it_value.tv_sec = 100000 + id % 1000};

	SCENARIO_REQUIRE(syscall(SYS_timer_settime, id, 0, &spec, NULL) == 0, "timer %d: %s", id, strerror(errno));
}

static void check_timer(int id)
{
	struct itimerspec spec = {};
	long result = syscall(SYS_timer_gettime, id, &spec);

	SCENARIO_CHECK((result == 0) == is_kept(id), "timer %d", id);
	if (result)
		return;
	SCENARIO_CHECK(spec.it_value.tv_sec <= 100000 + id % 1000 && spec.it_value.tv_sec >= 90000 + id % 1000,
		       "timer %d: %ld s", id, spec.it_value.tv_sec);
}

static void check(int round)
{
	int id;

	(void)round;
	for (id = 0; id < FIRST + timers + 10; id++)
		check_timer(id);
	check_timer(INT_MAX);
	id = create(0);
	SCENARIO_CHECK(id == next_id, "the next timer is %d, not %d", id, next_id);
	syscall(SYS_timer_delete, id);
	next_id = id + 1;
}

static void create_far(void)
{
	if (prctl(77, 1, 0, 0, 0))
		scenario_skip("PR_TIMER_CREATE_RESTORE_IDS: %s", strerror(errno));
	SCENARIO_REQUIRE(create(INT_MAX) == INT_MAX, "INT_MAX");
	arm(INT_MAX);
	SCENARIO_REQUIRE(create(999999) == 999999, "999999");
	syscall(SYS_timer_delete, 999999);
	prctl(77, 0, 0, 0, 0);
	next_id = 1000000;
}

int main(int argc, char **argv)
{
	scenario_init();
	timers = argc > 1 ? atoi(argv[1]) : 50;
	far = argc > 2;
	for (int id = 0; id < FIRST + timers; id++) {
		int created = create(id);

		SCENARIO_REQUIRE(created == id, "timer %d: %d", id, created);
		if (is_kept(id))
			arm(id);
		else
			syscall(SYS_timer_delete, id);
	}
	next_id = FIRST + timers;
	if (far)
		create_far();
	return scenario_main(check);
}
