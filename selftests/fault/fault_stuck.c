// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A thread that no stop reaches: it writes to a pipe from a page that a userfaultfd has yet to fill, so the kernel
// takes the fault within write(2), and retries it for as long as no fatal signal comes (mm/memory.c,
// fault_signal_pending()). The round fills the page. Another waits with a timeout meanwhile, which must not begin anew.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { kPage = 4096, kWaitMs = 3000 };

static char *page;
static int uffd, ends[2];
static atomic_int written;
static pthread_t thread, sleeper;
static long long slept_ms;

static void *write_page(void *unused)
{
	written = (int)write(ends[1], page, 1);
	return unused;
}

static long long milliseconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void *sleep_for_a_while(void *unused)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event;
	long long begin = milliseconds_now();

	SCENARIO_CHECK(!epoll_wait(epoll, &event, 1, kWaitMs), "epoll_wait: %m");
	slept_ms = milliseconds_now() - begin;
	return unused;
}

static void check(int round)
{
	struct uffdio_zeropage zero = {.range = {.start = (__u64)(unsigned long)page, .len = kPage}};

	if (round > 1)
		return;
	SCENARIO_CHECK(!ioctl(uffd, UFFDIO_ZEROPAGE, &zero), "UFFDIO_ZEROPAGE: %m");
	SCENARIO_CHECK(!pthread_join(thread, NULL) && written == 1, "write gave %d", written);
	SCENARIO_CHECK(!pthread_join(sleeper, NULL) && slept_ms < kWaitMs + 500, "a wait of %d ms took %lld", kWaitMs,
		       slept_ms);
}

int main(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {.range.len = kPage, .mode = UFFDIO_REGISTER_MODE_MISSING};

	scenario_init();
	uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) < 0)
		scenario_skip("userfaultfd: %m");
	page = mmap(NULL, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	range.range.start = (__u64)(unsigned long)page;
	SCENARIO_REQUIRE(page != MAP_FAILED && !ioctl(uffd, UFFDIO_REGISTER, &range) && !pipe(ends), "%m");
	SCENARIO_REQUIRE(!pthread_create(&thread, NULL, write_page, NULL), "%m");
	// The fault has been taken when the userfaultfd has an event to read.
	struct uffd_msg message;
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(read(uffd, &message, sizeof(message)) == sizeof(message), 5), "no fault");
	SCENARIO_REQUIRE(!pthread_create(&sleeper, NULL, sleep_for_a_while, NULL), "thread");
	usleep(100000);
	return scenario_main(check);
}
