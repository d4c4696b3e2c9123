/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Whether a page that was only read is the page of zeros that all share (mm/memory.c: do_anonymous_page()). Some
// hypervisors' guests have it switched off: there each such page is one of its own, and holds content like any other.
#pragma once

#include <cstdint>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace bpfckpt::selftests {

inline bool has_zero_page()
{
	constexpr uint64_t kFrame = (1ULL << 55) - 1; // Documentation/admin-guide/mm/pagemap.rst
	uint64_t frames[2] = {};
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	for (uint64_t &frame : frames) {
		void *page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		(void)*static_cast<volatile char *>(page);
		auto number = reinterpret_cast<uint64_t>(page) / 4096;
		if (pread(pagemap, &frame, sizeof(frame), static_cast<off_t>(number * sizeof(frame))) < 0)
			frame = 0;
	}
	close(pagemap);
	return (frames[0] & kFrame) == (frames[1] & kFrame);
}

inline constexpr const char *kNoZeroPage = "this kernel has no zero page: what was only read has pages of its own";

} // namespace bpfckpt::selftests
