// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Pipes: one of 256 KiB with 100,000 bytes, one of packets, a FIFO with data.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define BYTES 100000

static int big[2], packets[2], fifo;
static char buffer[BYTES];

static char pattern(int i)
{
	return (char)(i * 7 + i / 4096);
}

static void check_big(int round)
{
	int queued = 0, wrong = 0;

	SCENARIO_CHECK(fcntl(big[0], F_GETPIPE_SZ) == 256 * 1024, "size %d", fcntl(big[0], F_GETPIPE_SZ));
	SCENARIO_CHECK(ioctl(big[0], FIONREAD, &queued) == 0 && queued == BYTES, "round %d: %d bytes", round, queued);
	SCENARIO_CHECK(read(big[0], buffer, BYTES) == BYTES, "errno %d", errno);
	for (int i = 0; i < BYTES; i++)
		wrong += buffer[i] != pattern(i);
	SCENARIO_CHECK(!wrong, "round %d: %d bytes differ", round, wrong);
	SCENARIO_CHECK(write(big[1], buffer, BYTES) == BYTES, "errno %d", errno);
}

static void check_packets(int round)
{
	char packet[64];

	SCENARIO_CHECK(read(packets[0], packet, sizeof(packet)) == 5 && !memcmp(packet, "first", 5), "round %d", round);
	SCENARIO_CHECK(read(packets[0], packet, sizeof(packet)) == 6 && !memcmp(packet, "second", 6), "round %d",
		       round);
	SCENARIO_CHECK(read(packets[0], packet, sizeof(packet)) < 0 && errno == EAGAIN, "round %d", round);
	SCENARIO_CHECK(write(packets[1], "first", 5) == 5 && write(packets[1], "second", 6) == 6, "errno %d", errno);
}

static void check(int round)
{
	char text[16];

	check_big(round);
	check_packets(round);
	SCENARIO_CHECK(read(fifo, text, sizeof(text)) == 4 && !memcmp(text, "fifo", 4), "round %d", round);
	SCENARIO_CHECK(write(fifo, "fifo", 4) == 4, "errno %d", errno);
}

int main(void)
{
	scenario_init();
	SCENARIO_REQUIRE(pipe(big) == 0 && fcntl(big[1], F_SETPIPE_SZ, 256 * 1024) == 256 * 1024, "errno %d", errno);
	for (int i = 0; i < BYTES; i++)
		buffer[i] = pattern(i);
	SCENARIO_REQUIRE(write(big[1], buffer, BYTES) == BYTES, "errno %d", errno);
	SCENARIO_REQUIRE(pipe2(packets, O_DIRECT | O_NONBLOCK) == 0, "errno %d", errno);
	SCENARIO_REQUIRE(write(packets[1], "first", 5) == 5 && write(packets[1], "second", 6) == 6, "errno %d", errno);
	SCENARIO_REQUIRE(mkfifo("fifo", 0600) == 0, "errno %d", errno);
	fifo = open("fifo", O_RDWR | O_NONBLOCK);
	SCENARIO_REQUIRE(fifo >= 0 && write(fifo, "fifo", 4) == 4, "errno %d", errno);
	scenario_tell("read_end", "%d", big[0]);
	scenario_tell("write_end", "%d", big[1]);
	scenario_tell("packets", "%d", packets[0]);
	scenario_tell("fifo", "%d", fifo);
	return scenario_main(check);
}
