// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Memory that a parent and its child share: anonymous, a memfd that both map and the parent also has open, and a memfd
// that is only open. Each object has pages that neither process ever mapped in.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "selftests/scenarios/mappings.h"

#define PAGES 8

static char *anonymous, *mapped;
static int memfd, unmapped;

static char *map_shared(int fd)
{
	char *p = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);

	SCENARIO_REQUIRE(p != MAP_FAILED, "%m");
	return p;
}

// The last page is a mailbox: the parent writes a number, the child answers with the next one.
static _Atomic unsigned *mailbox(char *map)
{
	return (_Atomic unsigned *)(map + (PAGES - 1) * PAGE);
}

static void child(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		for (char *map = anonymous;; map = mapped) {
			if (atomic_load(mailbox(map)) % 2)
				atomic_fetch_add(mailbox(map), 1);
			if (map == mapped)
				break;
		}
		scenario_sleep_ms(1);
	}
}

static void check_shared(const char *what, char *map)
{
	unsigned was = atomic_load(mailbox(map));

	atomic_fetch_add(mailbox(map), 1);
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(atomic_load(mailbox(map)) == was + 2, 10), "%s is no longer shared", what);
}

static void check_file(const char *what, int fd, unsigned index, unsigned seed)
{
	char page[PAGE];

	SCENARIO_CHECK(pread(fd, page, PAGE, (off_t)(index * PAGE)) == (ssize_t)PAGE, "%s: %m", what);
	SCENARIO_CHECK(page_is(page, seed), "%s: page %u", what, index);
}

static void check(int round)
{
	(void)round;
	check_shared("anonymous memory", anonymous);
	check_shared("a memfd", mapped);
	SCENARIO_CHECK(page_is(anonymous + PAGE, 1) && page_is(mapped + PAGE, 2), "shared pages");
	check_file("mapped memfd", memfd, 1, 2);
	check_file("mapped memfd", memfd, 3, 3);
	SCENARIO_CHECK(fcntl(memfd, F_GET_SEALS) == F_SEAL_FUTURE_WRITE, "seals %#x", fcntl(memfd, F_GET_SEALS));
	SCENARIO_CHECK(pwrite(memfd, "x", 1, 0) < 0 && errno == EPERM, "the mapped memfd can be written to");
	check_file("open memfd", unmapped, 2, 4);
	SCENARIO_CHECK(lseek(unmapped, 0, SEEK_END) == (off_t)(100 * PAGE), "size of the open memfd");
	SCENARIO_CHECK(lseek(unmapped, 3 * PAGE, SEEK_DATA) < 0, "holes of the open memfd were filled");
	lseek(unmapped, 0, SEEK_SET);
}

static void write_page(int fd, unsigned index, unsigned seed)
{
	char page[PAGE];

	fill_page(page, seed);
	SCENARIO_REQUIRE(pwrite(fd, page, PAGE, (off_t)(index * PAGE)) == (ssize_t)PAGE, "%m");
}

int main(void)
{
	scenario_init();
	memfd = memfd_create("mapped", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	unmapped = memfd_create("unmapped", MFD_CLOEXEC);
	SCENARIO_REQUIRE(memfd >= 0 && unmapped >= 0, "%m");
	SCENARIO_REQUIRE(ftruncate(memfd, PAGES * PAGE) == 0 && ftruncate(unmapped, 100 * PAGE) == 0, "%m");
	anonymous = map_shared(-1);
	mapped = map_shared(memfd);
	fill_page(anonymous + PAGE, 1);
	fill_page(mapped + PAGE, 2);
	write_page(memfd, 3, 3);
	SCENARIO_REQUIRE(fcntl(memfd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0, "%m");
	write_page(unmapped, 2, 4);
	pid_t pid = fork();
	SCENARIO_REQUIRE(pid >= 0, "%m");
	if (pid == 0)
		child();
	scenario_tell("child", "%d", pid);
	scenario_tell("anonymous", "%lu", (unsigned long)anonymous);
	scenario_tell("mapped", "%lu", (unsigned long)mapped);
	return scenario_main(check);
}
