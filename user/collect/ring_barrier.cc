// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/ring_barrier.h"

#include <array>
#include <atomic>
#include <cstring>
#include <thread>

#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "images/descriptors.h"
#include "user/target/pid_ref.h"
#include "user/util/mapping.h"
#include "user/util/uring_abi.h"

namespace bpfckpt::collect {

namespace {

constexpr std::chrono::microseconds kTurn{200};
constexpr uint64_t kUserData = 0x626172726965721a;

std::string obstacle_of(const images::Ring &ring)
{
	if (ring.in_flight_size() || ring.messages_size())
		return "requests wait in it";
	if (ring.sq_head() != ring.sq_tail())
		return "requests wait to be submitted";
	if (ring.overflow_size() || ring.cq_tail() - ring.cq_head() >= ring.cq_entries())
		return "its completion queue is full";
	if (ring.drain_disabled())
		return "it takes no drain: requests have left out their completions";
	if (ring.disabled() || ring.has_restrictions())
		return "it does not take every request";
	if (ring.flags() & kSetupNoMmap)
		return "its queues are memory of the program";
	return {};
}

// Our own mapping of its queues.
class Queues {
public:
	static Result<Queues> map(const images::Ring &ring, int fd)
	{
		const images::RingLayout &layout = ring.layout();
		size_t bytes = layout.sq_array() ? layout.sq_array() + ring.sq_entries() * sizeof(uint32_t)
						 : layout.cqes() + size_t{ring.cq_entries()} * layout.cqe_size();
		Queues queues(ring);
		queues.ring_memory_ = TRY(Mapping::create(bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
							  static_cast<off_t>(IORING_OFF_SQ_RING)));
		queues.sqes_ =
			TRY(Mapping::create(size_t{ring.sq_entries()} * layout.sqe_size(), PROT_READ | PROT_WRITE,
					    MAP_SHARED, fd, static_cast<off_t>(IORING_OFF_SQES)));
		return queues;
	}

	void put_barrier()
	{
		const images::RingLayout &layout = ring_->layout();
		uint32_t slot = ring_->sq_tail() & (ring_->sq_entries() - 1);
		auto *sqe = reinterpret_cast<io_uring_sqe *>(sqes_.bytes().data() + size_t{slot} * layout.sqe_size());
		std::memset(sqe, 0, layout.sqe_size());
		sqe->opcode = IORING_OP_NOP;
		sqe->flags = IOSQE_IO_DRAIN;
		sqe->user_data = kUserData;
		if (layout.sq_array())
			*word(layout.sq_array() + slot * static_cast<uint32_t>(sizeof(uint32_t))) = slot;
		std::atomic_ref(*word(layout.sq_tail())).store(ring_->sq_tail() + 1, std::memory_order_release);
	}

	[[nodiscard]] uint32_t completions() const
	{
		return std::atomic_ref(*word(ring_->layout().cq_tail())).load(std::memory_order_acquire) -
		       ring_->cq_tail();
	}

	[[nodiscard]] bool is_barrier_first() const
	{
		const images::RingLayout &layout = ring_->layout();
		uint32_t slot = ring_->cq_tail() & (ring_->cq_entries() - 1);
		io_uring_cqe cqe;
		std::memcpy(&cqe, ring_memory_.bytes().data() + layout.cqes() + size_t{slot} * layout.cqe_size(),
			    sizeof(cqe));
		return cqe.user_data == kUserData && cqe.res == 0;
	}

private:
	explicit Queues(const images::Ring &ring) : ring_(&ring) {}
	[[nodiscard]] uint32_t *word(uint32_t offset) const
	{
		return reinterpret_cast<uint32_t *>(ring_memory_.bytes().data() + offset);
	}

