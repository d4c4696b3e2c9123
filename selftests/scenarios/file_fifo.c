// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// FIFOs: a reader that has not seen a writer is told of no hang-up, one that has is; packet mode, which is set by
// fcntl(2).
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct reader {
	const char *path;
	bool blocks, left;
	int fd;
} readers[] = {{"new", false, false, -1}, {"new", true, false, -1}, {"left", false, true, -1}};

enum { READERS = sizeof(readers) / sizeof(readers[0]) };

static int packets;

static short events_of(const struct reader *reader)
{
	struct pollfd any = {.fd = reader->fd, .events = POLLIN};

	return poll(&any, 1, 0) < 0 ? POLLNVAL : any.revents;
}

static void see_writer(const char *path)
{
	int writer = open(path, O_WRONLY | O_NONBLOCK);

	SCENARIO_CHECK(writer >= 0, "%s: errno %d", path, errno);
	close(writer);
}

static void open_readers(void)
{
	for (struct reader *reader = readers; reader < readers + READERS; reader++) {
		if (reader->fd >= 0)
			close(reader->fd);
		reader->fd = -1;
	}
	for (struct reader *reader = readers; reader < readers + READERS; reader++) {
		reader->fd = open(reader->path, O_RDONLY | O_NONBLOCK);
		SCENARIO_CHECK(reader->fd >= 0, "%s: errno %d", reader->path, errno);
		if (reader->blocks)
			fcntl(reader->fd, F_SETFL, 0);
		if (reader->left)
			see_writer(reader->path);
	}
}

static void write_packets(void)
{
	SCENARIO_CHECK(write(packets, "first", 5) == 5 && write(packets, "second", 6) == 6, "errno %d", errno);
}

static void check_packets(int round)
{
	char packet[64];
	int flags = fcntl(packets, F_GETFL);

	SCENARIO_CHECK(flags & O_DIRECT && flags & O_NONBLOCK, "round %d: flags %x", round, flags);
	SCENARIO_CHECK(read(packets, packet, sizeof(packet)) == 5 && !memcmp(packet, "first", 5), "round %d", round);
	SCENARIO_CHECK(read(packets, packet, sizeof(packet)) == 6 && !memcmp(packet, "second", 6), "round %d", round);
	write_packets();
}

static void check(int round)
{
	for (const struct reader *reader = readers; reader < readers + READERS; reader++) {
		int wanted = reader->left ? POLLHUP : 0;
		int flags = fcntl(reader->fd, F_GETFL);

		SCENARIO_CHECK(events_of(reader) == wanted, "round %d: %s: events %x", round, reader->path,
			       events_of(reader));
		SCENARIO_CHECK(!(flags & O_NONBLOCK) == reader->blocks, "round %d: %s: flags %x", round, reader->path,
			       flags);
	}
	see_writer("new");
	for (const struct reader *reader = readers; reader < readers + READERS; reader++)
		SCENARIO_CHECK(events_of(reader) == POLLHUP, "round %d: %s: events %x after a writer", round,
			       reader->path, events_of(reader));
	open_readers();
	check_packets(round);
}

int main(void)
{
	scenario_init();
	SCENARIO_REQUIRE(!mkfifo("new", 0600) && !mkfifo("left", 0600) && !mkfifo("packets", 0600), "errno %d", errno);
	open_readers();
	packets = open("packets", O_RDWR | O_NONBLOCK);
	SCENARIO_REQUIRE(packets >= 0 && !fcntl(packets, F_SETFL, O_NONBLOCK | O_DIRECT), "errno %d", errno);
	write_packets();
	return scenario_main(check);
}
