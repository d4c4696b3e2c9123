// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Memory that a dump refuses by name; argv[1] says which.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SIZE           (2UL << 20)
#define MPOL_BIND_MODE 2

static void check(int round)
{
	(void)round;
}

static char *map(int flags, int fd)
{
	char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (memory == MAP_FAILED)
		scenario_skip("mmap: %s", strerror(errno));
	return memory;
}

static void map_sealed(void)
{
	int fd = memfd_create("sealed", MFD_ALLOW_SEALING);

	SCENARIO_REQUIRE(ftruncate(fd, SIZE) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0, "%m");
	SCENARIO_REQUIRE(mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED, "%m");
}

/* No huge page has to be there for a mapping that is never touched. */
static void map_huge_pages(void)
{
	map(MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE, -1);
}

static void register_userfault(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register wanted = {.range = {.len = SIZE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api))
		scenario_skip("userfaultfd: %s", strerror(errno));
	wanted.range.start = (unsigned long)map(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	SCENARIO_REQUIRE(ioctl(fd, UFFDIO_REGISTER, &wanted) == 0, "%s", strerror(errno));
}

static void make_aio_context(void)
{
	aio_context_t context = 0;

	if (syscall(SYS_io_setup, 8, &context))
		scenario_skip("io_setup: %s", strerror(errno));
}

static void map_secret(void)
{
	int fd = (int)syscall(SYS_memfd_secret, 0);

	if (fd < 0 || ftruncate(fd, SIZE))
		scenario_skip("memfd_secret: %s", strerror(errno));
	map(MAP_SHARED, fd);
}

static void bind_to_node(void)
{
	unsigned long nodes = 1;

	if (syscall(SYS_mbind, map(MAP_PRIVATE | MAP_ANONYMOUS, -1), SIZE, MPOL_BIND_MODE, &nodes, 64, 0))
		scenario_skip("mbind: %s", strerror(errno));
}

static const struct scenario_state states[] = {
	{"sealed", map_sealed},    {"hugetlb", map_huge_pages}, {"userfault", register_userfault},
	{"aio", make_aio_context}, {"secret", map_secret},      {"mbind", bind_to_node},
};

int main(int argc, char **argv)
{
	return scenario_state_main(argc, argv, states, sizeof(states) / sizeof(states[0]), check);
}
