// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// System calls that capture and restore are built on, tried on a child of our own.
#include <array>

#include <asm/prctl.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/cli/host_features.h"
#include "user/memory/pagemap_scan.h"
#include "user/util/io.h"
#include "user/util/unique_fd.h"

namespace bpfckpt::cli {

namespace {

// include/uapi/linux/prctl.h and asm/prctl.h of newer kernels than the build machine's.
constexpr int kPrTimerCreateRestoreIds = 77; // since v6.15
constexpr int kTimerRestoreIdsGet = 2;
constexpr int kArchMapVdso64 = 0x2003;
constexpr int kPtraceGetRseqConfiguration = 0x420f;

// struct procmap_query, since v6.11.
struct ProcmapQuery {
	uint64_t size;
	uint64_t query_flags;
	uint64_t query_addr;
	uint64_t vma_start;
	uint64_t vma_end;
	uint64_t vma_flags;
	uint64_t vma_page_size;
	uint64_t vma_offset;
	uint64_t inode;
	uint32_t dev_major;
	uint32_t dev_minor;
	uint32_t vma_name_size;
	uint32_t build_id_size;
	uint64_t vma_name_addr;
	uint64_t build_id_addr;
};
constexpr unsigned long kProcmapQuery = _IOWR('f', 17, ProcmapQuery);

// EPERM and EACCES are the caller's, everything else is the kernel's.
Error failure(int err, const char *what)
{
	Error error = errno_error(err, "{}", what);
	if (error.code != Code::kPermission)
		error.code = Code::kKernelLacks;
	return error;
}

// A child that waits to be tried on; killed and reaped at the end of the scope.
class Child {
public:
	static Result<Child> start()
	{
		pid_t parent = ::getpid();
		pid_t pid = ::fork();
		if (pid < 0)
			return errno_error(errno, "cannot fork");
		if (pid == 0) {
			::prctl(PR_SET_PDEATHSIG, SIGKILL);
			while (::getppid() == parent)
				::pause();
			::_exit(0);
		}
		return Child(pid);
	}
	Child(Child &&other) noexcept : pid_(std::exchange(other.pid_, 0)) {}
	Child &operator=(Child &&) = delete;
	~Child()
	{
		if (!pid_)
			return;
		::kill(pid_, SIGKILL);
		::waitpid(pid_, nullptr, __WALL);
	}
	[[nodiscard]] pid_t pid() const { return pid_; }

private:
	explicit Child(pid_t pid) : pid_(pid) {}
	pid_t pid_;
};

Result<Child> seized_child()
{
	Child child = TRY(Child::start());
	if (::ptrace(PTRACE_SEIZE, child.pid(), nullptr, nullptr) < 0)
		return failure(errno, "PTRACE_SEIZE");
	if (::ptrace(PTRACE_INTERRUPT, child.pid(), nullptr, nullptr) < 0)
		return failure(errno, "PTRACE_INTERRUPT");
	if (::waitpid(child.pid(), nullptr, __WALL) != child.pid())
		return failure(errno, "waitpid");
	return child;
}

Result<std::string> probe_ptrace()
{
	TRY(seized_child());
	return "";
}

Result<std::string> probe_rseq()
{
	Child child = TRY(seized_child());
	std::array<std::byte, 64> configuration;
	if (::ptrace(static_cast<__ptrace_request>(kPtraceGetRseqConfiguration), child.pid(), configuration.size(),
		     configuration.data()) < 0)
		return failure(errno, "PTRACE_GET_RSEQ_CONFIGURATION");
	return "";
}

Result<UniqueFd> open_pidfd(pid_t pid)
{
	UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
	if (!fd.valid())
		return failure(errno, "pidfd_open");
	return fd;
}

Result<std::string> probe_pidfd_getfd()
{
	// Open before the fork, so that the child has it under the same number.
	UniqueFd ours = TRY(open_at(AT_FDCWD, "/dev/null", O_RDONLY));
	Child child = TRY(Child::start());
	UniqueFd pidfd = TRY(open_pidfd(child.pid()));
	UniqueFd copy(static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd.get(), ours.get(), 0)));
	if (!copy.valid())
		return failure(errno, "pidfd_getfd");
	return "";
}

Result<std::string> probe_process_vm_readv()
{
	static const uint64_t kValue = 0x62706663'6b707421;
	Child child = TRY(Child::start());
	uint64_t copy = 0;
	iovec local{&copy, sizeof(copy)};
	iovec remote{const_cast<uint64_t *>(&kValue), sizeof(kValue)};
	if (::process_vm_readv(child.pid(), &local, 1, &remote, 1, 0) != sizeof(copy) || copy != kValue)
		return failure(errno, "process_vm_readv");
	return "";
}

