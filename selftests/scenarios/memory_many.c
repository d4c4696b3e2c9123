// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// 5000 mappings, each with a page of its own.
#include "selftests/scenarios/scenario.h"

#include <sys/mman.h>

#include "selftests/scenarios/mappings.h"

#define COUNT 5000UL

static char *base;

static void check(int round)
{
	for (unsigned long i = 0; i < COUNT; i++)
		SCENARIO_CHECK(page_is(base + 2 * i * PAGE, (unsigned)i), "page %lu in round %d", i, round);
}

int main(void)
{
	scenario_init();
	base = mmap(NULL, 2 * COUNT * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	SCENARIO_REQUIRE(base != MAP_FAILED, "%m");
	for (unsigned long i = 0; i < COUNT; i++) {
		fill_page(base + 2 * i * PAGE, (unsigned)i);
		SCENARIO_REQUIRE(munmap(base + (2 * i + 1) * PAGE, PAGE) == 0, "%m");
	}
	scenario_tell("base", "%lu", (unsigned long)base);
	return scenario_main(check);
}
