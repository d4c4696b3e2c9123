// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Memory protection keys: three numbers of which one is free again, mappings with them, one that is executable only,
 * and two threads that may do different things. What a thread may do is asked of the kernel, which copies from and to
 * the memory for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "selftests/scenarios/scenario.h"

#define SIZE 8192

static int first, middle, last, zero;
static char *readable, *closed, *code;
static atomic_int rounds, looked;

static bool may_read(const char *at)
{
	int ends[2];
	bool could;

	SCENARIO_CHECK(!pipe2(ends, O_CLOEXEC), "%m");
	could = write(ends[1], at, 1) == 1;
	close(ends[0]);
	close(ends[1]);
	return could;
}

static bool may_write(char *at)
{
	return read(zero, at, 1) == 1;
}

static void expect(const char *who, bool others)
{
	SCENARIO_CHECK(may_read(readable) && !may_write(readable + 1), "%s: key %d", who, first);
	SCENARIO_CHECK(may_read(closed) == others && may_write(closed + 1) == others, "%s: key %d", who, last);
	SCENARIO_CHECK(pkey_get(last) == (others ? 0 : PKEY_DISABLE_ACCESS), "%s: rights %d", who, pkey_get(last));
	SCENARIO_CHECK(!may_read(code), "%s: what is executable only can be read", who);
}

static void *look(void *unused)
{
	int before = 0;

	pkey_set(first, PKEY_DISABLE_WRITE);
	pkey_set(last, 0);
	for (;; scenario_sleep_ms(1)) {
		int now = atomic_load(&rounds);

		if (now == before)
			continue;
		before = now;
		expect("the other thread", true);
		SCENARIO_CHECK(closed[0] == 'c', "content %d", closed[0]);
		atomic_store(&looked, now);
	}
	return unused;
}

static void check(int round)
{
	int free_one;

	atomic_store(&rounds, round);
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(atomic_load(&looked) == round, 30), "the other thread does not look");
	expect("the first thread", false);
	SCENARIO_CHECK(readable[0] == 'r' && readable[4096] == 'R', "content %d", readable[0]);
	SCENARIO_CHECK(((int (*)(void))code)() == 42, "what is executable only does not run");
	free_one = pkey_alloc(0, 0);
	SCENARIO_CHECK(free_one == middle, "round %d: key %d is free, not %d", round, free_one, middle);
	pkey_free(free_one);
	SCENARIO_CHECK(pkey_mprotect(readable, SIZE, PROT_READ, last) == 0, "%m");
	SCENARIO_CHECK(!may_read(readable), "a mapping that gets another key can be read");
	SCENARIO_CHECK(pkey_mprotect(readable, SIZE, PROT_READ | PROT_WRITE, first) == 0, "%m");
}

static char *map(void)
{
	char *at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	SCENARIO_REQUIRE(at != MAP_FAILED, "%m");
	return at;
}

int main(void)
{
	static const unsigned char function[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov $42, %eax; ret */
	pthread_t other;

	scenario_init();
	first = pkey_alloc(0, 0);
	if (first < 0)
		scenario_skip("pkey_alloc: %s", strerror(errno));
	middle = pkey_alloc(0, 0);
	last = pkey_alloc(0, PKEY_DISABLE_ACCESS);
	zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	readable = map();
	closed = map();
	code = map();
	memcpy(code, function, sizeof(function));
	readable[0] = 'r';
	readable[4096] = 'R';
	closed[0] = 'c';
	/* The kernel takes a key of its own for it: the lowest that is free, which is the fourth. */
	SCENARIO_REQUIRE(!mprotect(code, SIZE, PROT_EXEC), "%m");
	SCENARIO_REQUIRE(!pkey_mprotect(readable, SIZE, PROT_READ | PROT_WRITE, first), "%m");
	SCENARIO_REQUIRE(!pkey_mprotect(closed, SIZE, PROT_READ | PROT_WRITE, last), "%m");
	pkey_set(first, PKEY_DISABLE_WRITE);
	SCENARIO_REQUIRE(middle > first && last > middle && !pkey_free(middle), "keys %d %d %d", first, middle, last);
	SCENARIO_REQUIRE(!pthread_create(&other, NULL, look, NULL), "%m");
	return scenario_main(check);
}
