// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/sysv_shm.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/util/io.h"
#include "user/util/sysv_shm.h"

namespace bpfckpt::restore {

namespace {

constexpr const char *kNextId = "/proc/sys/kernel/shm_next_id";
constexpr uint32_t kRights = 0777;

std::string name_of(const images::SysvSegment &segment)
{
	return fmt::format("System V segment {} (key {:#x})", segment.id(), static_cast<uint32_t>(segment.key()));
}

// The very one that was dumped: nobody has attached or changed it since, but the tree, whose end detached it.
bool is_left(const SysvSegment &here, const images::SysvSegment &segment,
	     const std::unordered_map<pid_t, const images::Process *> &of_tree)
{
	return here.id == segment.id() && here.key == segment.key() && here.size == segment.size() &&
	       here.mode == segment.mode() && here.uid == segment.uid() && here.gid == segment.gid() &&
	       here.creator_uid == segment.creator_uid() && here.creator_gid == segment.creator_gid() &&
	       here.creator_pid == segment.creator_pid() && here.change_time == segment.change_time() &&
	       !here.attached && (here.last_pid == segment.last_pid() || of_tree.contains(here.last_pid));
}

// The id that the next segment gets (ipc/util.c: ipc_idr_alloc()); the value of others is put back.
class NextId {
public:
	static Result<NextId> set(int id)
	{
		NextId next;
		Result<std::string> before = read_file(kNextId);
		if (!before)
			return Error(Code::kKernelLacks, "ids of segments cannot be chosen here")
				.on(kNextId)
				.with_hint("a kernel with CONFIG_CHECKPOINT_RESTORE can");
		next.before_ = *before;
		TRY(write(std::to_string(id)));
		next.set_ = true;
		return next;
	}
	NextId(NextId &&other) noexcept : before_(std::move(other.before_)), set_(std::exchange(other.set_, false)) {}
	NextId &operator=(NextId &&) = delete;
	~NextId()
	{
		if (set_)
			(void)write(before_);
	}

private:
	NextId() = default;
	static Result<> write(const std::string &text)
	{
		UniqueFd fd = TRY(open_at(AT_FDCWD, kNextId, O_WRONLY));
		return write_all(fd.get(), as_bytes(text));
	}

	std::string before_;
	bool set_ = false;
};

// The effective ids of this thread for the time of an object: they become those of the creator. A change of them makes
// the process undumpable (kernel/cred.c: commit_creds()).
class CreatorIds {
public:
	explicit CreatorIds(const images::SysvSegment &segment)
		: uid_(::geteuid()),
		  gid_(::getegid()),
		  changes_(segment.creator_uid() != uid_ || segment.creator_gid() != gid_)
	{
		if (changes_)
			set(segment.creator_uid(), segment.creator_gid());
	}
	CreatorIds(const CreatorIds &) = delete;
	CreatorIds &operator=(const CreatorIds &) = delete;
	~CreatorIds()
	{
		if (!changes_)
			return;
		::syscall(SYS_setresuid, -1, uid_, -1); // first: it takes a capability to set the group
		::syscall(SYS_setresgid, -1, gid_, -1);
		::prctl(PR_SET_DUMPABLE, 1);
	}

private:
	static void set(uid_t uid, gid_t gid)
	{
		::syscall(SYS_setresgid, -1, gid, -1);
		::syscall(SYS_setresuid, -1, uid, -1);
	}

