// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A program with N MiB (default 16) of touched memory that does not compress, in a thread's sleep and a few kinds of
// files: something to lose when a dump fails in the middle. It checks every page.
#include "selftests/scenarios/scenario.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t *memory;
static size_t words;
static int event_fd;
static pthread_t thread;

static uint64_t word_at(size_t i)
{
	return (i + 1) * 0x9e3779b97f4a7c15u;
}

// Ends with an error that nobody else causes: EINTR, or an early return.
static void *sleep_on_eventfd(void *unused)
{
	uint64_t value = 0;

	SCENARIO_CHECK(read(event_fd, &value, sizeof(value)) == sizeof(value), "%m");
	SCENARIO_CHECK(value == 7, "eventfd gave %lu", (unsigned long)value);
	return unused;
}

static void check(int round)
{
	uint64_t value = 7;

	for (size_t i = 0; i < words; i++) {
		if (memory[i] != word_at(i))
			return scenario_failed(__FILE__, __LINE__, "memory", "word %zu changed", i);
	}
	SCENARIO_CHECK(write(event_fd, &value, sizeof(value)) == sizeof(value), "%m");
	SCENARIO_CHECK(!pthread_join(thread, NULL), "%m in round %d", round);
	SCENARIO_REQUIRE(!pthread_create(&thread, NULL, sleep_on_eventfd, NULL), "%m");
}

int main(int argc, char **argv)
{
	size_t bytes = (size_t)(argc > 1 ? atoi(argv[1]) : 16) << 20;

	scenario_init();
	words = bytes / sizeof(*memory);
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	SCENARIO_REQUIRE(memory != MAP_FAILED, "%m");
	for (size_t i = 0; i < words; i++)
		memory[i] = word_at(i);
	event_fd = eventfd(0, 0);
	SCENARIO_REQUIRE(event_fd >= 0 && !pthread_create(&thread, NULL, sleep_on_eventfd, NULL), "%m");
	return scenario_main(check);
}
