// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A parent, four children and a grandchild that share the pages that none of them has written since fork(2): they go on
// doing so, and a write of one is seen by no other. argv[1]: MiB of the parent.
#include "selftests/scenarios/scenario.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "selftests/scenarios/page_pattern.h"

#define PROCESSES  6 /* 0 is the parent, 5 a child of 1 */
#define GRANDCHILD (PROCESSES - 1)

/* What process p did to the common pages: its own ones behind P * 100. */
#define OWN(p)       (100UL * ((p) + 1))
#define OWN_PAGES    16
#define DISCARDED(p) (OWN(p) + 20)
#define READ_ONLY(p) (OWN(p) + 40)
#define SOME_PAGES   4
#define ROUND(p, r)  (OWN(p) + 60 + (r))
#define LATE         2000UL /* written by the parent after it forked */

static struct {
	_Atomic int round;
	_Atomic int done[PROCESSES];
	_Atomic long wrong[PROCESSES]; /* page + 1 */
} *common;

static char *memory;
static size_t pages;
static pid_t pids[PROCESSES];
static char *heap;
static long baseline;

static unsigned seed_of(int process, size_t page, int round)
{
	for (int p = process; p >= 0; p = p == GRANDCHILD ? 1 : -1) {
		if (page >= OWN(p) && page < OWN(p) + OWN_PAGES)
			return 1000000 + (unsigned)p;
		if (page > ROUND(p, 0) && page <= ROUND(p, round) && p == process)
			return 2000000 + (unsigned)p;
	}
	if (process == 0 && page >= LATE && page < LATE + OWN_PAGES)
		return 3000000;
	return (unsigned)page;
}

static bool is_zero(const char *page)
{
	for (size_t i = 0; i < PAGE; i++)
		if (page[i])
			return false;
	return true;
}

static bool is_discarded(int process, size_t page)
{
	if (process == GRANDCHILD && is_discarded(1, page))
		return true;
	return process && page >= DISCARDED(process) && page < DISCARDED(process) + SOME_PAGES;
}

static void verify(int process, int round)
{
	common->wrong[process] = 0;
	fill_page(memory + ROUND(process, round) * PAGE, 2000000 + (unsigned)process);
	for (size_t page = 0; page < pages; page++) {
		const char *at = memory + page * PAGE;
		bool right = is_discarded(process, page) ? is_zero(at) : page_is(at, seed_of(process, page, round));

		if (!right && !common->wrong[process])
			common->wrong[process] = (long)page + 1;
	}
	if (process && !page_is(heap, 4000000 + (unsigned)process))
		common->wrong[process] = -1;
	common->done[process] = round;
}

static void change_own(int process)
{
	for (unsigned i = 0; i < OWN_PAGES; i++)
		fill_page(memory + (OWN(process) + i) * PAGE, 1000000 + (unsigned)process);
	if (!process)
		return;
	madvise(memory + DISCARDED(process) * PAGE, SOME_PAGES * PAGE, MADV_DONTNEED);
	mprotect(memory + READ_ONLY(process) * PAGE, SOME_PAGES * PAGE, PROT_READ);
	/* The heap grows beyond what was inherited. */
	heap = sbrk(0);
	sbrk(8 * PAGE - (intptr_t)heap % PAGE);
	heap = (char *)(((uintptr_t)heap + PAGE - 1) & ~(PAGE - 1));
	fill_page(heap, 4000000 + (unsigned)process);
}

static pid_t start_child(int process)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	change_own(process);
	if (process == 1)
		start_child(GRANDCHILD);
	common->done[process] = -getpid();
	for (int round = 1;; round++) {
		while (common->round < round)
			scenario_sleep_ms(1);
		verify(process, round);
	}
}

/* Proportional set sizes of all, in KiB. */
static long memory_in_use(void)
{
	char path[64], line[256];
	long total = 0, kib;

	for (int p = 0; p < PROCESSES; p++) {
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pids[p]);
		file = fopen(path, "r");
		SCENARIO_REQUIRE(file, "%s", path);
		while (fgets(line, sizeof(line), file))
			if (sscanf(line, "Pss: %ld kB", &kib) == 1)
				total += kib;
		fclose(file);
	}
	return total;
}

static void check(int round)
{
	long now = memory_in_use();

	SCENARIO_CHECK(now < baseline + baseline / 20 && now > baseline - baseline / 20,
		       "the processes had %ld KiB and have %ld KiB", baseline, now);
	common->round = round;
	verify(0, round);
	for (int p = 0; p < PROCESSES; p++) {
		SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(common->done[p] == round, 20), "process %d does not answer", p);
		SCENARIO_CHECK(!common->wrong[p], "process %d: page %ld", p, common->wrong[p] - 1);
	}
}

int main(int argc, char **argv)
{
	scenario_init();
	pages = (argc > 1 ? strtoul(argv[1], NULL, 10) : 16) << 8;
	memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	common = mmap(NULL, sizeof(*common), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	SCENARIO_REQUIRE(memory != MAP_FAILED && common != MAP_FAILED, "mmap");
	madvise(memory, pages * PAGE, MADV_NOHUGEPAGE);
	for (size_t page = 0; page < pages; page++)
		fill_page(memory + page * PAGE, (unsigned)page);
	pids[0] = getpid();
	for (int p = 1; p < GRANDCHILD; p++)
		pids[p] = start_child(p);
	change_own(0);
	for (unsigned i = 0; i < OWN_PAGES; i++)
		fill_page(memory + (LATE + i) * PAGE, 3000000);
	for (int p = 1; p < PROCESSES; p++)
		SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(common->done[p], 20), "process %d does not start", p);
	pids[GRANDCHILD] = -common->done[GRANDCHILD];
	baseline = memory_in_use();
	return scenario_main(check);
}
