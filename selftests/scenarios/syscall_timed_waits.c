// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// System calls that wait for a time, one per thread: each ends when its time is over, not before, and without EINTR.
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "selftests/scenarios/wait_threads.h"

#define SYS_EPOLL_PWAIT2 441

static int silent_pipe[2];
static int epoll;
static int futex_word;

static struct timespec timeout(void)
{
	return (struct timespec){WAIT_TIMEOUT_MS / 1000, WAIT_TIMEOUT_MS % 1000 * 1000000L};
}

static struct timespec deadline(void)
{
	int64_t ns = wait_clock_ns() + WAIT_TIMEOUT_MS * 1000000LL;

	return (struct timespec){ns / 1000000000, ns % 1000000000};
}

static long run_nanosleep(void)
{
	struct timespec time = timeout();
	return syscall(SYS_nanosleep, &time, NULL);
}

static long run_clock_nanosleep(void)
{
	struct timespec time = timeout();
	return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &time, NULL);
}

static long run_clock_nanosleep_until(void)
{
	struct timespec time = deadline();
	return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

static long run_poll(void)
{
	struct pollfd fd = {silent_pipe[0], POLLIN, 0};
	return syscall(SYS_poll, &fd, 1, WAIT_TIMEOUT_MS);
}

static long run_ppoll(void)
{
	struct pollfd fd = {silent_pipe[0], POLLIN, 0};
	struct timespec time = timeout();
	return syscall(SYS_ppoll, &fd, 1, &time, NULL, 8);
}

static long run_select(void)
{
	struct timeval time = {WAIT_TIMEOUT_MS / 1000, WAIT_TIMEOUT_MS % 1000 * 1000L};
	return syscall(SYS_select, 0, NULL, NULL, NULL, &time);
}

static long run_pselect(void)
{
	struct timespec time = timeout();
	return syscall(SYS_pselect6, 0, NULL, NULL, NULL, &time, NULL);
}

static long run_epoll_wait(void)
{
	struct epoll_event event;
	return syscall(SYS_epoll_wait, epoll, &event, 1, WAIT_TIMEOUT_MS);
}

static long run_epoll_pwait2(void)
{
	struct epoll_event event;
	struct timespec time = timeout();
	return syscall(SYS_EPOLL_PWAIT2, epoll, &event, 1, &time, NULL, 8);
}

/* Who reads and writes memory by /proc can write what is protected, unless proc_mem.force_override says otherwise: then
 * such a wait begins anew (docs/support.md). */
static bool constants_can_be_written(void)
{
	void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int memory = open("/proc/self/mem", O_WRONLY | O_CLOEXEC);
	bool written;

	SCENARIO_REQUIRE(page != MAP_FAILED && memory >= 0, "%m");
	written = pwrite(memory, "x", 1, (off_t)(unsigned long)page) == 1;
	close(memory);
	munmap(page, 4096);
	return written;
}

/* Neither the program nor the kernel can write it. */
static const void *constant(size_t size, const void *value)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	SCENARIO_REQUIRE(page != MAP_FAILED, "%m");
	memcpy(page, value, size);
	SCENARIO_REQUIRE(!constants_can_be_written() || !mprotect(page, 4096, PROT_READ), "%m");
	return page;
}

/* Gives its page back. */
static long check_constant(const void *page, size_t size, const void *value, long result)
{
	SCENARIO_CHECK(!memcmp(page, value, size) || !constants_can_be_written(), "a constant was changed");
	munmap((void *)page, 4096);
	return result;
}

static long run_ppoll_constant(void)
{
	struct pollfd fd = {silent_pipe[0], POLLIN, 0};
	struct timespec time = timeout();
	const void *page = constant(sizeof(time), &time);

	return check_constant(page, sizeof(time), &time, syscall(SYS_ppoll, &fd, 1, page, NULL, 8));
}

static long run_select_constant(void)
{
	struct timeval time = {WAIT_TIMEOUT_MS / 1000, WAIT_TIMEOUT_MS % 1000 * 1000L};
	const void *page = constant(sizeof(time), &time);

	return check_constant(page, sizeof(time), &time, syscall(SYS_select, 0, NULL, NULL, NULL, page));
}

