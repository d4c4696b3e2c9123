// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Timerfds: periodic and unread for a while, one hour away, absolute on the wall clock, disarmed.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static int periodic, hour, absolute, disarmed;

static int timer(int clock, int flags, time_t seconds, long interval_ns)
{
	struct itimerspec spec = {.it_value = {seconds, seconds ? 0 : interval_ns}, .it_interval = {0, interval_ns}};
	int fd = timerfd_create(clock, TFD_NONBLOCK);

	SCENARIO_REQUIRE(fd >= 0 && timerfd_settime(fd, flags, &spec, NULL) == 0, "errno %d", errno);
	return fd;
}

static void check_remaining(int fd, time_t least, time_t most)
{
	struct itimerspec now;

	SCENARIO_CHECK(timerfd_gettime(fd, &now) == 0, "errno %d", errno);
	SCENARIO_CHECK(now.it_value.tv_sec >= least && now.it_value.tv_sec <= most, "%lld seconds remain",
		       (long long)now.it_value.tv_sec);
}

static void check(int round)
{
	struct pollfd ready = {.fd = periodic, .events = POLLIN};
	struct itimerspec now;
	uint64_t ticks = 0;

	SCENARIO_CHECK(poll(&ready, 1, 5000) == 1, "round %d: the periodic timer has stopped", round);
	SCENARIO_CHECK(read(periodic, &ticks, 8) == 8 && ticks > 0, "ticks %llu", (unsigned long long)ticks);
	SCENARIO_CHECK(poll(&ready, 1, 5000) == 1, "round %d: the periodic timer did not go on", round);
	SCENARIO_CHECK(timerfd_gettime(periodic, &now) == 0 && now.it_interval.tv_nsec == 20000000, "interval %ld",
		       now.it_interval.tv_nsec);
	check_remaining(hour, 3000, 3600);
	check_remaining(absolute, 6000, 7200);
	check_remaining(disarmed, 0, 0);
}

int main(void)
{
	struct pollfd ready;
	struct timespec now;

	scenario_init();
	clock_gettime(CLOCK_REALTIME, &now);
	periodic = timer(CLOCK_MONOTONIC, 0, 0, 20000000);
	hour = timer(CLOCK_BOOTTIME, 0, 3600, 0);
	absolute = timer(CLOCK_REALTIME, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, now.tv_sec + 7200, 0);
	disarmed = timer(CLOCK_MONOTONIC, 0, 0, 0);
	ready = (struct pollfd){.fd = periodic, .events = POLLIN};
	SCENARIO_REQUIRE(poll(&ready, 1, 5000) == 1, "errno %d", errno);
	scenario_tell("periodic", "%d", periodic);
	scenario_tell("hour", "%d", hour);
	scenario_tell("absolute", "%d", absolute);
	scenario_tell("disarmed", "%d", disarmed);
	return scenario_main(check);
}
