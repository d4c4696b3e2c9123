// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/restorable.h"

#include <algorithm>
#include <map>
#include <unordered_set>

#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "user/uring/clones.h"
#include "user/uring/inexact.h"
#include "user/uring/provided.h"
#include "user/uring/rearm.h"
#include "user/uring/worker_limits.h"

namespace bpfckpt::uring {

constexpr uint64_t kRegionMask = 0xf8000000; // IORING_OFF_MMAP_MASK
constexpr uint64_t kMapBuffers = 0x80000000; // IORING_OFF_PBUF_RING
constexpr uint64_t kMapRegion = 0x20000000;  // IORING_MAP_OFF_PARAM_REGION
constexpr uint32_t kRegisterRingFds = 20;    // IORING_REGISTER_RING_FDS
constexpr uint32_t kSingleIssuer = 1U << 12; // IORING_SETUP_SINGLE_ISSUER

constexpr uint32_t kSealsOfWriting = F_SEAL_WRITE | 0x10; // and F_SEAL_FUTURE_WRITE

// --- who holds it --------------------------------------------------------------------------------------------------

RingHolders::RingHolders(const images::Document &document)
{
	std::unordered_map<uint32_t, uint32_t> ring_of_file;
	for (const images::Ring &ring : document.rings())
		ring_of_file.emplace(ring.file(), ring.id());
	for (const images::Memory &memory : document.memory())
		memories_.emplace(memory.id(), &memory);
	for (const images::Process &process : document.processes()) {
		for (const images::Thread &thread : process.threads()) {
			if (thread.role() == images::Thread::USER)
				threads_.emplace(thread.tid(), Maker{&process, &thread});
			else
				kernel_threads_.emplace(thread.tid(), &process);
			for (const images::RegisteredRing &ring : thread.registered_rings())
				add(ring.ring(), process);
		}
		if (!ring_of_file.empty())
			for (const images::FdEntry &entry : process.files())
				if (auto ring = ring_of_file.find(entry.file()); ring != ring_of_file.end())
					add(ring->second, process);
		if (const images::Memory *memory = memory_of(process); memory && !ring_of_file.empty())
			for (const images::Vma &vma : memory->vmas())
				if (vma.kind() == images::Vma::RING)
					add(vma.ring(), process);
	}
}

void RingHolders::add(uint32_t ring, const images::Process &process)
{
	auto &list = holders_[ring];
	if (list.empty() || list.back() != &process)
		list.push_back(&process);
}

const images::Memory *RingHolders::memory_of(const images::Process &process) const
{
	auto it = memories_.find(process.address_space());
	return it == memories_.end() ? nullptr : it->second;
}

const std::vector<const images::Process *> &RingHolders::of(const images::Ring &ring) const
{
	static const std::vector<const images::Process *> kNone;
	auto it = holders_.find(ring.id());
	return it == holders_.end() ? kNone : it->second;
}

// The kernel pins pages for writing.
static bool is_writable(const images::Memory &memory, uint64_t start, uint64_t end)
{
	auto vma = std::ranges::upper_bound(memory.vmas(), start, {}, &images::Vma::end);
	for (; vma != memory.vmas().end() && vma->start() <= start && vma->prot() & PROT_WRITE; ++vma) {
		start = vma->end();
		if (start >= end)
			return true;
	}
	return false;
}

bool RingHolders::is_writable_in(const images::Process &process, uint64_t address, uint64_t length) const
{
	const images::Memory *memory = memory_of(process);
	return memory && is_writable(*memory, address, address + length);
}

static bool is_of_unknown(const images::FixedBuffer &buffer)
{
	return !buffer.address_space() && !buffer.pages_differ();
}

bool RingHolders::has_buffers_of(const images::Process &process, const images::Ring &ring) const
{
	const images::Memory *memory = memory_of(process);
	return memory && std::ranges::all_of(ring.buffers(), [&](const images::FixedBuffer &buffer) {
		       return !is_of_unknown(buffer) ||
			      is_writable(*memory, buffer.address(), buffer.address() + buffer.length());
	       });
}

Maker RingHolders::thread_of(uint32_t tid) const
{
	auto it = threads_.find(tid);
	return it == threads_.end() ? Maker{} : it->second;
}

// Memory that the ring has taken from its program is of one process, and so is its SQ thread.
bool RingHolders::is_of(const images::Process &process, const images::Ring &ring) const
{
	if (ring.address_space() && ring.address_space() != process.address_space())
		return false;
	if (!ring.has_sq_thread())
		return true;
	auto it = kernel_threads_.find(ring.sq_thread().tid());
	return it != kernel_threads_.end() && it->second == &process;
}

Maker RingHolders::maker_of(const images::Ring &ring) const
{
	if (ring.submitter_tid())
		return thread_of(ring.submitter_tid());
	std::vector<Maker> candidates;
	for (const images::TaskContext &task : ring.tasks())
		if (auto it = threads_.find(task.tid()); it != threads_.end())
			candidates.push_back(it->second);
	for (const images::Process *process : of(ring))
		if (auto user = std::ranges::find(process->threads(), images::Thread::USER, &images::Thread::role);
		    user != process->threads().end())
			candidates.push_back({process, &*user});
	std::erase_if(candidates, [&](const Maker &maker) {
		return !is_of(*maker.process, ring) || !has_buffers_of(*maker.process, ring);
	});
	// One that has its buffers, if there is one.
	auto has_memory = [&](const Maker &maker) {
		return !ring.buffers_size() || ring.buffers(0).address_space() == maker.process->address_space();
	};
	auto fit = std::ranges::find_if(candidates, has_memory);
	if (fit == candidates.end())
		fit = candidates.begin();
	return fit == candidates.end() ? Maker{} : *fit;
}

// --- what stands in the way ----------------------------------------------------------------------------------------

bool may_register(const images::Ring &ring, const images::Thread &thread)
{
	if (ring.has_restrictions() && !ring.disabled() &&
	    std::ranges::find(ring.restrictions().register_ops(), kRegisterRingFds) ==
		    ring.restrictions().register_ops().end())
		return false;
	return !(ring.flags() & kSingleIssuer) || !ring.submitter_tid() || ring.submitter_tid() == thread.tid();
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
	explicit RingCheck(const images::Document &document)
		: document_(document), holders_(document), origins_(clone_origins(document))
	{
		for (const images::File &file : document.files())
			files_.emplace(file.id(), &file);
		for (const images::Ring &ring : document.rings())
			rings_.emplace(ring.id(), &ring);
		for (const images::Memory &memory : document.memory())
			memories_.emplace(memory.id(), &memory);
		for (const images::Memory &memory : document.memory())
			for (const images::Vma &vma : memory.vmas())
				mapped_.insert(vma.shared_memory());
	}
	Findings run();

private:
	void check(const images::Ring &ring);
	void check_place(const images::Ring &ring);
	void check_buffers(const images::Ring &ring);
	void check_memory(const images::Ring &ring, const images::FixedBuffer &buffer);
	void check_clone(const images::Ring &ring, const images::FixedBuffer &buffer);
	[[nodiscard]] bool can_map(uint32_t shared_memory) const;
	void check_requests(const images::Ring &ring);
	[[nodiscard]] std::string obstacle_of(const images::Ring &ring, const images::Request &request) const;
	[[nodiscard]] std::string hint_for(const images::Ring &ring, const images::Request &request) const;
	void check_held_file(const images::Ring &ring, uint32_t id, const std::string &what);
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
	std::unordered_map<uint32_t, const images::Memory *> memories_;
	std::unordered_map<uint32_t, BufferSlot> origins_; // by FixedBuffer.object
	std::unordered_set<uint32_t> mapped_;              // SharedMemory.id
	Findings findings_;
};

// Shared memory of which a mapping to write can be made.
bool RingCheck::can_map(uint32_t shared_memory) const
{
	for (const images::Memory &memory : document_.memory())
		for (const images::Vma &vma : memory.vmas())
			if (vma.shared_memory() == shared_memory && vma.kind() == images::Vma::ANON_SHARED)
				return true;
	return std::ranges::any_of(document_.files(), [&](const images::File &file) {
		return file.has_memfd() && file.memfd().shared_memory() == shared_memory &&
		       (file.flags() & O_ACCMODE) == O_RDWR && !(file.memfd().seals() & kSealsOfWriting);
	});
}

// The parts of a mapping that restore moves for a moment, or makes writable.
std::vector<std::pair<uint64_t, uint64_t>> touched_by(const images::FixedBuffer &buffer)
{
	std::vector<std::pair<uint64_t, uint64_t>> parts = {{buffer.address(), buffer.address() + buffer.length()}};
	for (const images::PinnedRun &run : buffer.elsewhere())
		if (run.moved_to())
			parts.emplace_back(run.moved_to(), run.moved_to() + run.length());
	return parts;
}

bool has_flag(const images::Vma &vma, const char *flag)
{
	return std::ranges::find(vma.advice(), flag) != vma.advice().end();
}

void RingCheck::check_memory(const images::Ring &ring, const images::FixedBuffer &buffer)
{
	for (const images::PinnedRun &run : buffer.elsewhere())
		if (run.shared_memory() && !can_map(run.shared_memory()))
			refuse(name_of(ring),
			       fmt::format(
				       "buffer {} has pages of shared memory that can no longer be mapped for writing",
				       buffer.slot()),
			       "unregister buffers before unmapping or sealing their memory");
	if (!buffer.address_space())
		return;
	auto memory = memories_.find(buffer.address_space());
	if (memory == memories_.end())
		return refuse(name_of(ring),
			      fmt::format("buffer {} is memory of no process of the tree", buffer.slot()),
			      "dump the tree that has registered it");
	for (auto [start, end] : touched_by(buffer)) {
		auto vma = std::ranges::upper_bound(memory->second->vmas(), start, {}, &images::Vma::end);
		for (; vma != memory->second->vmas().end() && vma->start() < end; ++vma)
			if ((buffer.pages_differ() || !(vma->prot() & PROT_WRITE)) &&
			    (has_flag(*vma, "sl") || (vma->shared() && !vma->may_write())))
				return refuse(
					name_of(ring),
					fmt::format("buffer {} lies in memory that can no longer be moved or written "
						    "to (mseal, a descriptor for reading)",
						    buffer.slot()),
					"unregister buffers before sealing their memory");
	}
}

// Both rings have to be charged to one process, and only its issuer can have a ring cloned from.
void RingCheck::check_clone(const images::Ring &ring, const images::FixedBuffer &buffer)
{
	auto origin = origins_.find(buffer.object());
	if (origin == origins_.end() || origin->second.ring == &ring)
		return;
	Maker maker = holders_.maker_of(ring), other = holders_.maker_of(*origin->second.ring);
	if (maker.process != other.process)
		refuse(name_of(ring),
		       fmt::format("buffer {} is shared with ring {}, which another process has set up", buffer.slot(),
				   origin->second.ring->id()),
		       "clone buffers between rings of one process");
	else if (origin->second.ring->submitter_tid() && maker.thread != other.thread)
		refuse(name_of(ring),
		       fmt::format("buffer {} is shared with ring {}, of which another thread is the issuer",
				   buffer.slot(), origin->second.ring->id()),
		       "clone buffers between rings of one thread");
	// Whoever has set up a ring pays for its buffers, and only those of one user are cloned (io_uring/rsrc.c:
	// io_clone_buffers()); a ring with an SQ thread is set up with the credentials of that thread.
	if (ring.has_sq_thread() != origin->second.ring->has_sq_thread())
		refuse(name_of(ring),
		       fmt::format("buffer {} is shared with ring {}, and only one of them has a submission thread",
				   buffer.slot(), origin->second.ring->id()),
		       "clone buffers between rings of one kind");
	if (buffer.tag())
		refuse(name_of(ring), fmt::format("buffer {} is a clone with a tag", buffer.slot()), "report it");
}

// Which process's memory they are is not kept by the kernel: only addresses and pages are.
void RingCheck::check_buffers(const images::Ring &ring)
{
	for (const images::FixedBuffer &buffer : ring.buffers()) {
		check_memory(ring, buffer);
		check_clone(ring, buffer);
	}
	if (std::ranges::none_of(ring.buffers(), is_of_unknown))
		return;
	const images::Process *issuer = ring.submitter_tid() ? holders_.maker_of(ring).process : nullptr;
	if (issuer && !holders_.has_buffers_of(*issuer, ring))
		return refuse(name_of(ring), "its buffers are not in memory of the thread that submits to it",
			      "register buffers in the process that uses the ring");
	size_t fitting = 0;
	for (const images::Process *process : holders_.of(ring))
		fitting += holders_.has_buffers_of(*process, ring);
	if (!fitting)
		refuse(name_of(ring), "its buffers are no longer in memory that can be written to",
		       "unregister buffers before unmapping or protecting their memory");
	else if (fitting > 1 && !ring.submitter_tid())
		refuse(name_of(ring), fmt::format("its buffers could be those of any of {} processes", fitting),
		       "close the ring in the processes that do not use it");
}

// What a file needs of a process that has it open is not there for one that only a ring holds.
void RingCheck::check_held_file(const images::Ring &ring, uint32_t id, const std::string &what)
{
	const images::File *held = file_of(id);
	if (!held || !held->hidden())
		return;
	const images::File &file = *held;
	std::string hint = "keep a descriptor of it open";
	if (file.epoll().items_size())
		refuse(name_of(ring), what + " is an epoll instance that no process has open", hint);
	if (file.owner().pid())
		refuse(name_of(ring), what + " has an owner for signals (F_SETOWN), and no process has it open", hint);
	// That of a memfd or a file on tmpfs is in the page cache.
	if (file.deleted() && !file.has_memfd() && file.filesystem() != "tmpfs" && file.size() &&
	    !mapped_.contains(file.ghost().shared_memory()))
		refuse(name_of(ring), what + " has content that no process has open or mapped", hint);
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
	    ring.in_flight(static_cast<int>(request.link()) - 1).class_() != images::Request::REARMABLE)
		return "the next of its chain is done already";
	Maker submitter = ring.has_sq_thread() ? holders_.maker_of(ring) : holders_.thread_of(request.tid());
	if (!submitter.thread)
		return "the thread that submitted it is outside of the tree";
	// The stop would end it, as it does in the source (io_uring/io-wq.c: io_wq_worker()).
	if (is_work(request) && submitter.process->state() == images::Process::STOPPED)
		return "its worker would be stopped with the process";
	if (request.opcode() == images::IORING_OP_RECVMSG && !request.multishot() &&
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
			check_held_file(ring, request.file(),
					fmt::format("the file of user_data {:#x}", request.user_data()));
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
	uint32_t submitted = ring.sq_head() - waiting_count(ring);
	if (requests > std::min(submitted, ring.cq_tail()))
		refuse(name_of(ring),
		       fmt::format(
			       "its provided buffers take {} requests to make again, and only {} submissions and {} "
			       "completions have gone through it",
			       requests, submitted, ring.cq_tail()),
		       "try again when the program has used the ring some more");
	if (requests && (ring.has_restrictions() || ring.disabled() || ring.flags() & IORING_SETUP_IOPOLL))
		refuse(name_of(ring), "it has provided buffers, and takes no requests to make them again",
		       "see docs/support.md");
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
	if (ring.cq_tail() - ring.cq_head() > ring.cq_entries())
		refuse(name_of(ring),
		       fmt::format("its completion queue is read up to {}, and filled up to {}", ring.cq_head(),
				   ring.cq_tail()),
		       "the program has written to the counters of the ring");
	if (ring.drain_disabled() && ring.sq_head() == waiting_count(ring))
		refuse(name_of(ring), "its counter of submissions has just run over", "try again");
	if (ring.has_restrictions() && ring.drain_disabled())
		refuse(name_of(ring), "it has restrictions, and requests have left out their completions",
		       "see docs/support.md");
	if (ring.buffers_size())
		check_buffers(ring);
	check_requests(ring);
	for (const images::FixedFile &file : ring.fixed_files())
		check_held_file(ring, file.file(), fmt::format("the file in slot {}", file.slot()));
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
	uint64_t region = vma.offset() & kRegionMask;
	if (region == kMapBuffers && has_buffer_ring(vma))
		region = vma.offset(); // a region of its own
	else if (region == kMapRegion && has_region(vma))
		region = kMapRegion;
	else if (region != IORING_OFF_SQ_RING && region != IORING_OFF_CQ_RING && region != IORING_OFF_SQES)
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
	for (const images::Ring &ring : document_.rings())
		check(ring);
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