	uid_t uid_;
	gid_t gid_;
	bool changes_;
};

Result<> make(const images::SysvSegment &segment)
{
	NextId next = TRY(NextId::set(segment.id()));
	int id;
	int err;
	{
		CreatorIds creator(segment);
		id = ::shmget(segment.key(), segment.size(),
			      IPC_CREAT | IPC_EXCL | static_cast<int>(segment.mode() & kRights));
		err = errno;
	}
	if (id < 0 && err == EEXIST)
		return Error(Code::kMismatch, "its key is in use").on(name_of(segment)).with_hint("see ipcs -m");
	if (id < 0)
		return errno_error(err, "cannot create it").on(name_of(segment));
	if (id != segment.id()) {
		::shmctl(id, IPC_RMID, nullptr);
		return Error(Code::kMismatch, "its id is in use").on(name_of(segment)).with_hint("see ipcs -m");
	}
	return {};
}

Result<> set_owner(const images::SysvSegment &segment)
{
	if (segment.uid() == segment.creator_uid() && segment.gid() == segment.creator_gid())
		return {};
	shmid_ds state = {};
	state.shm_perm.uid = segment.uid();
	state.shm_perm.gid = segment.gid();
	state.shm_perm.mode = static_cast<unsigned short>(segment.mode() & kRights);
	if (::shmctl(segment.id(), IPC_SET, &state))
		return errno_error(errno, "cannot set its owner").on(name_of(segment));
	return {};
}

// Through the file that it is (map_files): what was never written stays a hole.
Result<> fill(const images::SharedMemory &object, const PageImage &pages)
{
	const images::SysvSegment &segment = object.sysv();
	void *address = ::shmat(segment.id(), nullptr, 0);
	if (address == reinterpret_cast<void *>(-1)) // NOLINT(performance-no-int-to-ptr)
		return errno_error(errno, "cannot attach it").on(name_of(segment));
	auto start = reinterpret_cast<uint64_t>(address);
	uint64_t size = (segment.size() + 4095) & ~uint64_t{4095};
	auto filled = [&]() -> Result<> {
		UniqueFd fd = TRY(
			open_at(AT_FDCWD, fmt::format("/proc/self/map_files/{:x}-{:x}", start, start + size), O_RDWR));
		if (::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(size)))
			return errno_error(errno, "cannot empty it");
		return pages.fill_file(fd.get(), object);
	}();
	::shmdt(address);
	if (!filled)
		return std::move(filled).error().on(name_of(segment));
	return {};
}

const images::SysvSegment *segment_of(const Plan &plan, const images::Vma &vma)
{
	auto object = plan.shared_memories.find(vma.shared_memory());
	bool known = vma.kind() == images::Vma::SYSV_SHM && object != plan.shared_memories.end() &&
		     object->second->has_sysv();
	return known ? &object->second->sysv() : nullptr;
}

} // namespace

struct SysvSegments::Watched {
	std::atomic<bool> handed_over;
	std::atomic<uint32_t> count;
	int ids[1]; // as many as there are segments
};

