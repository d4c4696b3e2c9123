// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// One-shot items of an epoll instance that have fired, of files that have nothing to tell by now: what comes next is
// not told until they are armed again (EPOLL_CTL_MOD).
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

static int epoll, inner_event;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static socklen_t address_size;

static void drain(int fd)
{
	char bytes[4096];

	SCENARIO_CHECK(read(fd, bytes, sizeof(bytes)) > 0, "descriptor %d: errno %d", fd, errno);
}

static void expire(int fd)
{
	struct itimerspec soon = {.it_value.tv_nsec = 1};

	SCENARIO_CHECK(timerfd_settime(fd, 0, &soon, NULL) == 0, "errno %d", errno);
}

static void send_signal(int fd)
{
	(void)fd;
	raise(SIGUSR1);
}

static void touch_directory(int fd)
{
	(void)fd;
	SCENARIO_CHECK(mknod("watched/file", S_IFREG | 0600, 0) == 0 && unlink("watched/file") == 0, "errno %d", errno);
}

static void connect_to(int fd)
{
	int client = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)fd;
	SCENARIO_CHECK(connect(client, (struct sockaddr *)&address, address_size) == 0, "errno %d", errno);
	close(client);
}

static void take_connection(int fd)
{
	int server = accept(fd, NULL, NULL);

	SCENARIO_CHECK(server >= 0, "errno %d", errno);
	close(server);
}

static void count_event(int fd)
{
	uint64_t one = 1;

	(void)fd;
	SCENARIO_CHECK(write(inner_event, &one, 8) == 8, "errno %d", errno);
}

static void uncount_event(int fd)
{
	(void)fd;
	drain(inner_event);
}

static struct item {
	const char *name;
	void (*make_ready)(int fd);
	void (*make_idle)(int fd);
	int fd;
} items[] = {
	{"timerfd", expire, drain, 0},
	{"signalfd", send_signal, drain, 0},
	{"inotify", touch_directory, drain, 0},
	{"listener", connect_to, take_connection, 0},
	{"epoll", count_event, uncount_event, 0},
};

enum { ITEMS = sizeof(items) / sizeof(items[0]) };

static unsigned told(void)
{
	struct epoll_event events[ITEMS];
	unsigned bits = 0;
	int count = epoll_wait(epoll, events, ITEMS, 0);

	for (int i = 0; i < count; i++)
		bits |= 1U << events[i].data.u32;
	return bits;
}

static void make_ready(struct item *item)
{
	struct pollfd any = {.fd = item->fd, .events = POLLIN};

	item->make_ready(item->fd);
	SCENARIO_CHECK(poll(&any, 1, 10000) == 1, "%s does not get ready", item->name);
}

static void fire(int op)
{
	unsigned names;

	for (unsigned i = 0; i < ITEMS; i++) {
		struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.u32 = i};

		SCENARIO_CHECK(epoll_ctl(epoll, op, items[i].fd, &event) == 0, "%s: errno %d", items[i].name, errno);
	}
	names = told();
	SCENARIO_CHECK(names == (1U << ITEMS) - 1, "armed, and told: %x", names);
	for (struct item *item = items; item < items + ITEMS; item++)
		item->make_idle(item->fd);
}

static void check(int round)
{
	unsigned names = told();

	SCENARIO_CHECK(names == 0, "round %d: told at once: %x", round, names);
	for (struct item *item = items; item < items + ITEMS; item++)
		make_ready(item);
	names = told();
	SCENARIO_CHECK(names == 0, "round %d: told without being armed: %x", round, names);
	fire(EPOLL_CTL_MOD);
}

int main(void)
{
	struct epoll_event inner = {.events = EPOLLIN};
	sigset_t signals;

	scenario_init();
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	address_size = (socklen_t)offsetof(struct sockaddr_un, sun_path) + 1;
	address_size += (socklen_t)snprintf(address.sun_path + 1, 100, "bpfckpt-oneshot-%d", getpid());
	epoll = epoll_create1(0);
	items[0].fd = timerfd_create(CLOCK_MONOTONIC, 0);
	items[1].fd = signalfd(-1, &signals, 0);
	items[2].fd = inotify_init();
	SCENARIO_REQUIRE(mkdir("watched", 0700) == 0 && inotify_add_watch(items[2].fd, "watched", IN_CREATE) >= 0,
			 "errno %d", errno);
	items[3].fd = socket(AF_UNIX, SOCK_STREAM, 0);
	SCENARIO_REQUIRE(bind(items[3].fd, (struct sockaddr *)&address, address_size) == 0 &&
				 listen(items[3].fd, 5) == 0,
			 "errno %d", errno);
	items[4].fd = epoll_create1(0);
	inner_event = eventfd(0, 0);
	SCENARIO_REQUIRE(epoll_ctl(items[4].fd, EPOLL_CTL_ADD, inner_event, &inner) == 0, "errno %d", errno);
	for (struct item *item = items; item < items + ITEMS; item++)
		make_ready(item);
	fire(EPOLL_CTL_ADD);
	return scenario_main(check);
}
