/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What the waits of wait_cases.h are made of.
#pragma once

#include <atomic>
#include <csignal>
#include <ctime>

#include <sys/time.h>
#include <sys/un.h>

#include "selftests/unit/wait_cases.h"

namespace bpfckpt::selftests {

timespec after_ms(int64_t ms);
timespec clock_in_ms(clockid_t clock, int64_t ms);
timeval timeval_of_ms(int64_t ms);

struct Pipe {
	int in, out;
};

Pipe new_pipe();
// SO_RCVTIMEO if `timeout_ms` is not 0.
Pipe new_socketpair(int64_t timeout_ms);
// Makes an eventfd or a pipe readable.
void poke(int fd);
int new_epoll(int fd);
// In memory that is shared with children.
std::atomic<int> *new_futex(int value);
long futex(std::atomic<int> *word, int op, int value, const timespec *time, int bits = 0);
void wake(std::atomic<int> *word);
// Abstract, of this process alone, and another one each time.
sockaddr_un abstract_address(const char *name);
int new_listener(const sockaddr_un &address, int backlog);
long connect_to(const sockaddr_un &address);
// A ring with a poll of `fd` submitted.
int new_ring(int fd);

extern volatile sig_atomic_t handled_signals;
void count_signal(int);
void block_signal(int signal);
sigset_t one_signal(int signal);

// The calls with a timeout, those that wait for data, and the others.
void add_timed_waits(std::vector<WaitCase> &cases, int64_t timeout_ms);
void add_waits_for_data(std::vector<WaitCase> &cases);
void add_endless_waits(std::vector<WaitCase> &cases);

} // namespace bpfckpt::selftests
