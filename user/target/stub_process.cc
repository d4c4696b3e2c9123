// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/target/stub_process.h"

#include <algorithm>
#include <csignal>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <optional>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "user/target/batch.h"
#include "user/util/io.h"

namespace bpfckpt::target {

static constexpr uint64_t kTaskSize = 0x7ffffffff000; // TASK_SIZE without 5-level paging
static constexpr uint64_t kLowest = 0x10000000;
static constexpr uint64_t kGuard = 16 << 20; // distance that a stack above may grow into
static constexpr long kGetRseqConfiguration = 0x420f;

namespace {
struct RseqConfiguration { // struct ptrace_rseq_configuration
	uint64_t pointer;
	uint32_t size;
	uint32_t signature;
	uint32_t flags;
	uint32_t pad;
};
} // namespace

Result<std::vector<RemoteRange>> mappings_of(pid_t pid)
{
	std::string text = TRY(read_file(fmt::format("/proc/{}/maps", pid)));
	std::vector<RemoteRange> ranges;
	for (size_t at = 0; at < text.size();) {
		size_t end = text.find('\n', at);
		unsigned long from = 0;
		unsigned long to = 0;
		if (sscanf(text.c_str() + at, "%lx-%lx", &from, &to) == 2 && from < kTaskSize)
			ranges.push_back({from, to - from});
		at = end == std::string::npos ? text.size() : end + 1;
	}
	return ranges;
}

Result<uint64_t> find_hole(std::span<const RemoteRange> occupied, uint64_t size)
{
	std::vector<RemoteRange> all = TRY(mappings_of(getpid()));
	all.insert(all.end(), occupied.begin(), occupied.end());
	std::ranges::sort(all, {}, &RemoteRange::address);
	all.push_back({kTaskSize, 0});
	for (uint64_t guard : {kGuard, uint64_t{0}}) {
		uint64_t from = kLowest;
		for (const RemoteRange &range : all) {
			if (range.address > from && range.address - from >= size + 2 * guard)
				return (from + guard + kPageSize - 1) & ~(kPageSize - 1);
			from = std::max(from, range.end());
		}
	}
	return make_error(Code::kLimit, "no hole of {} bytes in the address spaces of the tree", size);
}

void kill_and_reap(pid_t pid)
{
	::kill(pid, SIGKILL);
	while (::waitpid(pid, nullptr, __WALL) < 0 && errno == EINTR)
		;
}

// Nothing where a thread's control block lies there, too, and where sanitizers look at memory of their own.
static RemoteRange heap()
{
#ifndef __SANITIZE_ADDRESS__
	Result<std::string> maps = read_file("/proc/self/maps");
	size_t name = maps ? maps->find(" [heap]\n") : std::string::npos;
	if (name == std::string::npos)
		return {};
	unsigned long from = 0;
	unsigned long to = 0;
	auto control_block = reinterpret_cast<uint64_t>(__builtin_thread_pointer());
	if (sscanf(maps->c_str() + maps->rfind('\n', name) + 1, "%lx-%lx", &from, &to) == 2 &&
	    (control_block < from || control_block >= to))
		return {from, to - from};
#endif
	return {};
}

static long raw_syscall(long nr, long first = 0, long second = 0)
{
	long result = 0;
	asm volatile("syscall" : "=a"(result) : "a"(nr), "D"(first), "S"(second) : "rcx", "r11", "memory");
	return result;
}

// CLONE_CLEAR_SIGHAND leaves what is ignored (kernel/signal.c: flush_signal_handlers()): by nohup(1), in a shell's
// background, SIGPIPE by systemd. A zombie of the tree could not end by such a signal. While it lives nothing is
// ignored; all signals are blocked meanwhile.
class NothingIgnored {
public:
	NothingIgnored()
	{
		for (int signal = 1; signal < NSIG; signal++) {
			struct sigaction before = {};
			if (::sigaction(signal, nullptr, &before) || before.sa_handler != SIG_IGN)
				continue;
			ignored_.push_back(signal);
			::signal(signal, SIG_DFL);
		}
	}
	~NothingIgnored()
	{
		for (int signal : ignored_)
			::signal(signal, SIG_IGN);
	}
	NothingIgnored(const NothingIgnored &) = delete;
	NothingIgnored &operator=(const NothingIgnored &) = delete;

private:
	std::vector<int> ignored_;
};

// Runs in the clone until it is seized: nothing but system calls, and none of libc's, whose functions may not be
// linked yet.
[[noreturn]] static void wait_for_tracer(pid_t parent)
{
	raw_syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
	if (raw_syscall(SYS_getppid) != parent)
		raw_syscall(SYS_exit_group, 1);
	for (;;)
		raw_syscall(SYS_pause);
}

// While it lives the heap, where the images are, does not go to children: the clone has no use for it, and copying it,
// taking it away there and parting from it page by page here took 6 of 40 ms for 10,000 eventfds.
class HeapStaysHere {
public:
	HeapStaysHere() { advise(MADV_DONTFORK); }
	~HeapStaysHere() { advise(MADV_DOFORK); }
	HeapStaysHere(const HeapStaysHere &) = delete;
	HeapStaysHere &operator=(const HeapStaysHere &) = delete;

private:
	void advise(int advice) const
	{
		if (heap_.size)
			::madvise(reinterpret_cast<void *>(heap_.address), heap_.size, advice);
	}

