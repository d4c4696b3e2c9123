// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/target/socket_timeout.h"

#include <algorithm>

#include <sys/socket.h>
#include <sys/syscall.h>

namespace bpfckpt::target {

// connect(2) is left out: begun again it says EALREADY when the time is over.
int socket_timeout_of(uint32_t nr)
{
	switch (nr) {
	case SYS_read:
	case SYS_readv:
	case SYS_preadv2:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_accept:
	case SYS_accept4:
		return SO_RCVTIMEO;
	case SYS_write:
	case SYS_writev:
	case SYS_pwritev2:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_sendmmsg:
		return SO_SNDTIMEO;
	default:
		return 0;
	}
}

std::optional<ShortenedSocketTimeout> ShortenedSocketTimeout::apply(int fd, uint32_t nr, int64_t remaining_ns)
{
	ShortenedSocketTimeout change;
	change.option_ = socket_timeout_of(nr);
	socklen_t size = sizeof(change.before_);
	if (fd < 0 || !change.option_ || getsockopt(fd, SOL_SOCKET, change.option_, &change.before_, &size))
		return std::nullopt;
	// 0 would be no timeout at all.
	int64_t us = std::max<int64_t>(remaining_ns / 1000, 1);
	timeval after = {.tv_sec = us / 1'000'000, .tv_usec = us % 1'000'000};
	int64_t before_us = change.before_.tv_sec * 1'000'000 + change.before_.tv_usec;
	if (us >= before_us || setsockopt(fd, SOL_SOCKET, change.option_, &after, sizeof(after)))
		return std::nullopt;
	return change;
}

void ShortenedSocketTimeout::put_back(int fd) const
{
	setsockopt(fd, SOL_SOCKET, option_, &before_, sizeof(before_));
}

} // namespace bpfckpt::target
