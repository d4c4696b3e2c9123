/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFCKPT_SOCKET_NAME_H
#define BPFCKPT_SOCKET_NAME_H

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "selftests/scenarios/scenario.h"

/* The own address of an IPv4 socket. */
static inline struct sockaddr_in name_of(int fd)
{
	struct sockaddr_in name;
	socklen_t size = sizeof(name);

	memset(&name, 0, sizeof(name));
	SCENARIO_REQUIRE(!getsockname(fd, (struct sockaddr *)&name, &size), "%m");
	return name;
}

#endif