	RemoteRange heap_ = heap();
};

static Result<pid_t> clone_self(pid_t pid, int exit_signal)
{
	clone_args args = {};
	args.flags = CLONE_CLEAR_SIGHAND | CLONE_FILES;
	args.exit_signal = static_cast<uint64_t>(exit_signal);
	args.set_tid = reinterpret_cast<uint64_t>(&pid);
	args.set_tid_size = 1;
	if (!pid)
		args.set_tid = args.set_tid_size = 0;
	pid_t self = getpid();
	HeapStaysHere heap_stays;
	uint64_t all = ~0ULL;
	uint64_t old = 0;
	::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, sizeof(all));
	std::optional<NothingIgnored> meanwhile(std::in_place);
	long child = ::syscall(SYS_clone3, &args, sizeof(args));
	if (child == 0)
		wait_for_tracer(self);
	int error = errno;
	meanwhile.reset();
	::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, nullptr, sizeof(old));
	if (child > 0)
		return static_cast<pid_t>(child);
	return errno_error(error, "cannot create pid {}", pid);
}

static Result<> unregister_rseq(Tracee &tracee, SyscallBatch &batch)
{
	RseqConfiguration config = {};
	if (::ptrace(static_cast<__ptrace_request>(kGetRseqConfiguration), tracee.tid(), sizeof(config), &config) < 0)
		return errno_error(errno, "cannot read the rseq registration of pid {}", tracee.pid());
	if (config.pointer)
		batch.add(SYS_rseq, config.pointer, config.size, 1, config.signature); // RSEQ_FLAG_UNREGISTER
	return {};
}

static Result<> empty(Tracee &tracee, const StubLayout &stub)
{
	SyscallBatch batch;
	// Before its page goes away: the kernel writes there on the next return to user mode.
	TRY(unregister_rseq(tracee, batch));
	batch.add(SYS_set_robust_list, 0, 24);
	// A fork inherits it; bpfckpt has one with AddressSanitizer.
	stack_t no_stack = {};
	no_stack.ss_flags = SS_DISABLE;
	batch.add(SYS_sigaltstack, batch.value(no_stack), 0);
	batch.add(SYS_set_tid_address, 0);
	batch.add(SYS_prctl, PR_SET_PDEATHSIG, 0);
	// Its descriptor table was bpfckpt's until now: a copy would be of everything that is open by then.
	batch.add(SYS_close_range, 0, ~0U, CLOSE_RANGE_UNSHARE);
	batch.add(SYS_munmap, 0, stub.area().address);
	batch.add(SYS_munmap, stub.area().end(), kTaskSize - stub.area().end());
	return batch.run(tracee);
}

Result<Tracee> clone_stub_process(pid_t pid, int exit_signal, const StubLayout &stub)
{
	RemoteRange area = stub.area();
	void *wanted = reinterpret_cast<void *>(area.address);
	void *local = ::mmap(wanted, area.size, PROT_READ | PROT_WRITE | PROT_EXEC,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (local != wanted)
		return errno_error(errno, "cannot map the stub at {:#x}", area.address);
	memcpy(local, stub_code().data(), stub_code().size());
	Result<pid_t> child = clone_self(pid, exit_signal);
	::munmap(local, area.size);
	if (!child)
		return std::move(child).error();
	Tracee tracee(*child, *child, stub, stub.main_slot());
	Result<> ready = tracee.seize();
	if (ready)
		ready = empty(tracee, stub);
	if (!ready) {
		kill_and_reap(*child);
		return std::move(ready).error();
	}
	return tracee;
}

} // namespace bpfckpt::target
