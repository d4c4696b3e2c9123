// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A program of 32 bits, without any library: it says that it is ready, takes part in one round, and ends when it is
// told to (scenario.h).
enum { kExit = 1, kCreat = 8, kAccess = 33, kNanosleep = 162 };

static long call(long nr, const void *first, long second)
{
	long result;

	__asm__ volatile("int $0x80" : "=a"(result) : "a"(nr), "b"(first), "c"(second) : "memory");
	return result;
}

void _start(void)
{
	const long rest[2] = {0, 2000000};

	call(kCreat, "ready", 0600);
	while (call(kAccess, "stop", 0)) {
		if (!call(kAccess, "go.1", 0))
			call(kCreat, "ok.1", 0600);
		call(kNanosleep, rest, 0);
	}
	call(kExit, 0, 0);
}
