// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Open files that a dump refuses by name; argv[1] says which.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <mqueue.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void check(int round)
{
	(void)round;
}

/* The kind of file is not there: a reason to skip. */
static int some(int fd, const char *what)
{
	if (fd < 0)
		scenario_skip("%s: %s", what, strerror(errno));
	return fd;
}

static void take_lease(void)
{
	SCENARIO_REQUIRE(close(open("leased", O_CREAT | O_WRONLY, 0600)) == 0, "%s", strerror(errno));
	if (fcntl(some(open("leased", O_RDONLY), "open"), F_SETLEASE, F_RDLCK))
		scenario_skip("F_SETLEASE: %s", strerror(errno));
}

static void make_huge_memfd(void)
{
	some(memfd_create("huge", MFD_HUGETLB), "memfd_create");
}

/* Numbers of frames, which only root may see. */
static void become_user(void)
{
	SCENARIO_REQUIRE(chown(".", 1000, 1000) == 0 && setresuid(1000, 1000, 1000) == 0, "%s", strerror(errno));
}

static void open_before_user(void)
{
	some(open("/proc/self/status", O_RDONLY), "open");
	become_user();
}

static void open_of_other(void)
{
	char path[64];
	pid_t child;

	become_user();
	prctl(PR_SET_DUMPABLE, 1);
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	snprintf(path, sizeof(path), "/proc/%d/maps", child);
	some(open(path, O_RDONLY), "open");
}

static void open_deleted_directory(void)
{
	SCENARIO_REQUIRE(mkdir("gone", 0700) == 0, "%s", strerror(errno));
	some(open("gone", O_RDONLY | O_DIRECTORY), "open");
	SCENARIO_REQUIRE(rmdir("gone") == 0, "%s", strerror(errno));
}

static void open_deleted_with_other_name(void)
{
	some(open("first", O_CREAT | O_RDWR, 0600), "open");
	SCENARIO_REQUIRE(link("first", "second") == 0 && unlink("first") == 0, "%s", strerror(errno));
}

static void open_terminal(void)
{
	some(posix_openpt(O_RDWR | O_NOCTTY), "posix_openpt");
}

static void open_device(void)
{
	some(open("/dev/kmsg", O_RDONLY), "/dev/kmsg");
}

static void open_fanotify(void)
{
	some(fanotify_init(FAN_CLASS_NOTIF, O_RDONLY), "fanotify_init");
}

static void open_counter(void)
{
	struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr), .config = PERF_COUNT_SW_DUMMY};

	some((int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0), "perf_event_open");
}

static void open_map(void)
{
	union bpf_attr attr = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};

	some((int)syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)), "bpf");
}

static void open_userfault(void)
{
	some((int)syscall(SYS_userfaultfd, O_CLOEXEC), "userfaultfd");
}

static void leave_events(void)
{
	int fd = some(inotify_init1(0), "inotify");

	SCENARIO_REQUIRE(inotify_add_watch(fd, ".", IN_CREATE) > 0, "%s", strerror(errno));
	close(open("event", O_CREAT | O_WRONLY, 0600));
}

static void own_from_outside(void)
{
	SCENARIO_REQUIRE(fcntl(some(open("owned", O_CREAT | O_RDWR, 0600), "open"), F_SETOWN, 1) == 0, "%s",
			 strerror(errno));
}

static void own_by_group(void)
{
	SCENARIO_REQUIRE(getpgrp() != getpid(), "in a group of its own");
	SCENARIO_REQUIRE(fcntl(some(open("owned", O_CREAT | O_RDWR, 0600), "open"), F_SETOWN, -getpgrp()) == 0, "%s",
			 strerror(errno));
}

static void open_pidfd(void)
{
	some((int)syscall(SYS_pidfd_open, getppid(), 0), "pidfd_open");
}

static void open_queue(void)
{
	char name[64];
	mqd_t queue;

	snprintf(name, sizeof(name), "/bpfckpt-test-%d", getpid());
	queue = mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, NULL);
	if (queue >= 0)
		mq_unlink(name);
	some(queue, "mq_open");
}

static void open_path_of(int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	some(open(path, O_PATH), path);
	close(fd);
}

static void open_path_of_pipe(void)
{
	int fds[2];

	SCENARIO_REQUIRE(pipe(fds) == 0, "%s", strerror(errno));
	open_path_of(fds[0]);
	close(fds[1]);
}

static void open_path_of_memfd(void)
{
	open_path_of(some(memfd_create("path", 0), "memfd"));
}

static void open_descriptor(void)
{
	some(open("/proc/self/fdinfo/1", O_RDONLY), "fdinfo");
}

static void open_process(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", getppid());
	some(open(path, O_RDONLY), path);
}

static void watch_by_dnotify(void)
{
	int fd = some(open(".", O_RDONLY), "open");

	signal(SIGIO, SIG_IGN);
	some(fcntl(fd, F_NOTIFY, DN_CREATE | DN_MULTISHOT), "F_NOTIFY");
}

static void poll_devices(void)
{
	struct {
		uint32_t usecs;
		uint16_t budget;
		uint8_t prefer, padding;
	} params = {.usecs = 50, .budget = 8};
	int fd = some(epoll_create1(0), "epoll");

	some(ioctl(fd, _IOW(0x8a, 1, params), &params), "EPIOCSPARAMS");
}

static void open_unknown(void)
{
	some((int)syscall(SYS_landlock_create_ruleset, &(unsigned long){1}, 8, 0), "landlock");
}

static void open_netlink(void)
{
	SCENARIO_REQUIRE(socket(AF_NETLINK, SOCK_RAW, 0) >= 0, "%m");
}

static void open_packet(void)
{
	if (socket(AF_PACKET, SOCK_RAW, 0) < 0)
		scenario_skip("AF_PACKET: %s", strerror(errno));
}

static const struct scenario_state states[] = {
	{"netlink", open_netlink},
	{"packet", open_packet},
	{"lease", take_lease},
	{"huge_memfd", make_huge_memfd},
	{"deleted_directory", open_deleted_directory},
	{"other_name", open_deleted_with_other_name},
	{"terminal", open_terminal},
	{"device", open_device},
	{"fanotify", open_fanotify},
	{"perf", open_counter},
	{"bpf", open_map},
	{"userfault", open_userfault},
	{"events", leave_events},
	{"owner", own_from_outside},
	{"owner_group", own_by_group},
	{"pidfd", open_pidfd},
	{"queue", open_queue},
	{"path_of_pipe", open_path_of_pipe},
	{"path_of_memfd", open_path_of_memfd},
	{"descriptor", open_descriptor},
	{"process", open_process},
	{"dnotify", watch_by_dnotify},
	{"busy_epoll", poll_devices},
	{"unknown", open_unknown},
	{"before_user", open_before_user},
	{"of_other", open_of_other},
};

int main(int argc, char **argv)
{
	return scenario_state_main(argc, argv, states, sizeof(states) / sizeof(states[0]), check);
}
