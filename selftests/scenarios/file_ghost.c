// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A deleted file of 1 GiB, of which argv[1] KiB are data, at its end.
#include "selftests/scenarios/scenario.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_SIZE (1L << 30)
#define PIECE     1024

static int file;
static long data;

static unsigned char byte_at(long offset)
{
	return (unsigned char)(offset * 31 / PIECE + 1) | 1;
}

static void check(int round)
{
	unsigned char piece[PIECE];
	struct stat status;

	SCENARIO_CHECK(fstat(file, &status) == 0 && status.st_size == FILE_SIZE && status.st_nlink == 0,
		       "round %d: %ld bytes", round, (long)status.st_size);
	SCENARIO_CHECK(status.st_blocks * 512 <= data + (64 << 10), "round %d: %ld bytes allocated of %ld", round,
		       (long)status.st_blocks * 512, data);
	SCENARIO_CHECK(pread(file, piece, PIECE, 0) == PIECE && !piece[0], "round %d: the hole is none", round);
	for (long at = FILE_SIZE - data; at < FILE_SIZE; at += PIECE)
		SCENARIO_CHECK(pread(file, piece, PIECE, at) == PIECE && piece[0] == byte_at(at) &&
				       piece[PIECE - 1] == byte_at(at),
			       "round %d: offset %ld", round, at);
}

int main(int argc, char **argv)
{
	unsigned char piece[PIECE];

	scenario_init();
	data = PIECE * atol(argc > 1 ? argv[1] : "8");
	file = open("ghost", O_RDWR | O_CREAT | O_EXCL, 0600);
	SCENARIO_REQUIRE(file >= 0 && unlink("ghost") == 0 && ftruncate(file, FILE_SIZE) == 0, "file");
	for (long at = FILE_SIZE - data; at < FILE_SIZE; at += PIECE) {
		for (int i = 0; i < PIECE; i++)
			piece[i] = byte_at(at);
		SCENARIO_REQUIRE(pwrite(file, piece, PIECE, at) == PIECE, "data");
	}
	SCENARIO_REQUIRE(fsync(file) == 0, "fsync"); // blocks are counted when they are allocated
	return scenario_main(check);
}
