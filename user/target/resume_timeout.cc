// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/target/resume_timeout.h"

#include <algorithm>
#include <csignal>
#include <span>
#include <thread>

#include <sys/ptrace.h>
#include <sys/wait.h>

#include "user/target/entry_watch.h"
#include "user/target/lent_memory.h"

namespace bpfckpt::target {

namespace {

using Timeout = InterruptedSyscall::Timeout;

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

// Where the call has it; 0: nowhere.
static uint64_t address_of(pid_t tid, const InterruptedSyscall &syscall)
{
	uint64_t address = syscall.timeout_address;
	if (syscall.timeout == Timeout::kTimespecIndirect &&
	    !read_lent(tid, address + kGetEventsArgTs, std::as_writable_bytes(std::span(&address, 1))))
		return 0;
	return address;
}

std::optional<ShortenedTimeout> ShortenedTimeout::of(pid_t tid, const InterruptedSyscall &syscall)
{
	uint64_t address = address_of(tid, syscall);
	if (!address)
		return std::nullopt;
	auto place = LentTimespec::at(tid, address, syscall.timeout == Timeout::kTimevalUpdated ? 1000 : 1);
	return place ? std::optional(ShortenedTimeout(*place)) : std::nullopt;
}

bool ShortenedTimeout::shorten(pid_t tid, int64_t remaining_ns)
{
	return remaining_ns < place_.original_ns() && place_.lend(tid, remaining_ns);
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

bool ShortenedTimeout::put_back(pid_t tid) const
{
	return place_.give_back(tid);
}

} // namespace bpfckpt::target