Result<std::string> probe_set_tid()
{
	// A pid that is free: that of a child that is no more.
	pid_t pid;
	{
		Child child = TRY(Child::start());
		pid = child.pid();
	}
	clone_args args{};
	args.exit_signal = SIGCHLD;
	args.set_tid = reinterpret_cast<uint64_t>(&pid);
	args.set_tid_size = 1;
	long result = ::syscall(SYS_clone3, &args, sizeof(args));
	if (result == 0)
		::_exit(0);
	// Somebody else was faster to take it: the kernel got as far as that.
	if (result < 0 && errno != EEXIST)
		return failure(errno, "clone3");
	if (result > 0)
		::waitpid(static_cast<pid_t>(result), nullptr, 0);
	return "";
}

Result<std::string> probe_timer_ids()
{
	if (::prctl(kPrTimerCreateRestoreIds, kTimerRestoreIdsGet, 0, 0, 0) < 0)
		return failure(errno, "prctl");
	return "";
}

Result<std::string> probe_pagemap_scan()
{
	UniqueFd pagemap = TRY(open_at(AT_FDCWD, "/proc/self/pagemap", O_RDONLY));
	memory::ScanArgument argument;
	argument.size = sizeof(argument);
	argument.category_mask = memory::kPageIsPresent;
	if (::ioctl(pagemap.get(), memory::kPagemapScan, &argument) < 0)
		return failure(errno, "ioctl");
	return "";
}

Result<std::string> probe_procmap_query()
{
	UniqueFd maps = TRY(open_at(AT_FDCWD, "/proc/self/maps", O_RDONLY));
	ProcmapQuery query{};
	query.size = sizeof(query);
	query.query_addr = reinterpret_cast<uint64_t>(&query);
	if (::ioctl(maps.get(), kProcmapQuery, &query) < 0)
		return failure(errno, "ioctl");
	return "";
}

Result<std::string> probe_tcp_repair()
{
	UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	if (!socket.valid())
		return failure(errno, "socket");
	int on = 1;
	if (::setsockopt(socket.get(), IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) < 0)
		return failure(errno, "setsockopt");
	return "";
}

Result<std::string> probe_mm_map()
{
	unsigned size = 0;
	if (::prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0) < 0)
		return failure(errno, "prctl");
	return "";
}

Result<std::string> probe_map_vdso()
{
	// EEXIST: it is mapped already, as it should be.
	if (::syscall(SYS_arch_prctl, kArchMapVdso64, 0) == 0 || errno == EEXIST)
		return "";
	return failure(errno, "arch_prctl");
}

constexpr const char *kDump = "dump";
constexpr const char *kRestore = "restore";

constexpr auto kProbes = std::to_array<Probe>({
	{"kernel", "ptrace", kDump, nullptr, probe_ptrace},
	{"kernel", "PTRACE_GET_RSEQ_CONFIGURATION", kRestore, nullptr, probe_rseq},
	{"kernel", "pidfd_getfd", "taking files from processes and giving them back", nullptr, probe_pidfd_getfd},
	{"kernel", "process_vm_readv", "copying memory", nullptr, probe_process_vm_readv},
	{"kernel", "PAGEMAP_SCAN", "finding the pages to save", "page map entries are read one by one: slower",
	 probe_pagemap_scan},
	{"kernel", "PROCMAP_QUERY", "looking up single mappings", "the whole list of mappings is read",
	 probe_procmap_query},
	{"kernel", "clone3 with set_tid", "restoring process ids", nullptr, probe_set_tid},
	{"kernel", "PR_SET_MM_MAP", "restoring memory layout", nullptr, probe_mm_map},
	{"kernel", "ARCH_MAP_VDSO_64", "restoring the vDSO", nullptr, probe_map_vdso},
	{"kernel", "PR_TIMER_CREATE_RESTORE_IDS", "restoring POSIX timers with their IDs",
	 "IDs are reached by counting up: slow if they are large", probe_timer_ids},
	{"kernel", "TCP_REPAIR", "TCP connections", "processes with TCP connections are refused", probe_tcp_repair},
});

} // namespace

std::span<const Probe> kernel_probes()
{
	return kProbes;
}

} // namespace bpfckpt::cli
