// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/target/resume_timeout.h"

#include <algorithm>
#include <csignal>
#include <thread>

#include <sys/ptrace.h>
#include <sys/wait.h>

#include "user/target/entry_watch.h"
#include "user/target/lent_memory.h"

namespace bpfckpt::target {

namespace {

using Timeout = InterruptedSyscall::Timeout;

template <class T>
bool read_remote(pid_t pid, uint64_t address, T *value)
{
	return read_lent(pid, address, std::as_writable_bytes(std::span(value, 1)));
}

template <class T>
bool write_remote(pid_t pid, uint64_t address, const T &value)
{
	return write_lent(pid, address, std::as_bytes(std::span(&value, 1)));
}

constexpr uint64_t kGetEventsArgTs = 16; // offsetof(struct io_uring_getevents_arg, ts)
// A wait that ends so soon might have ended before anybody sees the thread asleep.
constexpr int64_t kDueNs = 20'000'000;
// Some microseconds on an idle machine; on a busy one the thread has to get a CPU first.
constexpr auto kEnterWithin = std::chrono::seconds(5);
// Between two looks at a thread that comes to a stop.
constexpr auto kLookAt = std::chrono::microseconds(100);

constexpr int kSyscallStop = SIGTRAP | 0x80; // PTRACE_O_TRACESYSGOOD

// To the next stop, that of a system call or what comes before; 0: the thread is gone.
int next_stop(pid_t tid, std::chrono::nanoseconds within)
{
	int status = 0;
	if (::ptrace(PTRACE_SYSCALL, tid, 0, 0) < 0)
		return 0;
	auto deadline = std::chrono::steady_clock::now() + within;
	pid_t waited;
	while ((waited = ::waitpid(tid, &status, __WALL | WNOHANG)) == 0 && std::chrono::steady_clock::now() < deadline)
		std::this_thread::sleep_for(kLookAt);
	if (waited == 0) {
		::ptrace(PTRACE_INTERRUPT, tid, 0, 0);
		waited = ::waitpid(tid, &status, __WALL);
	}
	return waited == tid && WIFSTOPPED(status) ? status : 0;
}

// A signal that came meanwhile has left the queue: it is delivered, and ends the call as it would have.
int signal_of(int status)
{
	return status >> 16 == 0 && WSTOPSIG(status) != kSyscallStop ? WSTOPSIG(status) : 0;
}

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
	change.temporary_ = syscall.timeout_is_lent();
	return change;
}

void enter_again(pid_t pid, pid_t tid, int64_t remaining_ns, const std::function<void()> &put_back)
{
	std::chrono::nanoseconds remaining(std::max<int64_t>(remaining_ns, 0));
	if (remaining_ns >= kDueNs) {
		// Not from the stop before the call: detaching raises TIF_SIGPENDING (kernel/ptrace.c:
		// __ptrace_unlink()), with which it would end by EINTR.
		EntryWatch watch(pid, tid);
		::ptrace(PTRACE_DETACH, tid, 0, 0);
		(void)watch.wait(kEnterWithin);
		put_back();
		return;
	}
	int status = next_stop(tid, kEnterWithin);
	if (status >> 8 == kSyscallStop)
		status = next_stop(tid, remaining + kEnterWithin);
	put_back();
	if (status)
		::ptrace(PTRACE_DETACH, tid, 0, static_cast<unsigned long>(signal_of(status)));
}

void ShortenedTimeout::put_back(pid_t pid) const
{
	// Whoever has changed it meanwhile knows better.
	Value now;
	if (read_remote(pid, address_, &now) && now == written_)
		write_remote(pid, address_, before_);
}

} // namespace bpfckpt::target