// Shares nothing with bpfckpt but `watched`; what is sent to bpfckpt's process group must not end it.
Result<> SysvSegments::watch_over(const Plan &plan, size_t count)
{
	watched_ = TRY(Mapping::create(sizeof(Watched) + count * sizeof(int), PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS));
	UniqueFd self(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
	if (!self.valid())
		return errno_error(errno, "cannot open a pidfd of bpfckpt");
	sigset_t all;
	sigset_t before;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	// Its number must not be one that the tree needs.
	std::unordered_set<pid_t> wanted = wanted_ids(plan);
	do {
		child_ = ::fork();
		if (child_ > 0 && wanted.contains(child_)) {
			::kill(child_, SIGKILL);
			::waitpid(child_, nullptr, 0);
		}
	} while (child_ > 0 && wanted.contains(child_));
	int error = errno;
	if (child_ == 0) {
		::setsid();
		::prctl(PR_SET_NAME, "restore-shm");
		pollfd ended = {.fd = self.get(), .events = POLLIN, .revents = 0};
		while (::poll(&ended, 1, -1) < 0 && errno == EINTR)
			;
		auto *watched = static_cast<Watched *>(watched_.data());
		for (uint32_t i = 0; i < watched->count && !watched->handed_over; i++)
			::shmctl(watched->ids[i], IPC_RMID, nullptr);
		::_exit(0);
	}
	sigprocmask(SIG_SETMASK, &before, nullptr);
	if (child_ < 0)
		return errno_error(error, "cannot create a process that watches over segments");
	return {};
}

void SysvSegments::add(int id)
{
	made_.push_back(id);
	auto *watched = static_cast<Watched *>(watched_.data());
	watched->ids[watched->count] = id;
	watched->count++;
}

void SysvSegments::hand_over()
{
	if (watched_.data())
		static_cast<Watched *>(watched_.data())->handed_over = true;
}

SysvSegments::~SysvSegments()
{
	remove();
	if (child_ <= 0)
		return;
	::kill(child_, SIGKILL);
	::waitpid(child_, nullptr, 0);
}

Result<> SysvSegments::create(const Plan &plan, const images::SharedMemory &object, const PageImage &pages)
{
	const images::SysvSegment &segment = object.sysv();
	std::vector<SysvSegment> here = TRY(list_sysv_segments());
	auto left = std::ranges::find(here, segment.id(), &SysvSegment::id);
	if (left == here.end()) {
		TRY(make(segment));
		add(segment.id());
		TRY(set_owner(segment));
	} else if (!is_left(*left, segment, plan.processes)) {
		return Error(Code::kMismatch, "its id is in use").on(name_of(segment)).with_hint("see ipcs -m");
	}
	if (segment.mode() & kSegmentRemoved)
		marked_.push_back(segment.id());
	return fill(object, pages);
}

Result<> SysvSegments::create(const Plan &plan, const PageImage &pages)
{
	auto is_segment = [](const images::SharedMemory &object) { return object.has_sysv(); };
	auto count = std::ranges::count_if(plan.document->shared_memory(), is_segment);
	if (!count)
		return {};
	TRY(watch_over(plan, static_cast<size_t>(count)));
	for (const images::SharedMemory &object : plan.document->shared_memory())
		if (object.has_sysv())
			TRY(create(plan, object, pages));
	return {};
}

Result<> SysvSegments::mark()
{
	for (int id : marked_)
		if (::shmctl(id, IPC_RMID, nullptr))
			return errno_error(errno, "cannot mark segment {} to be removed", id);
	return {};
}

void SysvSegments::remove()
{
	for (int id : made_)
		::shmctl(id, IPC_RMID, nullptr);
	made_.clear();
}

// shmat(2) maps all of it; mprotect(2) then parts it as it was.
void attach_segments(target::SyscallBatch &batch, const Plan &plan, const images::Memory &memory)
{
	for (auto vma = memory.vmas().begin(); vma != memory.vmas().end(); ++vma) {
		const images::SysvSegment *segment = segment_of(plan, *vma);
		if (!segment || vma->offset())
			continue;
		uint64_t end = vma->start() + segment->size();
		bool code = false;
		for (auto part = vma; part != memory.vmas().end() && part->start() < end; ++part)
			code = code || part->prot() & PROT_EXEC;
		int flags = (vma->may_write() ? 0 : SHM_RDONLY) | (code ? SHM_EXEC : 0);
		batch.add(SYS_shmat, segment->id(), vma->start(), flags);
	}
}

void check_segments(const Plan &plan, Findings &findings)
{
	Result<std::vector<SysvSegment>> here = list_sysv_segments();
	for (const images::SharedMemory &object : plan.document->shared_memory()) {
		if (!object.has_sysv() || !here)
			continue;
		const images::SysvSegment &segment = object.sysv();
		auto same = std::ranges::find(*here, segment.id(), &SysvSegment::id);
		auto key = std::ranges::find(*here, segment.key(), &SysvSegment::key);
		auto refuse = [&](const std::string &message) {
			findings.push_back(
				Error(Code::kMismatch, message)
					.on(name_of(segment))
					.with_hint("the program that was dumped may still run, or others have used the "
						   "segment since: "
						   "see ipcs -m; ipcrm -m removes one, and restore makes it again"));
		};
		if (same != here->end() && !is_left(*same, segment, plan.processes))
			refuse(fmt::format("its id is in use: {} have it attached", same->attached));
		else if (segment.key() != IPC_PRIVATE && key != here->end() && key->id != segment.id())
			refuse(fmt::format("its key is in use by segment {}", key->id));
	}
}

} // namespace bpfckpt::restore
