// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/restorable.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <unordered_set>

#include <linux/io_uring.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "user/uring/counters.h"
#include "user/uring/inexact.h"
#include "user/uring/provided.h"
#include "user/uring/rearm.h"
#include "user/uring/restorable_buffers.h"
#include "user/uring/restorable_polls.h"
#include "user/uring/worker_limits.h"
#include "user/util/page.h"
#include "user/util/uring_abi.h"

namespace bpfckpt::uring {

constexpr uint32_t kRegisterRingFds = 20; // IORING_REGISTER_RING_FDS

bool may_register(const images::Ring &ring, const images::Thread &thread)
{
	if (ring.has_restrictions() && !ring.disabled() &&
	    std::ranges::find(ring.restrictions().register_ops(), kRegisterRingFds) ==
		    ring.restrictions().register_ops().end())
		return false;
	return !(ring.flags() & IORING_SETUP_SINGLE_ISSUER) || !ring.submitter_tid() ||
	       ring.submitter_tid() == thread.tid();
}

const images::Ring *ring_to_register(const images::Document &document, const images::Thread &thread)
{
	for (const images::Ring &ring : document.rings())
		for (const images::TaskContext &task : ring.tasks())
			if (task.tid() == thread.tid() && may_register(ring, thread))
				return &ring;
	return nullptr;
}

namespace {

class RingCheck {
public:
	explicit RingCheck(const images::Document &document) : document_(document), holders_(document)
	{
		if (!document.rings_size())
			return;
		files_.reserve(static_cast<size_t>(document.files_size()));
		for (const images::File &file : document.files())
			files_.emplace(file.id(), &file);
		for (const images::Ring &ring : document.rings())
			rings_.emplace(ring.id(), &ring);
		for (const images::Memory &memory : document.memory())
			for (const images::Vma &vma : memory.vmas())
				mapped_.insert(vma.shared_memory());
	}
	Findings run();

private:
	void check(const images::Ring &ring);
	void check_place(const images::Ring &ring);
	void check_lent_memory(const images::Ring &ring);
	void find_readers_of_signals();
	void check_requests(const images::Ring &ring);
	[[nodiscard]] std::string obstacle_of(const images::Ring &ring, const images::Request &request) const;
	[[nodiscard]] std::string hint_for(const images::Ring &ring, const images::Request &request) const;
	[[nodiscard]] Maker submitter_of(const images::Ring &ring, const images::Request &request) const;
	[[nodiscard]] std::string poll_obstacle_of(const images::Ring &ring, const images::Request &request,
						   const Maker &submitter) const;
	[[nodiscard]] bool waits_for_stopped(const images::Request &request, const images::Process &process) const;
	template <class Name>
	void check_held_file(const images::Ring &ring, uint32_t id, Name &&name);
	void check(const images::Memory &memory, const images::Vma &vma);
	[[nodiscard]] bool has_buffer_ring(const images::Vma &vma) const;
	[[nodiscard]] bool has_region(const images::Vma &vma) const;
	void check(const images::Process &process, const images::Thread &thread);
	[[nodiscard]] const images::File *file_of(uint32_t id) const
	{
		auto it = files_.find(id);
		return it == files_.end() ? nullptr : it->second;
	}
	void refuse(std::string object, std::string message, std::string hint)
	{
		findings_.push_back(
			Error(Code::kUnsupported, std::move(message)).on(std::move(object)).with_hint(std::move(hint)));
	}
	static std::string name_of(const images::Ring &ring) { return fmt::format("ring {}", ring.id()); }

