/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// The page map of one process (/proc/PID/pagemap), a window at a time.
#pragma once

#include <array>
#include <cstdint>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "user/util/unique_fd.h"

namespace bpfckpt::uring {

class PageMapWindow {
public:
	explicit PageMapWindow(unsigned tid)
		: file_(::open(fmt::format("/proc/{}/pagemap", tid).c_str(), O_RDONLY | O_CLOEXEC))
	{
	}
	uint64_t entry(uint64_t page)
	{
		if (page < first_ || page - first_ >= count_) {
			auto offset = static_cast<off_t>(page * sizeof(uint64_t));
			ssize_t got = ::pread(file_.get(), entries_.data(), sizeof(entries_), offset);
			first_ = page;
			count_ = got < 0 ? 0 : static_cast<size_t>(got) / sizeof(uint64_t);
		}
		return count_ ? entries_[page - first_] : 0;
	}

private:
	UniqueFd file_;
	std::array<uint64_t, 4096> entries_;
	uint64_t first_ = 0;
	size_t count_ = 0;
};

} // namespace bpfckpt::uring
