// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A target that ends by itself N milliseconds after it was ready, with a dozen threads.
#include "selftests/scenarios/scenario.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static void *sleep_for_ever(void *unused)
{
	pause();
	return unused;
}

int main(int argc, char **argv)
{
	scenario_init();
	for (int i = 0; i < 12; i++) {
		pthread_t thread;

		SCENARIO_REQUIRE(!pthread_create(&thread, NULL, sleep_for_ever, NULL), "%m");
	}
	scenario_ready();
	scenario_sleep_ms(argc > 1 ? atoi(argv[1]) : 0);
	return 9;
}
