/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Numbers of the kernel's ABI by the names that people know.
#pragma once

#include <cstdint>
#include <string>

namespace bpfckpt::cli {

std::string open_flags(uint32_t flags);             // "O_RDWR|O_APPEND"
std::string ring_setup_flags(uint32_t flags);       // "IORING_SETUP_SQPOLL|IORING_SETUP_CLAMP"
std::string sqe_flags(uint32_t flags);              // "FIXED_FILE|IO_LINK", of IOSQE_
std::string sq_ring_flags(uint32_t flags);          // "NEED_WAKEUP", of IORING_SQ_
std::string cq_ring_flags(uint32_t flags);          // "EVENTFD_DISABLED", of IORING_CQ_
std::string cqe_flags(uint32_t flags);              // "MORE|BUFFER 7", of IORING_CQE_F_
std::string poll_events(uint32_t events);           // "IN|ET", of EPOLL and POLL
std::string inotify_events(uint32_t mask);          // "CREATE|ONLYDIR", of IN_
std::string memfd_seals(uint32_t seals);            // "SEAL|SHRINK", of F_SEAL_
std::string protection(uint32_t prot, bool shared); // "rw-p"
std::string signal_name(uint32_t signal);           // "SIGTERM", "SIGRTMIN+2"
std::string signal_set(uint64_t mask);              // bit n-1 is signal n
std::string clock_name(uint32_t clock);             // "CLOCK_MONOTONIC"
std::string scheduling_policy(uint32_t policy);     // "SCHED_OTHER"
std::string capabilities(uint64_t set);             // "none", "all", "all but cap_x", "cap_x,cap_y"
std::string cpu_list(const std::string &mask);      // "0-3,8"
std::string errno_name(int32_t result);             // "-11 EAGAIN"; other results as they are

} // namespace bpfckpt::cli