	const images::Ring *ring_;
	Mapping ring_memory_, sqes_;
};

// A process that has a descriptor of the ring; the submitter's, if there is one.
struct Holder {
	const images::Process *process = nullptr;
	const images::Thread *submitter = nullptr;
	uint32_t fd = 0;
};

Holder holder_of(const images::Document &document, const images::Ring &ring)
{
	for (const images::Process &process : document.processes()) {
		const images::Thread *submitter = nullptr;
		for (const images::Thread &thread : process.threads())
			if (thread.tid() == ring.submitter_tid())
				submitter = &thread;
		if (ring.flags() & IORING_SETUP_SINGLE_ISSUER && !submitter)
			continue;
		if (auto fd = images::descriptor_of(process, ring.file()))
			return {&process, submitter, *fd};
	}
	return {};
}

// Whoever may: the submitter of a ring that has one, the SQ thread, or we.
Result<> submit(const images::Ring &ring, const Holder &holder, int fd, target::FrozenTree &tree,
		std::chrono::milliseconds limit)
{
	if (ring.has_sq_thread())
		return tree.let_sq_thread_run(static_cast<pid_t>(ring.sq_thread().tid()), kTurn, limit);
	if (!(ring.flags() & IORING_SETUP_SINGLE_ISSUER)) {
		if (::syscall(SYS_io_uring_enter, fd, 1, 0, IORING_ENTER_GETEVENTS, nullptr, 0) != 1)
			return errno_error(errno, "cannot submit to it");
		return {};
	}
	std::array<uint64_t, 6> args = {holder.fd, 1, 0, IORING_ENTER_GETEVENTS, 0, 0};
	const images::AlternateStack &stack = holder.submitter->altstack();
	int64_t done = TRY(tree.borrow(static_cast<pid_t>(holder.submitter->tid()), {.nr = SYS_io_uring_enter,
										     .args = args,
										     .signal_stack = stack.sp(),
										     .signal_stack_size = stack.size(),
										     .limit = limit}));
	if (done != 1)
		return errno_error(static_cast<int>(-done), "cannot submit to it");
	return {};
}

// An SQ thread needs more than one turn if it gets no CPU in the first.
Result<> wait_for(const images::Ring &ring, const Queues &queues, target::FrozenTree &tree,
		  std::chrono::milliseconds limit)
{
	auto deadline = std::chrono::steady_clock::now() + limit;
	while (!queues.completions()) {
		if (std::chrono::steady_clock::now() >= deadline)
			return Error(Code::kTimeout, "a request that waits for all before it does not end")
				.with_hint("report it; the program's next submission to this ring may be lost");
		if (ring.has_sq_thread())
			TRY(tree.let_sq_thread_run(static_cast<pid_t>(ring.sq_thread().tid()), kTurn, limit));
		else
			std::this_thread::sleep_for(std::chrono::microseconds(100));
	}
	if (queues.completions() != 1 || !queues.is_barrier_first())
		return Error(Code::kInternal, "a request had been in flight that was not found").with_hint("report it");
	return {};
}

Result<std::string> ask(const images::Document &document, const images::Ring &ring, target::FrozenTree &tree,
			std::chrono::milliseconds limit)
{
	// Its threads may not make every call (seccomp).
	if (document.not_restorable_size())
		return std::string("the tree is dumped for inspection only");
	std::string obstacle = obstacle_of(ring);
	if (!obstacle.empty())
		return obstacle;
	Holder holder = holder_of(document, ring);
	if (!holder.process)
		return std::string("no process that may submit to it has a descriptor of it");
	target::PidRef process = TRY(target::PidRef::open(static_cast<pid_t>(holder.process->pid())));
	UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_getfd, process.fd(), holder.fd, 0)));
	if (!fd.valid())
		return errno_error(errno, "cannot take over descriptor {}", holder.fd);
	Queues queues = TRY(Queues::map(ring, fd.get()));
	queues.put_barrier();
	TRY(submit(ring, holder, fd.get(), tree, limit));
	TRY(wait_for(ring, queues, tree, limit));
	return std::string();
}

} // namespace

Result<BarrierReport> ask_barriers(const images::Document &document, target::FrozenTree &tree,
				   std::chrono::milliseconds limit)
{
	BarrierReport report;
	for (const images::Ring &ring : document.rings()) {
		Result<std::string> asked = ask(document, ring, tree, limit);
		if (!asked)
			return std::move(asked.error()).on(fmt::format("ring {}", ring.id()));
		report.emplace(ring.id(), std::move(*asked));
	}
	return report;
}

} // namespace bpfckpt::collect
