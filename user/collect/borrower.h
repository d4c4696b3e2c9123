/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Copies of the target's descriptors, by pidfd_getfd(2): the same struct files, for a moment.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <unordered_map>

#include <sys/syscall.h>
#include <unistd.h>

#include "iterators/file_record.h"
#include "user/util/pidfd.h"

namespace bpfckpt::collect {

class Borrower {
public:
	explicit Borrower(std::span<const fd_record> fds)
	{
		for (const fd_record &fd : fds)
			place_.try_emplace(fd.file, &fd);
	}

	// NULL: no fd names it.
	const fd_record *place_of(uint64_t file) const
	{
		auto it = place_.find(file);
		return it == place_.end() ? nullptr : it->second;
	}

	UniqueFd borrow(uint64_t file)
	{
		const fd_record *place = place_of(file);
		if (!place)
			return {};
		UniqueFd &pidfd = pidfds_[place->tid];
		if (!pidfd.valid())
			pidfd = open_pidfd(*place);
		return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd.get(), place->fd, 0)));
	}

private:
	// The table is that of a thread which may have outlived its leader.
	static UniqueFd open_pidfd(const fd_record &place)
	{
		if (place.tid != place.pid)
			return open_thread_pidfd(static_cast<pid_t>(place.tid));
		return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, place.pid, 0)));
	}

	std::unordered_map<uint64_t, const fd_record *> place_;
	std::map<uint32_t, UniqueFd> pidfds_;
};

} // namespace bpfckpt::collect
