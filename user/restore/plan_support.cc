// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What images can hold and restore cannot rebuild (docs/support.md), object by object.
#include "user/restore/plan.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <string_view>

#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace bpfckpt::restore {

namespace {

class SupportCheck {
public:
	SupportCheck(const Plan &plan, Findings &findings) : plan_(plan), findings_(findings) {}
	void run();
	void run_tasks();

private:
	void check(const images::Process &process);
	void check(const images::Process &process, const images::Thread &thread);
	void check_task(const images::Process &process);
	void check_task(const images::Process &process, const images::Thread &thread);
	void check(const images::Memory &memory, const images::Vma &vma);
	void check(const images::File &file);
	void check_socket(const images::File &file);
	void check(const images::Ring &ring);
	void refuse(std::string object, std::string message,
		    std::string hint = "see docs/support.md for what restore rebuilds")
	{
		findings_.push_back(
			Error(Code::kUnsupported, std::move(message)).on(std::move(object)).with_hint(std::move(hint)));
	}

	const Plan &plan_;
	Findings &findings_;
	std::unordered_map<uint32_t, uint32_t> spaces_; // Memory.id -> pid
};

constexpr std::array<std::string_view, 16> kFileKinds = {
	"regular",  "directory", "path",    "chardev", "pipe", "fifo",  "eventfd",  "timerfd",
	"signalfd", "epoll",     "inotify", "memfd",   "shm",  "pidfd", "io_uring", "namespace",
};

void SupportCheck::check(const images::Process &process)
{
	std::string object = name_of(process);
	if (process.ns_pids_size())
		refuse(object, "runs in a PID namespace of its own");
	for (const images::Namespace &ns : process.namespaces())
		if (!ns.own())
			refuse(object, fmt::format("is in another {} namespace than bpfckpt was", ns.type()),
			       "only trees in bpfckpt's own namespaces can be restored for now");
	if (process.state() == images::Process::ZOMBIE)
		return;
	if (!process.threads_size())
		return refuse(object, "has no threads in the images");
	if (!plan_.memory_of(process))
		return refuse(object, "has no address space in the images");
	for (const images::Thread &thread : process.threads())
		check(process, thread);
}

void SupportCheck::check(const images::Process &process, const images::Thread &thread)
{
	if (!is_user(thread))
		return;
	std::string object = fmt::format("thread {} of {}", thread.tid(), name_of(process));
	if (thread.prstatus().size() != 216)
		refuse(object, thread.prstatus().empty() ? "has no registers: it had exited before its threads"
							 : "has registers of another architecture");
	if (thread.seccomp_mode())
		refuse(object, thread.seccomp_mode() == 1 ? "is in strict seccomp mode" : "has seccomp filters");
	if (thread.fd_table() && thread.fd_table() != process.fd_table())
		refuse(object, "has a descriptor table of its own (unshare(CLONE_FILES))");
}

// What dump finds by these two, and not by itself.
void SupportCheck::check_task(const images::Process &process)
{
	if (process.state() == images::Process::ZOMBIE)
		return;
	std::string object = name_of(process);
	if (auto [it, first] = spaces_.emplace(process.address_space(), process.pid()); !first && it->first)
		refuse(object, fmt::format("shares its memory with pid {} (CLONE_VM)", it->second));
	if (process.dumpable() == 2)
		refuse(object, "is dumpable for root only (PR_SET_DUMPABLE 2), which no process can ask for");
	for (const images::PendingSignal &pending : process.pending_signals())
		if (pending.signal() == SIGTRAP)
			refuse(object, "has SIGTRAP pending, which would end in the code that rebuilds it");
	for (const images::Thread &thread : process.threads())
		if (is_user(thread))
			check_task(process, thread);
}

void SupportCheck::check_task(const images::Process &process, const images::Thread &thread)
{
	std::string object = fmt::format("thread {} of {}", thread.tid(), name_of(process));
	if (thread.fs() && thread.fs() != process.fs())
		refuse(object, "has a working directory of its own (unshare(CLONE_FS))");
	if (thread.tsc_mode() > 1)
		refuse(object, "must not read the time stamp counter (PR_SET_TSC)");
	for (const images::PendingSignal &pending : thread.pending_signals())
		if (pending.signal() == SIGTRAP)
			refuse(object, "has SIGTRAP pending, which would end in the code that rebuilds it");
}

void SupportCheck::check(const images::Memory &memory, const images::Vma &vma)
{
	static constexpr std::array<std::pair<images::Vma::Kind, const char *>, 6> kRefused = {{
		{images::Vma::AIO_RING, "an AIO context"},
		{images::Vma::DEVICE, "device memory"},
		{images::Vma::HUGETLB, "huge pages of hugetlbfs"},
		{images::Vma::SYSV_SHM, "a System V shared memory segment"},
		{images::Vma::SECRETMEM, "secret memory"},
		{images::Vma::UNKNOWN, "of a kind that bpfckpt does not know"},
	}};
	std::string object = fmt::format("memory {:#x}-{:#x} of pid {}", vma.start(), vma.end(),
					 memory.pids_size() ? memory.pids(0) : 0);
	for (const auto &[kind, text] : kRefused)
		if (vma.kind() == kind)
			refuse(object, fmt::format("is {}", text));
	for (const std::string &flag : vma.advice()) {
		if (flag == "um" || flag == "uw" || flag == "ui")
			refuse(object, "is watched by a userfaultfd");
		if (flag == "ss")
			refuse(object, "is a shadow stack");
	}
	if (vma.has_policy())
		refuse(object, "has a NUMA policy (mbind)");
}

void SupportCheck::check_socket(const images::File &file)
{
	const images::Socket &socket = file.socket();
	std::string object = fmt::format("file {} ({})", file.id(), file.path());
	if (socket.family() != "AF_UNIX")
		return refuse(object, fmt::format("is a socket of family {}", socket.family()));
	if (socket.state() == "LISTEN")
		return refuse(object, "is a unix socket that listens");
	if (!socket.local().empty() || !socket.remote().empty())
		refuse(object, fmt::format("is a unix socket with a name ({}{})", socket.local(), socket.remote()));
	for (const images::SocketMessage &message : socket.messages())
		if (message.fds())
			return refuse(object, "has descriptors in flight (SCM_RIGHTS)");
}

void SupportCheck::check(const images::File &file)
{
	std::string object = fmt::format("file {} ({})", file.id(), file.path());
	if (file.locks_size())
		refuse(object, "has file locks or a lease");
	if (file.kind() == "socket")
		return check_socket(file);
	if (std::ranges::find(kFileKinds, file.kind()) == kFileKinds.end())
		return refuse(object, fmt::format("is a file of kind {}", file.kind()));
	if (file.kind() == "inotify" && file.inotify().pending_events())
		refuse(object, "has events that were not read");
	if (file.kind() == "inotify")
		for (const images::InotifyWatch &watch : file.inotify().watches())
			if (watch.path().empty())
				refuse(object, fmt::format("watch {} is of an inode without a name", watch.wd()));
	// The mem driver (drivers/char/mem.c) keeps no state per open file: null, zero, full, random, urandom.
	bool device = file.kind() == "chardev" || (file.deleted() && S_ISCHR(file.mode()));
	if (device && major(file.rdev()) != 1)
		refuse(object, fmt::format("is a device ({}:{})", major(file.rdev()), minor(file.rdev())));
	if (file.kind() == "memfd" && file.memfd().hugetlb())
		refuse(object, "is a memfd of huge pages");
	bool gone = file.deleted() && S_ISREG(file.mode());
	if (gone && !file.links() && !file.has_ghost() && file.size())
		refuse(object, "was deleted and its content is not in the images");
	if (gone && file.links() && !file.has_handle())
		refuse(object, "was deleted under this name but has others");
	if (file.kind() == "pidfd" && file.pidfd().pid() &&
	    !plan_.processes.contains(static_cast<pid_t>(file.pidfd().pid())))
		refuse(object, fmt::format("is a pidfd of pid {}, which is outside of the tree", file.pidfd().pid()));
}

void SupportCheck::check(const images::Ring &ring)
{
	std::string object = fmt::format("ring {}", ring.id());
	if (ring.in_flight_count())
		refuse(object, fmt::format("has {} requests in flight", ring.in_flight_count()));
	for (const std::string &state : ring.unsupported())
		refuse(object, state);
}

void SupportCheck::run_tasks()
{
	for (const images::Process &process : plan_.document->processes())
		check_task(process);
}

void SupportCheck::run()
{
	for (const images::Process &process : plan_.document->processes())
		check(process);
	run_tasks();
	for (const images::Memory &memory : plan_.document->memory())
		for (const images::Vma &vma : memory.vmas())
			check(memory, vma);
	for (const images::File *file : plan_.open_files)
		check(*file);
	for (const images::Ring &ring : plan_.document->rings())
		check(ring);
}

} // namespace

void check_tasks(const Plan &plan, Findings &findings)
{
	SupportCheck(plan, findings).run_tasks();
}

void check_support(const Plan &plan, Findings &findings)
{
	SupportCheck(plan, findings).run();
}

} // namespace bpfckpt::restore
