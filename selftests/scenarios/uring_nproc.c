// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The workers of a ring are as many as the limit of processes allowed when the thread's first ring was set up.
#include <sys/resource.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define LIMIT 321

static struct io_uring ring;

static void check(int round)
{
	unsigned limits[2] = {0, 0}; /* asks for them */

	SCENARIO_CHECK(!io_uring_register_iowq_max_workers(&ring, limits), "round %d: limits", round);
	SCENARIO_CHECK(limits[1] == LIMIT, "round %d: %u workers", round, limits[1]);
}

int main(void)
{
	struct rlimit limit = {LIMIT, LIMIT};

	scenario_init();
	SCENARIO_REQUIRE(!setrlimit(RLIMIT_NPROC, &limit), "%m");
	SCENARIO_REQUIRE(!io_uring_queue_init(8, &ring, 0), "%m");
	return scenario_main(check);
}
