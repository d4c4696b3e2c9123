// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Transparent huge pages: one with data, and a huge zero page.
#include "selftests/scenarios/scenario.h"

#include <stdint.h>
#include <sys/mman.h>

#include "selftests/scenarios/mappings.h"

#define HUGE (2UL << 20)

static char *huge;

static void check(int round)
{
	for (unsigned long i = 0; i < HUGE / PAGE; i += 64)
		SCENARIO_CHECK(page_is(huge + i * PAGE, (unsigned)i), "page %lu in round %d", i, round);
	SCENARIO_CHECK(huge[HUGE] == 0 && huge[2 * HUGE - 1] == 0, "the huge zero page");
}

int main(void)
{
	char *p;

	scenario_init();
	p = mmap(NULL, 3 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	SCENARIO_REQUIRE(p != MAP_FAILED, "%m");
	huge = (char *)(((uintptr_t)p + HUGE - 1) / HUGE * HUGE);
	if (madvise(huge, 2 * HUGE, MADV_HUGEPAGE) != 0)
		scenario_skip("no transparent huge pages: %m");
	for (unsigned long i = 0; i < HUGE / PAGE; i += 64)
		fill_page(huge + i * PAGE, (unsigned)i);
	(void)*(volatile char *)(huge + HUGE);
	scenario_tell("huge", "%lu", (unsigned long)huge);
	return scenario_main(check);
}
