// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/target/resume_timeout.h"

#include <algorithm>
#include <thread>

#include <sched.h>
#include <sys/uio.h>

#include "user/target/pid_ref.h"
#include "user/target/tree_scan.h"

namespace bpfckpt::target {

namespace {

using Timeout = InterruptedSyscall::Timeout;

template <class T>
bool read_remote(pid_t pid, uint64_t address, T *value)
{
	iovec local = {value, sizeof(*value)};
	iovec remote = {reinterpret_cast<void *>(address), sizeof(*value)};
	return ::process_vm_readv(pid, &local, 1, &remote, 1, 0) == sizeof(*value);
}

template <class T>
bool write_remote(pid_t pid, uint64_t address, T value)
{
	iovec local = {&value, sizeof(value)};
	iovec remote = {reinterpret_cast<void *>(address), sizeof(value)};
	return ::process_vm_writev(pid, &local, 1, &remote, 1, 0) == sizeof(value);
}

constexpr uint64_t kGetEventsArgTs = 16; // offsetof(struct io_uring_getevents_arg, ts)
// Some microseconds on an idle machine; on a busy one the thread has to get a CPU first.
constexpr auto kReadWithin = std::chrono::milliseconds(20);
// After that the thread is waiting for a CPU, and should not find us on it.
constexpr auto kLookAt = std::chrono::microseconds(100);

} // namespace

ShortenedTimeout ShortenedTimeout::apply(pid_t pid, const InterruptedSyscall &syscall, int64_t remaining_ns)
{
	ShortenedTimeout change;
	uint64_t address = syscall.timeout_address;
	if (syscall.timeout == Timeout::kTimespecIndirect && !read_remote(pid, address + kGetEventsArgTs, &address))
		return change;
	if (!address || !read_remote(pid, address, &change.before_))
		return change;

	int64_t unit = syscall.timeout == Timeout::kTimevalUpdated ? 1000 : 1;
	int64_t before_ns = change.before_.seconds * 1'000'000'000 + change.before_.fraction * unit;
	int64_t after_ns = std::max<int64_t>(remaining_ns, 0);
	if (change.before_.seconds > INT64_MAX / 1'000'000'000 - 1)
		before_ns = INT64_MAX;
	if (after_ns >= before_ns)
		return change;
	change.written_ = {after_ns / 1'000'000'000, (after_ns % 1'000'000'000 + unit - 1) / unit};
	if (!write_remote(pid, address, change.written_))
		return change;
	change.address_ = address;
	change.temporary_ = syscall.timeout == Timeout::kTimespec || syscall.timeout == Timeout::kTimespecIndirect;
	return change;
}

void wait_until_asleep(pid_t pid, pid_t tid, uint32_t nr)
{
	auto start = Clock::now();
	while (!sleeps_in(pid, tid, nr) && Clock::now() < start + kReadWithin) {
		if (Clock::now() < start + kLookAt)
			::sched_yield();
		else
			std::this_thread::sleep_for(kLookAt);
	}
}

void ShortenedTimeout::put_back_when_read(pid_t pid, pid_t tid, uint32_t nr) const
{
	wait_until_asleep(pid, tid, nr);
	// Whoever has changed it meanwhile knows better.
	Value now;
	if (read_remote(pid, address_, &now) && now == written_)
		write_remote(pid, address_, before_);
}

} // namespace bpfckpt::target
