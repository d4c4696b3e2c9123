// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Private anonymous memory: written, read only, discarded and untouched pages; data behind PROT_NONE, read-only and
// write-only protection; 10 GiB reserved with a page here and there.
#include "selftests/scenarios/scenario.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "selftests/scenarios/mappings.h"

#define SPARSE_SIZE (10UL << 30)
#define SPARSE_STEP (1UL << 30)

static char *plain;     // 8 pages: 0 written, 1 zero page, 2 untouched, 3 discarded, 4 and 5 written, 6 and 7 untouched
static char *protected; // 3 pages: PROT_NONE, PROT_READ, PROT_WRITE; all written
static char *sparse;
static char before[4096];

static char *map(size_t size)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	SCENARIO_REQUIRE(p != MAP_FAILED, "%m");
	madvise(p, size, MADV_NOHUGEPAGE);
	return p;
}

static void protect(void)
{
	mprotect(protected, PAGE, PROT_NONE);
	mprotect(protected + PAGE, PAGE, PROT_READ);
	mprotect(protected + 2 * PAGE, PAGE, PROT_WRITE);
}

static void check(int round)
{
	const char *mappings = mappings_text(protected, protected + 3 * PAGE);

	SCENARIO_CHECK(!strcmp(before, mappings), "mappings were\n%sand are\n%s", before, mappings);
	SCENARIO_CHECK(populated_pages(plain + 2 * PAGE, 2 * PAGE) == 0, "untouched pages are populated");
	SCENARIO_CHECK(populated_pages(plain + 6 * PAGE, 2 * PAGE) == 0, "untouched pages are populated");
	SCENARIO_CHECK(page_is(plain, 1) && page_is(plain + 4 * PAGE, 2) && page_is(plain + 5 * PAGE, 3), "round %d",
		       round);
	SCENARIO_CHECK(plain[PAGE] == 0 && plain[2 * PAGE - 1] == 0, "the zero page");

	mprotect(protected, 3 * PAGE, PROT_READ);
	for (unsigned i = 0; i < 3; i++)
		SCENARIO_CHECK(page_is(protected + i * PAGE, 10 + i), "protected page %u", i);
	protect();

	for (unsigned i = 0; i * SPARSE_STEP < SPARSE_SIZE; i++) {
		SCENARIO_CHECK(page_is(sparse + i * SPARSE_STEP, 20 + i), "sparse page %u", i);
		SCENARIO_CHECK(populated_pages(sparse + i * SPARSE_STEP + PAGE, 512 * PAGE) == 0,
			       "pages behind sparse page %u", i);
	}
}

int main(void)
{
	scenario_init();
	plain = map(8 * PAGE);
	fill_page(plain, 1);
	(void)*(volatile char *)(plain + PAGE);
	fill_page(plain + 3 * PAGE, 9);
	madvise(plain + 3 * PAGE, PAGE, MADV_DONTNEED);
	fill_page(plain + 4 * PAGE, 2);
	fill_page(plain + 5 * PAGE, 3);

	protected = map(3 * PAGE);
	for (unsigned i = 0; i < 3; i++)
		fill_page(protected + i * PAGE, 10 + i);
	protect();

	sparse = map(SPARSE_SIZE);
	for (unsigned i = 0; i * SPARSE_STEP < SPARSE_SIZE; i++)
		fill_page(sparse + i * SPARSE_STEP, 20 + i);

	snprintf(before, sizeof(before), "%s", mappings_text(protected, protected + 3 * PAGE));
	scenario_tell("plain", "%lu", (unsigned long)plain);
	scenario_tell("protected", "%lu", (unsigned long)protected);
	scenario_tell("sparse", "%lu", (unsigned long)sparse);
	return scenario_main(check);
}
