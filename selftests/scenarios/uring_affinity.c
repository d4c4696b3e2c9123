// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A thread that uses a ring with an SQ thread and one without: its own io-wq workers have one CPU, those of the SQ
// thread another. Workers are looked at while they wait.
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "selftests/scenarios/uring_ring.h"

enum { OF_SQ_THREAD, OWN, RINGS };

static struct io_uring rings[RINGS];
static int pipes[RINGS][2];
static char byte;

static void limit_workers(int which)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(which, &cpus);
	SCENARIO_REQUIRE(!io_uring_register_iowq_aff(&rings[which], sizeof(cpus), &cpus), "affinity");
}

/* Of all workers together: the two masks are of one CPU each. */
static int cpus_of_workers(cpu_set_t *cpus)
{
	DIR *threads = opendir("/proc/self/task");
	struct dirent *entry;
	int count = 0;

	CPU_ZERO(cpus);
	while (threads && (entry = readdir(threads))) {
		char path[64], name[32] = "";
		cpu_set_t mask;
		FILE *file;

		snprintf(path, sizeof(path), "/proc/self/task/%.20s/comm", entry->d_name);
		file = fopen(path, "re");
		if (file && fgets(name, sizeof(name), file) && strstr(name, "iou-wrk") &&
		    !sched_getaffinity(atoi(entry->d_name), sizeof(mask), &mask)) {
			SCENARIO_CHECK(CPU_COUNT(&mask) == 1, "a worker with %d CPUs", CPU_COUNT(&mask));
			CPU_OR(cpus, cpus, &mask);
			count++;
		}
		if (file)
			fclose(file);
	}
	closedir(threads);
	return count;
}

/* A worker waits in each ring, and goes when it has read. */
static void check(int round)
{
	cpu_set_t cpus;

	(void)round;
	for (int which = 0; which < RINGS; which++) {
		struct io_uring_sqe *sqe = ring_sqe(&rings[which]);

		io_uring_prep_read(sqe, pipes[which][0], &byte, 1, 0);
		sqe->flags |= IOSQE_ASYNC;
		sqe->user_data = 1;
		ring_submit(&rings[which], 1);
	}
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(cpus_of_workers(&cpus) >= RINGS && CPU_COUNT(&cpus) == RINGS, 5),
		       "workers on %d CPUs", CPU_COUNT(&cpus));
	for (int which = 0; which < RINGS; which++) {
		put(pipes[which][1], "x");
		ring_expect_result(&rings[which], 1, 1);
	}
}

int main(void)
{
	scenario_init();
	cpu_set_t cpus;

	SCENARIO_REQUIRE(!sched_getaffinity(0, sizeof(cpus), &cpus), "%m");
	for (int cpu = 0; cpu < RINGS; cpu++)
		if (!CPU_ISSET(cpu, &cpus))
			scenario_skip("processor %d is not for us", cpu);
	SCENARIO_REQUIRE(!io_uring_queue_init(4, &rings[OF_SQ_THREAD], IORING_SETUP_SQPOLL), "%m");
	SCENARIO_REQUIRE(!io_uring_queue_init(4, &rings[OWN], 0), "%m");
	for (int which = 0; which < RINGS; which++) {
		SCENARIO_REQUIRE(!pipe(pipes[which]), "%m");
		limit_workers(which);
	}
	return scenario_main(check);
}
