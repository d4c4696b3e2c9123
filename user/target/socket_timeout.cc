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

std::optional<ShortenedSocketTimeout> ShortenedSocketTimeout::of(int fd, uint32_t nr)
{
	ShortenedSocketTimeout timeout;
	timeout.fd_ = fd;
	timeout.option_ = socket_timeout_of(nr);
	socklen_t size = sizeof(timeout.before_);
	if (fd < 0 || !timeout.option_ || getsockopt(fd, SOL_SOCKET, timeout.option_, &timeout.before_, &size))
		return std::nullopt;
	return timeout;
}

bool ShortenedSocketTimeout::shorten(int64_t remaining_ns) const
{
	// 0 would be no timeout at all.
	int64_t us = std::max<int64_t>(remaining_ns / 1000, 1);
	timeval after = {.tv_sec = us / 1'000'000, .tv_usec = us % 1'000'000};
	int64_t before_us = before_.tv_sec * 1'000'000 + before_.tv_usec;
	return us < before_us && setsockopt(fd_, SOL_SOCKET, option_, &after, sizeof(after)) == 0;
}

void ShortenedSocketTimeout::put_back() const
{
	setsockopt(fd_, SOL_SOCKET, option_, &before_, sizeof(before_));
}

} // namespace bpfckpt::target
