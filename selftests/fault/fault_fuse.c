// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// One child serves a file system (FUSE) with a directory, "mount/sub", which is the working directory of another one:
// whoever looks that name up while both are stopped waits for ever.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

static void answer(int fd, const struct fuse_in_header *in, int error, const void *data, size_t size)
{
	char reply[256] = "";
	struct fuse_out_header out = {.len = sizeof(out) + (uint32_t)size, .error = error, .unique = in->unique};

	memcpy(reply, &out, sizeof(out));
	memcpy(reply + sizeof(out), data, size);
	if (write(fd, reply, out.len) < 0 && errno != ENOENT)
		_exit(1);
}

static struct fuse_attr directory(uint64_t inode)
{
	return (struct fuse_attr){.ino = inode, .mode = S_IFDIR | 0755, .nlink = 2};
}

/* Nothing is remembered by the kernel: no answer is valid for longer than its question. */
static void serve_one(int fd, const struct fuse_in_header *in)
{
	struct fuse_init_out init = {
		.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION, .max_write = 4096};
	struct fuse_entry_out entry = {.nodeid = 2, .attr = directory(2)};
	struct fuse_attr_out attributes = {.attr = directory(in->nodeid)};
	struct fuse_open_out opened = {};
	struct fuse_statfs_out statfs = {};

	switch (in->opcode) {
	case FUSE_INIT:
		answer(fd, in, 0, &init, sizeof(init));
		break;
	case FUSE_LOOKUP:
		answer(fd, in, 0, &entry, sizeof(entry));
		break;
	case FUSE_GETATTR:
		answer(fd, in, 0, &attributes, sizeof(attributes));
		break;
	case FUSE_OPENDIR:
		answer(fd, in, 0, &opened, sizeof(opened));
		break;
	case FUSE_STATFS:
		answer(fd, in, 0, &statfs, sizeof(statfs));
		break;
	case FUSE_RELEASEDIR:
		answer(fd, in, 0, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		answer(fd, in, -ENOSYS, NULL, 0);
	}
}

static void serve(int fd)
{
	static _Alignas(8) char request[FUSE_MIN_READ_BUFFER];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		if (read(fd, request, sizeof(request)) >= (ssize_t)sizeof(struct fuse_in_header))
			serve_one(fd, (const struct fuse_in_header *)request);
		else if (errno == ENODEV)
			_exit(0);
}

static void check(int round)
{
	struct stat found;

	SCENARIO_CHECK(stat("mount/sub", &found) == 0 && found.st_ino == 2, "round %d: %s", round, strerror(errno));
}

static void live_there(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (chdir("mount/sub") == 0)
		for (;;)
			pause();
	_exit(1);
}

static bool lives_there(pid_t pid)
{
	char name[32], path[512];
	ssize_t length;

	snprintf(name, sizeof(name), "/proc/%d/cwd", pid);
	length = readlink(name, path, sizeof(path) - 1);
	path[length < 0 ? 0 : length] = 0;
	return strstr(path, "/mount/sub");
}

int main(void)
{
	char options[64];
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	pid_t inhabitant;

	scenario_init();
	if (fd < 0)
		scenario_skip("no FUSE");
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
	SCENARIO_REQUIRE(mkdir("mount", 0700) == 0, "%s", strerror(errno));
	SCENARIO_REQUIRE(mount("test", "mount", "fuse", 0, options) == 0, "%s", strerror(errno));
	if (fork() == 0)
		serve(fd);
	close(fd);
	inhabitant = fork();
	if (inhabitant == 0)
		live_there();
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(lives_there(inhabitant), 5), "pid %d", inhabitant);
	return scenario_main(check);
}
