// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What a program told the kernel about its memory: madvise(2), mlock(2), a stack that grows, guard regions, brk(2).
#include "selftests/scenarios/scenario.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "selftests/scenarios/mappings.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef MADV_GUARD_REMOVE
#define MADV_GUARD_REMOVE 103
#endif

static const int advice[] = {MADV_DONTFORK,   MADV_WIPEONFORK, MADV_DONTDUMP,  MADV_HUGEPAGE,
			     MADV_NOHUGEPAGE, MADV_RANDOM,     MADV_SEQUENTIAL};
#define ADVICES (sizeof(advice) / sizeof(advice[0]))

#define SHARED_PAGES 2048 /* not looked at in passing */

static char *advised[ADVICES], *locked, *lock_on_fault, *stack, *guarded, *shared;
static char before[ADVICES + 4][512];
static void *heap_end;

static char *map(size_t pages, int flags)
{
	// A page between two mappings keeps the kernel from merging them.
	char *p = mmap(NULL, (pages + 2) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	SCENARIO_REQUIRE(p != MAP_FAILED, "%m");
	p = mmap(p + PAGE, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | flags, -1,
		 0);
	SCENARIO_REQUIRE(p != MAP_FAILED, "%m");
	return p;
}

// A stack has room below it.
static char *map_stack(void)
{
	char *hole = mmap(NULL, 1024 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	SCENARIO_REQUIRE(hole != MAP_FAILED && munmap(hole, 1024 * PAGE) == 0, "%m");
	char *p = mmap(hole + 1000 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
	SCENARIO_REQUIRE(p != MAP_FAILED, "%m");
	return p;
}

static bool is_guarded(char *page)
{
	// A system call that cannot write there says so, where an access would end the program.
	int fds[2];
	bool faulted = false;

	SCENARIO_REQUIRE(pipe(fds) == 0, "%m");
	SCENARIO_REQUIRE(write(fds[1], "x", 1) == 1, "%m");
	faulted = read(fds[0], page, 1) < 0;
	close(fds[0]);
	close(fds[1]);
	return faulted;
}

static void record(bool first)
{
	char *maps[ADVICES + 4];
	size_t pages[ADVICES + 4];

	for (size_t i = 0; i < ADVICES; i++) {
		maps[i] = advised[i];
		pages[i] = 2;
	}
	maps[ADVICES] = locked, pages[ADVICES] = 2;
	maps[ADVICES + 1] = lock_on_fault, pages[ADVICES + 1] = 2;
	maps[ADVICES + 2] = stack, pages[ADVICES + 2] = 4;
	maps[ADVICES + 3] = guarded, pages[ADVICES + 3] = 8;
	for (size_t i = 0; i < ADVICES + 4; i++) {
		const char *now = mappings_text(maps[i], maps[i] + pages[i] * PAGE);
		if (first)
			snprintf(before[i], sizeof(before[i]), "%s", now);
		else
			SCENARIO_CHECK(!strcmp(before[i], now), "mapping was\n%sand is\n%s", before[i], now);
	}
}

static void check(int round)
{
	record(false);
	for (unsigned i = 0; i < ADVICES; i++)
		SCENARIO_CHECK(page_is(advised[i], 50 + i), "advised page %u", i);
	SCENARIO_CHECK(page_is(locked, 60) && page_is(locked + PAGE, 61), "locked pages");
	SCENARIO_CHECK(page_is(lock_on_fault, 62), "locked on fault");
	SCENARIO_CHECK(populated_pages(lock_on_fault + PAGE, PAGE) == 0, "locked on fault: populated");
	SCENARIO_CHECK(page_is(stack + 3 * PAGE, 63), "stack page");
	// It grows by a page in each round, and stays as large as it has become.
	fill_page(stack - (unsigned)round * PAGE, 70 + (unsigned)round);
	for (unsigned i = 1; i <= (unsigned)round; i++)
		SCENARIO_CHECK(page_is(stack - i * PAGE, 70 + i), "grown stack page %u", i);
	SCENARIO_CHECK(page_is(guarded, 64) && page_is(guarded + 5 * PAGE, 65), "pages beside guards");
	SCENARIO_CHECK(sbrk(0) == heap_end, "brk moved");
	SCENARIO_CHECK(sbrk((intptr_t)PAGE) == heap_end, "brk does not grow: %m");
	heap_end = sbrk(0);
	record(true);
}

static bool guards = true, shared_guards = true;

static void check_with_guards(int round)
{
	if (guards) {
		SCENARIO_CHECK(is_guarded(guarded + 2 * PAGE) && is_guarded(guarded + 3 * PAGE), "guards are gone");
		SCENARIO_CHECK(!is_guarded(guarded + 6 * PAGE), "a guard too many");
	}
	if (shared_guards) {
		SCENARIO_CHECK(is_guarded(shared + PAGE) && is_guarded(shared + (SHARED_PAGES - 1) * PAGE),
			       "guards of shared memory are gone");
		SCENARIO_CHECK(!is_guarded(shared + 2 * PAGE), "a guard too many");
	}
	SCENARIO_CHECK(page_is(shared, 66), "page beside guards in shared memory");
	madvise(guarded + 6 * PAGE, PAGE, MADV_DONTNEED);
	check(round);
}

int main(void)
{
	scenario_init();
	for (unsigned i = 0; i < ADVICES; i++) {
		advised[i] = map(2, 0);
		fill_page(advised[i], 50 + i);
		SCENARIO_REQUIRE(madvise(advised[i], 2 * PAGE, advice[i]) == 0, "advice %d: %m", advice[i]);
	}
	locked = map(2, 0);
	SCENARIO_REQUIRE(mlock(locked, 2 * PAGE) == 0, "%m");
	fill_page(locked, 60);
	fill_page(locked + PAGE, 61);
	lock_on_fault = map(2, 0);
	SCENARIO_REQUIRE(mlock2(lock_on_fault, 2 * PAGE, MLOCK_ONFAULT) == 0, "%m");
	fill_page(lock_on_fault, 62);
	shared = mmap(NULL, SHARED_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	SCENARIO_REQUIRE(shared != MAP_FAILED, "%m");
	stack = map_stack(); /* last: into its room */
	fill_page(stack + 3 * PAGE, 63);
	guarded = map(8, 0);
	fill_page(guarded, 64);
	fill_page(guarded + 5 * PAGE, 65);
	guards = madvise(guarded + 2 * PAGE, 2 * PAGE, MADV_GUARD_INSTALL) == 0;
	fill_page(shared, 66);
	shared_guards = !madvise(shared + PAGE, PAGE, MADV_GUARD_INSTALL) &&
			!madvise(shared + (SHARED_PAGES - 1) * PAGE, PAGE, MADV_GUARD_INSTALL);
	record(true); // stdio takes its part of the heap before we look at its end
	heap_end = sbrk((intptr_t)PAGE * 4);
	SCENARIO_REQUIRE(heap_end != (void *)-1, "%m");
	heap_end = sbrk(0);
	for (unsigned i = 0; i < ADVICES; i++) {
		char key[16];
		snprintf(key, sizeof(key), "advice%u", i);
		scenario_tell(key, "%lu", (unsigned long)advised[i]);
	}
	scenario_tell("locked", "%lu", (unsigned long)locked);
	scenario_tell("lock_on_fault", "%lu", (unsigned long)lock_on_fault);
	scenario_tell("stack", "%lu", (unsigned long)stack);
	scenario_tell("guarded", "%lu", (unsigned long)guarded);
	scenario_tell("guards", "%d", guards);
	return scenario_main(check_with_guards);
}
