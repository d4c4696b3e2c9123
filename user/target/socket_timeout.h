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
	// Of the call `nr` on the socket `fd`, which has to stay open. Nothing: it is no socket.
	static std::optional<ShortenedSocketTimeout> of(int fd, uint32_t nr);

	// False: what remains is not less than what it has, or the socket would not have it.
	[[nodiscard]] bool shorten(int64_t remaining_ns) const;
	void put_back() const;

private:
	int fd_ = -1;
	int option_ = 0;
	timeval before_ = {};
};

} // namespace bpfckpt::target
