// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Eventfds: a counter beyond 32 bits, a semaphore, and one that is empty and does not block.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BIG (1ULL << 40)

static int counter, semaphore, empty;

static void check(int round)
{
	uint64_t value = 0;

	SCENARIO_CHECK(read(counter, &value, 8) == 8 && value == BIG, "round %d: counter %llu", round,
		       (unsigned long long)value);
	SCENARIO_CHECK(write(counter, &value, 8) == 8, "errno %d", errno);
	for (int i = 0; i < 3; i++)
		SCENARIO_CHECK(read(semaphore, &value, 8) == 8 && value == 1, "read %d of the semaphore: %llu", i,
			       (unsigned long long)value);
	SCENARIO_CHECK(read(semaphore, &value, 8) < 0 && errno == EAGAIN, "the semaphore has more than 3");
	value = 3;
	SCENARIO_CHECK(write(semaphore, &value, 8) == 8, "errno %d", errno);
	SCENARIO_CHECK(read(empty, &value, 8) < 0 && errno == EAGAIN, "it was empty");
}

int main(void)
{
	uint64_t big = BIG;

	scenario_init();
	counter = eventfd(0, 0);
	semaphore = eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK);
	empty = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	SCENARIO_REQUIRE(counter >= 0 && semaphore >= 0 && empty >= 0, "errno %d", errno);
	SCENARIO_REQUIRE(write(counter, &big, 8) == 8, "errno %d", errno);
	scenario_tell("counter", "%d", counter);
	scenario_tell("semaphore", "%d", semaphore);
	scenario_tell("empty", "%d", empty);
	return scenario_main(check);
}