static long run_epoll_pwait2_constant(void)
{
	struct epoll_event event;
	struct timespec time = timeout();
	const void *page = constant(sizeof(time), &time);

	return check_constant(page, sizeof(time), &time, syscall(SYS_EPOLL_PWAIT2, epoll, &event, 1, page, NULL, 8));
}

/* Two threads wait with one timeout, and began at different times. */
static const struct timespec *shared_constant;

static long run_shared(void)
{
	struct epoll_event event;
	int64_t start = wait_clock_ns(), took;
	long result = syscall(SYS_EPOLL_PWAIT2, epoll, &event, 1, shared_constant, NULL, 8);

	took = wait_clock_ns() - start;
	SCENARIO_CHECK(took >= (WAIT_TIMEOUT_MS - 1) * 1000000LL, "a shared timeout: %lld ns only", (long long)took);
	return result;
}

/* It does not sleep before: that would pass for its wait, and the timeout of both may be a lent one when it reads it.
 */
static long run_shared_later(void)
{
	int64_t start = wait_clock_ns();

	while (wait_clock_ns() - start < 50 * 1000000LL)
		;
	return run_shared();
}

static long run_futex(void)
{
	struct timespec time = timeout();
	return syscall(SYS_futex, &futex_word, FUTEX_WAIT, 0, &time, NULL, 0);
}

static long run_futex_until(void)
{
	struct timespec time = deadline();
	return syscall(SYS_futex, &futex_word, FUTEX_WAIT_BITSET, 0, &time, NULL, FUTEX_BITSET_MATCH_ANY);
}

static long run_sigtimedwait(void)
{
	struct timespec time = timeout();
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return syscall(SYS_rt_sigtimedwait, &set, NULL, &time, 8);
}

static long run_timerfd(void)
{
	struct itimerspec time = {.it_value = timeout()};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	uint64_t ticks;
	long result;

	timerfd_settime(fd, 0, &time, NULL);
	result = read(fd, &ticks, sizeof(ticks));
	close(fd);
	return result;
}

static struct wait waits[] = {
	{.name = "nanosleep", .run = run_nanosleep},
	{.name = "clock_nanosleep", .run = run_clock_nanosleep},
	{.name = "clock_nanosleep until", .run = run_clock_nanosleep_until},
	{.name = "poll", .run = run_poll},
	{.name = "ppoll", .run = run_ppoll},
	{.name = "select", .run = run_select},
	{.name = "pselect6", .run = run_pselect},
	{.name = "epoll_wait", .run = run_epoll_wait},
	{.name = "epoll_pwait2", .run = run_epoll_pwait2},
	{.name = "ppoll with a constant", .run = run_ppoll_constant},
	{.name = "select with a constant", .run = run_select_constant},
	{.name = "epoll_pwait2 with a constant", .run = run_epoll_pwait2_constant},
	{.name = "epoll_pwait2 with a constant of two threads", .run = run_shared},
	{.name = "epoll_pwait2 with a constant of two threads, later", .run = run_shared_later},
	{.name = "futex wait", .run = run_futex, .error = ETIMEDOUT},
	{.name = "futex wait until", .run = run_futex_until, .error = ETIMEDOUT},
	{.name = "sigtimedwait", .run = run_sigtimedwait, .error = EAGAIN},
	{.name = "read a timerfd", .run = run_timerfd},
};
#define WAITS (int)(sizeof(waits) / sizeof(waits[0]))

static void check(int round)
{
	(void)round;
	waits_again(waits, WAITS);
}

int main(int argc, char **argv)
{
	struct epoll_event event = {.events = EPOLLIN};
	sigset_t set;

	scenario_init();
	if (argc > 1)
		wait_timeout_ms = atoi(argv[1]);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	SCENARIO_REQUIRE(pipe(silent_pipe) == 0, "pipe");
	shared_constant = constant(sizeof(*shared_constant), &(struct timespec[]){timeout()});
	epoll = epoll_create1(0);
	SCENARIO_REQUIRE(epoll_ctl(epoll, EPOLL_CTL_ADD, silent_pipe[0], &event) == 0, "epoll_ctl");
	waits_start(waits, WAITS);
	return scenario_main(check);
}
