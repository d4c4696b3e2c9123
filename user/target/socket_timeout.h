/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// SO_RCVTIMEO and SO_SNDTIMEO: the timeout of a blocking call on a socket, which the kernel reads when the call begins
// (net/core/sock.c). To wait for what remains, the socket has that as its timeout until the thread sleeps again.
#pragma once

#include <cstdint>
#include <optional>

#include <sys/time.h>

namespace bpfckpt::target {

// The option that limits a call; 0: none does.
int socket_timeout_of(uint32_t nr);

class ShortenedSocketTimeout {
public:
	// Nothing if `fd` is no socket, has no timeout, or not more than what remains.
	static std::optional<ShortenedSocketTimeout> apply(int fd, uint32_t nr, int64_t remaining_ns);
	void put_back(int fd) const;

private:
	int option_ = 0;
	timeval before_ = {};
};

} // namespace bpfckpt::target