	const images::Document &document_;
	RingHolders holders_;
	std::unordered_map<uint32_t, const images::File *> files_;
	std::unordered_map<uint32_t, const images::Ring *> rings_;
	std::unordered_set<uint32_t> mapped_;                                                // SharedMemory.id
	std::unordered_map<uint32_t, std::set<const images::Process *>> readers_of_signals_; // of a signalfd: File.id
	Findings findings_;
};

// What a file needs of a process that has it open is not there for one that only a ring holds. name() gives what a
// finding says that the file is.
template <class Name>
void RingCheck::check_held_file(const images::Ring &ring, uint32_t id, Name &&name)
{
	const images::File *held = file_of(id);
	if (!held || !held->hidden())
		return;
	const images::File &file = *held;
	const char *hint = "keep a descriptor of it open";
	if (file.epoll().items_size())
		refuse(name_of(ring), name() + " is an epoll instance that no process has open", hint);
	if (file.owner().pid())
		refuse(name_of(ring), name() + " has an owner for signals (F_SETOWN), and no process has it open",
		       hint);
	// That of a memfd or a file on tmpfs is in the page cache.
	if (file.deleted() && !file.has_memfd() && file.filesystem() != "tmpfs" && file.size() &&
	    !mapped_.contains(file.ghost().shared_memory()))
		refuse(name_of(ring), name() + " has content that no process has open or mapped", hint);
}

Maker RingCheck::submitter_of(const images::Ring &ring, const images::Request &request) const
{
	if (ring.has_sq_thread() || (request.exited() && !request.exited_from()))
		return holders_.maker_of(ring);
	return request.exited() ? holders_.leader_of(request.exited_from()) : holders_.thread_of(request.tid());
}

std::string RingCheck::poll_obstacle_of(const images::Ring &ring, const images::Request &request,
					const Maker &submitter) const
{
	auto by_id = [this](uint32_t id) { return file_of(id); };
	if (uint32_t signalfd = signalfd_of(ring, request, submitter.process, by_id)) {
		if (readers_of_signals_.at(signalfd).size() > 1)
			return "two processes wait on its signalfd";
		return signalfd_obstacle(request, *file_of(signalfd), submitter);
	}
	const images::File *file = file_of(request.file());
	if (!file)
		return {};
	if (request.opcode() != images::IORING_OP_POLL_ADD)
		return {};
	if (file->has_epoll())
		return epoll_obstacle(document_, request, *file, by_id);
	if (request.multishot() && is_of_zombie(document_, *file))
		return "it repeats, and has told that a process has ended";
	return {};
}

void RingCheck::find_readers_of_signals()
{
	for (const images::Ring &ring : document_.rings())
		for (const images::Request &request : ring.in_flight()) {
			const images::Process *process = submitter_of(ring, request).process;
			if (uint32_t id =
				    signalfd_of(ring, request, process, [this](uint32_t at) { return file_of(at); }))
				readers_of_signals_[id].insert(process);
		}
}

bool may_be_for(const images::Request &request, const images::Process &child)
{
	io_uring_sqe sqe;
	memcpy(&sqe, request.sqe().data(), sizeof(sqe)); // its size: rearm_obstacle()
	auto number = static_cast<uint32_t>(sqe.fd);
	return sqe.len == P_PID ? child.pid() == number : sqe.len != P_PGID || child.pgid() == number;
}

// Restore stops such a child after the request is submitted.
bool RingCheck::waits_for_stopped(const images::Request &request, const images::Process &process) const
{
	return std::ranges::any_of(document_.processes(), [&](const images::Process &child) {
		return child.ppid() == process.pid() && child.state() == images::Process::STOPPED &&
		       may_be_for(request, child);
	});
}

std::string RingCheck::obstacle_of(const images::Ring &ring, const images::Request &request) const
{
	if (request.class_() != images::Request::REARMABLE)
		return {}; // judged where it was captured
	std::string obstacle =
		rearm_obstacle(ring, request, file_of(request.file()), file_of(request.in_flight_file2()));
	if (!obstacle.empty())
		return obstacle;
	if (request.link() &&
	    ring.in_flight(static_cast<int>(request.link()) - 1).class_() == images::Request::COMPLETED)
		return "the next of its chain is done already";
	Maker submitter = submitter_of(ring, request);
	if (!submitter.thread)
		return "the thread that submitted it is outside of the tree";
	// The stop would end it, as it does in the source (io_uring/io-wq.c: io_wq_worker()).
	if (is_work(request) && submitter.process->state() == images::Process::STOPPED)
		return "its worker would be stopped with the process";
	if (obstacle = poll_obstacle_of(ring, request, submitter); !obstacle.empty())
		return obstacle;
	if (request.opcode() == images::IORING_OP_WAITID && request.op_flags() & WSTOPPED &&
	    waits_for_stopped(request, *submitter.process))
		return "it waits for a child to stop that is stopped";
	if (request.opcode() == images::IORING_OP_RECVMSG && !request.multishot() && !request.exited() &&
	    !holders_.is_writable_in(*submitter.process, request.address(), sizeof(msghdr)))
		return "the header of its message is no longer in memory that can be written to";
	return {};
}

// A chain is submitted at once, and restore lends each header its content of then.
bool shares_a_header(const Chain &chain)
{
	std::vector<uint64_t> headers;
	for (const images::Request *request : chain)
		if (request->opcode() == images::IORING_OP_RECVMSG)
			headers.push_back(request->address());
	std::ranges::sort(headers);
	return std::ranges::adjacent_find(headers, [](uint64_t one, uint64_t next) {
		       return next - one < sizeof(msghdr);
	       }) != headers.end();
}

// What lets it pass, if the user says so: nothing else stands in the way.
std::string RingCheck::hint_for(const images::Ring &ring, const images::Request &request) const
{
	const InexactKind *kind = inexact_kind_of(ring, request);
	images::Request accepted = request;
	if (kind)
		accept(*kind, accepted);
	return kind && obstacle_of(ring, accepted).empty() ? hint_of(*kind)
							   : "dump --forensic keeps what can be read of it";
}

// Each obstacle once: there may be thousands of one kind.
void RingCheck::check_requests(const images::Ring &ring)
{
	struct Refused {
		unsigned count = 0;
		uint64_t user_data = 0; // of the first
		std::string hint = {};
	};
	std::map<std::string, Refused> refused;
	for (const images::Request &request : ring.in_flight()) {
		std::string obstacle = obstacle_of(ring, request);
		if (!obstacle.empty())
			refused.try_emplace(fmt::format("{} waits in it that cannot be submitted again: {}",
							images::Opcode_Name(request.opcode()), obstacle),
					    Refused{0, request.user_data(), hint_for(ring, request)})
				.first->second.count++;
		else if (request.file() && !(request.flags() & IOSQE_FIXED_FILE))
			check_held_file(ring, request.file(), [&] {
				return fmt::format("the file of user_data {:#x}", request.user_data());
			});
	}
	for (const auto &[obstacle, which] : refused)
		refuse(name_of(ring),
		       fmt::format("{} (user_data {:#x}{})", obstacle, which.user_data,
				   which.count > 1 ? fmt::format(", and {} more", which.count - 1) : ""),
		       which.hint);
	if (std::ranges::any_of(waiting_chains(ring), shares_a_header))
		refuse(name_of(ring), "two messages of one chain are received into one header",
		       "give each request of a chain a struct msghdr of its own");
}

// What its maker has to be besides its submitter, and what of it takes requests to make.
void RingCheck::check_place(const images::Ring &ring)
{
	if (ring.has_sq_thread() && !ring.sq_thread().tid())
		refuse(name_of(ring), "its submission thread has ended", "close the ring");
	Maker issuer = ring.submitter_tid() ? holders_.maker_of(ring) : Maker{};
	if (issuer.process && !holders_.is_of(*issuer.process, ring))
		refuse(name_of(ring), "its memory or its submission thread is not of the process that submits to it",
		       "set up the ring in the process that uses it");
	uint64_t requests = requests_to_provide(ring);
	uint32_t submitted = ring.sq_head() - waiting_count(ring) - owed_completions(ring).wide;
	if (requests > std::min(submitted, ring.cq_tail()))
		refuse(name_of(ring),
		       fmt::format(
			       "its provided buffers take {} requests to make again, and only {} submissions and {} "
			       "completions have gone through it",
			       requests, submitted, ring.cq_tail()),
		       "try again when the program has used the ring some more");
	bool taken = std::ranges::any_of(ring.in_flight(), &images::Request::has_taken_buffer);
	if ((requests || taken) && (ring.has_restrictions() || ring.disabled() || ring.flags() & IORING_SETUP_IOPOLL))
		refuse(name_of(ring), "it has provided buffers, and takes no requests to make them again",
		       "see docs/support.md");
}

// What the ring has taken from its program, the kernel pins for writing again (io_uring/rsrc.c: io_pin_pages()).
void RingCheck::check_lent_memory(const images::Ring &ring)
{
	Maker maker = holders_.maker_of(ring);
	auto check_part = [&](uint64_t address, uint64_t size, const std::string &what) {
		if (address && maker.process && !holders_.is_writable_in(*maker.process, address, size))
			refuse(name_of(ring), what + " in memory that can no longer be written to",
			       "leave what a ring uses writable (mprotect)");
	};
	check_part(ring.cq_user_address(), ring.sq_ring().size(), "its queues are");
	check_part(ring.sq_user_address(), ring.sqes().size(), "its submissions are");
	check_part(ring.region_user_address(), uint64_t{ring.region_pages()} * kPageSize, "its memory region is");
	for (const images::BufferGroup &group : ring.buffer_groups())
		if (group.ring())
			check_part(group.user_address(), group.entries() * sizeof(io_uring_buf),
				   fmt::format("its ring of buffers {} is", group.id()));
}

void RingCheck::check(const images::Ring &ring)
{
	if (!ring.file())
		return refuse(name_of(ring), "its file could not be described", "report it");
	if (!holders_.maker_of(ring).thread && !ring.submitter_dead() &&
	    (ring.submitter_tid() || std::ranges::none_of(ring.buffers(), is_of_unknown)))
		refuse(name_of(ring), "the thread that may submit to it is outside of the tree",
		       "dump the tree of that thread");
	check_place(ring);
	check_lent_memory(ring);
	if (std::string obstacle = counter_obstacle(ring); !obstacle.empty())
		refuse(name_of(ring), obstacle, "try again when the program has come for its completions");
	if (auto count = std::ranges::count_if(ring.overflow(), [&](const images::Cqe &cqe) {
		    return has_second_half(cqe) && !is_wide(ring, cqe);
	    }))
		refuse(name_of(ring),
		       fmt::format("{} completions of 32 bytes with flags are in its overflow list", count),
		       "they are taken over when the program reads its completions");
	if (ring.cq_tail() - ring.cq_head() > ring.cq_entries())
		refuse(name_of(ring),
		       fmt::format("its completion queue is read up to {}, and filled up to {}", ring.cq_head(),
				   ring.cq_tail()),
		       "the program has written to the counters of the ring");
	auto leaves_out = [](const images::Request &request) { return request.flags() & IOSQE_CQE_SKIP_SUCCESS; };
	if (ring.drain_disabled() && ring.sq_head() == waiting_count(ring) + owed_completions(ring).wide &&
	    std::ranges::none_of(ring.in_flight(), leaves_out))
		refuse(name_of(ring), "its counter of submissions has just run over", "try again");
	if (ring.has_restrictions() && ring.drain_disabled())
		refuse(name_of(ring), "it has restrictions, and requests have left out their completions",
		       "see docs/support.md");
	check_requests(ring);
	for (const images::FixedFile &file : ring.fixed_files())
		check_held_file(ring, file.file(), [&] { return fmt::format("the file in slot {}", file.slot()); });
}

// A ring of buffers that the kernel has allocated.
bool RingCheck::has_buffer_ring(const images::Vma &vma) const
{
	auto ring = rings_.find(vma.ring());
	return ring != rings_.end() &&
	       std::ranges::any_of(ring->second->buffer_groups(), [&](const images::BufferGroup &group) {
		       return group.kernel_memory() && vma.offset() == (kMapBuffers | uint64_t{group.id()} << 16);
	       });
}

// Memory that the kernel has allocated for IORING_REGISTER_MEM_REGION.
bool RingCheck::has_region(const images::Vma &vma) const
{
	auto ring = rings_.find(vma.ring());
	return ring != rings_.end() && ring->second->region_pages() && !ring->second->region_of_user();
}

// A new mapping begins where its region does (io_uring/memmap.c: io_region_mmap).
void RingCheck::check(const images::Memory &memory, const images::Vma &vma)
{
	std::string object = fmt::format("memory {:#x}-{:#x} of pid {}", vma.start(), vma.end(),
					 memory.pids_size() ? memory.pids(0) : 0);
	uint64_t region = vma.offset() & IORING_OFF_MMAP_MASK;
	bool queues = region == IORING_OFF_SQ_RING || region == IORING_OFF_CQ_RING || region == IORING_OFF_SQES;
	if (region == kMapBuffers)
		region = vma.offset(); // a region of its own for each group
	if (!queues && !has_buffer_ring(vma) && !(region == kMapRegion && has_region(vma)))
		refuse(object, fmt::format("maps {:#x} of a ring, which is not one of its queues", vma.offset()),
		       "see docs/support.md");
	else if (vma.offset() != region)
		refuse(object, "maps a ring of which the beginning is no longer mapped",
		       "map and unmap the queues of a ring as a whole");
	if (!vma.shared())
		refuse(object, "is a private mapping of a ring", "map rings with MAP_SHARED");
}

void RingCheck::check(const images::Process &process, const images::Thread &thread)
{
	if (thread.role() == images::Thread::USER && limits_to_set(document_, process, thread.tid()) &&
	    !ring_to_register(document_, thread))
		refuse(fmt::format("thread {}", thread.tid()),
		       "has limits for its workers that none of its rings gives it (IORING_REGISTER_IOWQ_MAX_WORKERS)",
		       "set the same limits for all rings of a thread");
	if (!thread.registered_rings_size())
		return;
	for (const images::RegisteredRing &registered : thread.registered_rings())
		if (auto ring = rings_.find(registered.ring());
		    ring != rings_.end() && may_register(*ring->second, thread))
			return;
	refuse(fmt::format("thread {}", thread.tid()), "has registered descriptors of rings that other threads use",
	       "register ring descriptors in the threads that submit to the ring");
}

Findings RingCheck::run()
{
	find_readers_of_signals();
	for (const images::Ring &ring : document_.rings())
		check(ring);
	for (Error &finding : check_buffers(document_, holders_))
		findings_.push_back(std::move(finding));
	for (const images::Memory &memory : document_.memory())
		for (const images::Vma &vma : memory.vmas())
			if (vma.kind() == images::Vma::RING)
				check(memory, vma);
	for (const images::Process &process : document_.processes())
		for (const images::Thread &thread : process.threads())
			check(process, thread);
	return std::move(findings_);
}

} // namespace

Findings check_rings(const images::Document &document)
{
	return RingCheck(document).run();
}

} // namespace bpfckpt::uring
