// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/util/kernel_clock.h"

#include <cstdio>
#include <cstring>

#include "user/util/io.h"

namespace bpfckpt {

namespace {

constexpr int64_t kSecond = 1'000'000'000;

struct Offsets {
	int64_t monotonic = 0;
	int64_t boottime = 0;
};

// "monotonic 9504000 0\nboottime 3456000 0\n"; no such file: no time namespaces. They are those of the children, which
// are ours too: an exec enters them.
Offsets read_offsets()
{
	Offsets offsets;
	std::string text = read_file("/proc/self/timens_offsets").value_or("");
	auto parse = [&](const char *name, int64_t &offset) {
		size_t at = text.find(name);
		long long seconds = 0;
		long long nanoseconds = 0;
		if (at != std::string::npos &&
		    sscanf(text.c_str() + at + strlen(name), "%lld %lld", &seconds, &nanoseconds) == 2)
			offset = seconds * kSecond + nanoseconds;
	};
	parse("monotonic", offsets.monotonic);
	parse("boottime", offsets.boottime);
	return offsets;
}

} // namespace

int64_t kernel_now(clockid_t clock)
{
	static const Offsets kOffsets = read_offsets();
	timespec now = {};
	clock_gettime(clock, &now);
	int64_t time = now.tv_sec * kSecond + now.tv_nsec;
	if (clock == CLOCK_MONOTONIC)
		return time - kOffsets.monotonic;
	return clock == CLOCK_BOOTTIME || clock == CLOCK_BOOTTIME_ALARM ? time - kOffsets.boottime : time;
}

} // namespace bpfckpt
