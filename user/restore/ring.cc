// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/ring.h"

#include <algorithm>
#include <set>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/restore/credentials.h"
#include "user/restore/ring_buffers.h"
#include "user/restore/ring_message.h"
#include "user/restore/ring_owed.h"
#include "user/restore/ring_rearming.h"
#include "user/util/io.h"

namespace bpfckpt::restore {

using target::SyscallBatch;
using target::Tracee;

Result<int> register_here(const NewRing &ring, unsigned opcode, const void *arg, unsigned count, const char *what)
{
	long result = syscall(SYS_io_uring_register, ring.fd, opcode, arg, count);
	if (result < 0)
		return errno_error(errno, "cannot register {}", what).on(ring.name());
	return static_cast<int>(result);
}

namespace {

class RingBuilder {
public:
	RingBuilder(const RingStep &step, Tracee &maker, const Plan &plan, Tree &tree, OpenFiles &files)
		: plan_(plan),
		  attached_to_(step.attached_to),
		  tree_(tree),
		  files_(files),
		  ring_{.image = *step.ring,
			.steps = step.counters,
			.maker = maker,
			.waiting = uring::waiting_chains(*step.ring)}
	{
	}
	// All but what waits in it.
	Result<> build(RingBuffers &buffers);
	// When all rings are there: what is told in one may wake what waits in another.
	Result<> rearm();
	Result<> rearm_works();
	// Before anything waits in any ring.
	Result<> prepare_works();

private:
	[[nodiscard]] UniqueFd attached_ring() const;
	Result<> set_up();
	void lend_memory();
	Result<> call_setup();
	Result<> check_layout() const;
	Result<> take_over();
	Result<> enable();
	void write_queues();
	void write_submissions();
	Result<> post_completed();
	Result<> open_works();

	const Plan &plan_;
	const images::Ring *attached_to_;
	Tree &tree_;
	OpenFiles &files_;
	NewRing ring_;
	std::unique_ptr<Rearming> works_ = {};
};

// While it is disabled anybody may register, also with SINGLE_ISSUER; enabling it makes the caller its issuer. And only
// then can a region be for the arguments of waits.
uint32_t setup_flags(const images::Ring &image)
{
	// Without it the ring has a descriptor first; registered it is like any other.
	uint32_t flags = image.flags() & ~kSetupRegisteredFdOnly;
	if (flags & IORING_SETUP_SINGLE_ISSUER || image.has_restrictions() || image.region_has_waits())
		flags |= IORING_SETUP_R_DISABLED;
	if (image.cq_entries() != 2 * image.sq_entries())
		flags |= IORING_SETUP_CQSIZE;
	return flags;
}

// What ATTACH_WQ names: a ring with the same SQ thread; without such a thread it is checked, and has no effect. The
// ring that had the thread first may be gone.
UniqueFd RingBuilder::attached_ring() const
{
	if (attached_to_)
		return UniqueFd(fcntl(files_.fd(attached_to_->file()), F_DUPFD_CLOEXEC, 0));
	if (!(ring_.image.flags() & IORING_SETUP_ATTACH_WQ) || ring_.has_sq_thread())
		return {};
	io_uring_params plain = {};
	return UniqueFd(static_cast<int>(syscall(SYS_io_uring_setup, 1, &plain)));
}

Result<> RingBuilder::set_up()
{
	const images::Ring &image = ring_.image;
	ring_.params.flags = setup_flags(image);
	if (ring_.params.flags & IORING_SETUP_CQSIZE)
		ring_.params.cq_entries = image.cq_entries();
	if (ring_.has_sq_thread()) {
		ring_.params.sq_thread_idle = image.sq_thread().idle_ms();
		ring_.params.sq_thread_cpu = image.sq_thread().cpu();
	}
	SyscallBatch batch;
	OpenFiles::add_tool(batch, kToolNumber);
	UniqueFd other = attached_ring();
	if (other.valid()) {
		ring_.params.flags |= IORING_SETUP_ATTACH_WQ;
		ring_.params.wq_fd = kToolNumber + 1;
		batch.add(SYS_pidfd_getfd, kToolNumber, other.get(), 0);
	} else {
		ring_.params.flags &= ~IORING_SETUP_ATTACH_WQ;
	}
	if (ring_.is_in_user_memory())
		lend_memory();
	TRY(batch.run(ring_.maker));
	TRY(call_setup());
	return check_layout();
}

// The kernel takes the memory as it is, and begins with what is in there: nothing.
void RingBuilder::lend_memory()
{
	const images::Ring &image = ring_.image;
	ring_.queues = RingMemory(ring_.maker, image.cq_user_address(), image.sq_ring().size());
	ring_.sqes = RingMemory(ring_.maker, image.sq_user_address(), image.sqes().size());
	ring_.queues.clear();
	ring_.sqes.clear();
	ring_.params.cq_off.resv2 = image.cq_user_address(); // user_addr in newer headers
	ring_.params.sq_off.resv2 = image.sq_user_address();
}

// The SQ thread works with the credentials of the thread that sets up the ring: one of its own, because nobody could
// take them back.
Result<> RingBuilder::call_setup()
{
	SyscallBatch batch;
	bool others = ring_.has_sq_thread() && !are_own(ring_.image.sq_thread().credentials());
	if (others)
		add_credentials(batch, ring_.image.sq_thread().credentials());
	target::Blob params = batch.exchange(ring_.params);
	size_t made = batch.add(SYS_io_uring_setup, ring_.image.sq_entries(), params);
	Result<> done = others ? tree_.run_in_helper(ring_.maker.pid(), batch) : batch.run(ring_.maker);
	if (!done)
		return make_error(done.error().code, "cannot be set up")
			.on(ring_.name())
			.because(std::move(done).error());
	ring_.number = static_cast<int>(batch.result(made));
	ring_.params = batch.output_as<io_uring_params>(params);
	return {};
}

// Programs keep pointers into the queues.
Result<> RingBuilder::check_layout() const
{
	const images::RingLayout &was = ring_.image.layout();
	const io_uring_params &is = ring_.params;
	if (is.sq_entries != ring_.image.sq_entries() || is.cq_entries != ring_.image.cq_entries())
		return make_error(Code::kMismatch, "has {} and {} entries, had {} and {}", is.sq_entries, is.cq_entries,
				  ring_.image.sq_entries(), ring_.image.cq_entries())
			.on(ring_.name());
	if (is.sq_off.head != was.sq_head() || is.sq_off.tail != was.sq_tail() || is.cq_off.head != was.cq_head() ||
	    is.cq_off.tail != was.cq_tail() || is.cq_off.cqes != was.cqes() || is.sq_off.array != was.sq_array())
		return Error(Code::kMismatch, "lies otherwise in memory on this kernel")
			.on(ring_.name())
			.with_hint("restore on the kernel of the dump");
	return {};
}

Result<> RingBuilder::take_over()
{
	UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, ring_.maker.pid(), 0)));
	UniqueFd fd(static_cast<int>(syscall(SYS_pidfd_getfd, pidfd.get(), ring_.number, 0)));
	if (!fd.valid())
		return errno_error(errno, "cannot take over the descriptor").on(ring_.name());
	ring_.fd = fd.get();
	if (!ring_.is_in_user_memory()) {
		ring_.queues = TRY(RingMemory::map(fd.get(), ring_.image.sq_ring().size(), IORING_OFF_SQ_RING));
		ring_.sqes = TRY(RingMemory::map(fd.get(), ring_.image.sqes().size(), IORING_OFF_SQES));
	}
	files_.adopt(ring_.image.file(), std::move(fd));
	return {};
}

Result<> RingBuilder::enable()
{
	if (!(ring_.params.flags & IORING_SETUP_R_DISABLED) || ring_.image.disabled())
		return {};
	SyscallBatch batch;
	batch.add(SYS_io_uring_register, ring_.number, IORING_REGISTER_ENABLE_RINGS, 0, 0);
	return batch.run(ring_.maker);
}

// The kernel goes by counters of its own, which are right now: all of this is the program's to write. But an SQ thread
// says how far it is and whether it sleeps, and would take what lies in the SQ at once: that is for later.
void RingBuilder::write_queues()
{
	const images::RingLayout &layout = ring_.image.layout();
	std::string queues = ring_.image.sq_ring();
	size_t flags = ring_.has_sq_thread() ? ring_.params.sq_off.flags : queues.size();
	if (ring_.has_sq_thread())
		for (uint32_t at : {layout.sq_head(), layout.sq_tail()}) {
			uint32_t word = ring_.word(at);
			memcpy(queues.data() + at, &word, sizeof(word));
		}
	ring_.queues.write(0, as_bytes(queues).first(flags));
	if (flags < queues.size())
		ring_.queues.write(flags + 4, as_bytes(queues).subspan(flags + 4));
	ring_.sqes.write(0, as_bytes(ring_.image.sqes()));
}

// The same, without what is the kernel's again: completions may have come.
void RingBuilder::write_submissions()
{
	const images::RingLayout &layout = ring_.image.layout();
	ring_.sqes.write(0, as_bytes(ring_.image.sqes()));
	if (layout.sq_array())
		ring_.queues.write(layout.sq_array(),
				   as_bytes(ring_.image.sq_ring())
					   .subspan(layout.sq_array(), size_t{ring_.image.sq_entries()} * 4));
	ring_.set_word(layout.sq_tail(), ring_.image.sq_tail());
	if (ring_.has_sq_thread())
		wake_sq_thread(ring_);
}

Result<> RingBuilder::build(RingBuffers &buffers)
{
	TRY(set_up());
	TRY(take_over());
	if (uint32_t clock = ring_.image.clock_id(); clock && clock != CLOCK_MONOTONIC) {
		uint32_t arg[4] = {clock}; // struct io_uring_clock_register
		TRY(register_here(ring_, kRegisterClock, arg, 0, "its clock"));
	}
	TRY(register_files(ring_, files_));
	TRY(buffers.register_all(ring_));
	TRY(register_region(ring_));
	TRY(register_napi(ring_));
	TRY(register_personalities(ring_));
	TRY(register_worker_limits(ring_));
	// With restrictions nothing more may be allowed later; then it is the program's own flag that keeps the eventfd
	// still.
	bool restricted = ring_.image.has_restrictions();
	if (restricted) {
		TRY(register_eventfd(ring_, files_));
		TRY(register_restrictions(ring_));
		ring_.set_word(ring_.params.cq_off.flags, IORING_CQ_EVENTFD_DISABLED);
	}
	TRY(enable());
	TRY(provide_buffers(ring_));
	const images::RingLayout &layout = ring_.image.layout();
	uring::RingProgress done = {.submissions = ring_.word(layout.sq_head()), .completions = 0};
	TRY(rearm_reported(ring_, plan_, tree_, files_));
	done.completions = ring_.word(layout.cq_tail());
	uint32_t room = next_submission(ring_) - uring::owed_completions(ring_.image).wide;
	if (done.submissions > room || done.completions > ring_.image.cq_tail())
		return make_error(Code::kInternal,
				  "took {} submissions and {} completions to make, and has seen only {} and {}",
				  done.submissions, done.completions, room, ring_.image.cq_tail())
			.on(ring_.name());
	ring_.steps = uring::counter_steps(ring_.image, done);
	TRY(align_counters(ring_, files_));
	write_queues();
	if (!restricted)
		TRY(register_eventfd(ring_, files_));
	SyscallBatch batch;
	batch.add(SYS_close_range, 0, ~0U, 0);
	ring_.number = -1;
	return batch.run(ring_.maker);
}

// Of requests that were done at the dump: behind those that count completions, before those that wait for all others.
Result<> RingBuilder::post_completed()
{
	Messenger messenger(ring_);
	OwedPoster owed(ring_, files_);
	auto post = [&](const images::Cqe &cqe) -> Result<> {
		if (TRY(owed.post(cqe)))
			return {};
		return messenger.post(cqe);
	};
	// Of other rings, for an issuer that has not come for them: they are told at once when it does, the others when
	// all are done (io_uring/msg_ring.c: io_msg_tw_complete()). Up to 6.12 they are requests.
	for (const images::Cqe &message : ring_.image.messages())
		TRY(post(message));
	for (bool messages : {true, false})
		for (const images::Request &request : ring_.image.in_flight())
			if (uring::owes_completion(request) &&
			    (request.opcode() == images::IORING_OP_MSG_RING) == messages)
				TRY(post(completion_of(request)));
	if (ring_.owed)
		return make_error(Code::kInternal, "has still {} completions to make", ring_.owed).on(ring_.name());
	return owed.close();
}

Result<> RingBuilder::rearm()
{
	bool submits = !ring_.waiting.empty() || ring_.owed || ring_.has_sq_thread();
	auto later = std::ranges::find_if(ring_.waiting, [](const uring::Chain &chain) {
		return uring::is_work(chain) || uring::is_held_back(chain);
	});
	TRY(rearm_waiting(ring_, tree_, files_, static_cast<size_t>(later - ring_.waiting.begin())));
	TRY(post_completed());
	if (std::ranges::any_of(ring_.waiting, [](const uring::Chain &chain) { return uring::is_work(chain); }))
		return open_works();
	TRY(rearm_waiting(ring_, tree_, files_, ring_.waiting.size()));
	if (submits)
		write_submissions();
	return {};
}

// The first thread besides the leader gives a process a hash of futexes of its own, and who waits in the common one by
// io_uring is not woken any more (since v6.16; kernel/futex/core.c: futex_hash_allocate_default()). A worker is one.
Result<> RingBuilder::prepare_works()
{
	std::set<pid_t> processes;
	for (const uring::Chain &chain : ring_.waiting) {
		if (chain.front()->exited())
			processes.insert(exited_from(ring_, *chain.front()));
		if (!uring::is_work(chain))
			continue;
		Tracee *thread = ring_.has_sq_thread() ? &ring_.maker : find_thread(tree_, chain.front()->tid());
		if (!thread)
			return make_error(Code::kInternal, "thread {} is not there", chain.front()->tid())
				.on(ring_.name());
		processes.insert(thread->pid());
	}
	for (pid_t pid : processes) {
		SyscallBatch nothing;
		nothing.add(SYS_getpid);
		TRY(tree_.run_in_helper(pid, nothing));
	}
	return {};
}

// What a thread needs of bpfckpt it cannot have any more when it has its credentials.
Result<> RingBuilder::open_works()
{
	works_ = std::make_unique<Rearming>(ring_, tree_, files_, next_submission(ring_));
	return works_->open(ring_.waiting);
}

Result<> RingBuilder::rearm_works()
{
	if (!works_)
		return {};
	TRY(works_->submit(ring_.waiting));
	TRY(works_->wait_for_workers());
	TRY(works_->close());
	TRY(works_->check());
	write_submissions();
	return {};
}

} // namespace

struct Rings::Parts {
	std::vector<RingBuilder> builders;
};

Rings::Rings(Tree &tree, const Plan &plan, OpenFiles &files, const PageImage &pages)
	: tree_(tree), plan_(plan), files_(files), pages_(pages), parts_(std::make_unique<Parts>())
{
}

Rings::~Rings() = default;

// A thread's first ring takes the limit of its workers from this one (io_uring/io-wq.c: io_wq_create()).
static Result<> limit_processes(const Member &member)
{
	for (const images::ResourceLimit &limit : member.image->limits()) {
		rlimit wanted = {.rlim_cur = limit.soft(), .rlim_max = limit.hard()};
		if (limit.resource() == RLIMIT_NPROC && prlimit(member.pid(), RLIMIT_NPROC, &wanted, nullptr))
			return errno_error(errno, "cannot set its limit of processes").on(name_of(*member.image));
	}
	return {};
}

Result<> Rings::restore()
{
	if (plan_.ring_steps.empty())
		return {};
	for (const Member *member : tree_.living())
		TRY(limit_processes(*member));
	parts_->builders.reserve(plan_.ring_steps.size());
	RingBuffers buffers(tree_, plan_, files_, pages_);
	TRY(buffers.prepare());
	for (const RingStep &step : plan_.ring_steps) {
		Tracee *maker = find_thread(tree_, step.maker.thread->tid());
		if (!maker)
			return Error(Code::kInternal, "nobody can set it up")
				.on(fmt::format("ring {}", step.ring->id()));
		TRY(parts_->builders.emplace_back(step, *maker, plan_, tree_, files_).build(buffers));
		const images::File *file = plan_.file(step.ring->file());
		if (file && fcntl(files_.fd(file->id()), F_SETFL, file->flags() & ~static_cast<uint32_t>(O_ASYNC)))
			return errno_error(errno, "cannot set its flags").on(name_of(*file));
	}
	TRY(buffers.finish());
	for (Member *member : tree_.living())
		TRY(map_rings(*member, plan_, files_));
	return {};
}

Result<> Rings::rearm()
{
	for (RingBuilder &builder : parts_->builders)
		TRY(builder.prepare_works());
	for (RingBuilder &builder : parts_->builders)
		TRY(builder.rearm());
	return {};
}

Result<> Rings::rearm_works()
{
	for (RingBuilder &builder : parts_->builders)
		TRY(builder.rearm_works());
	parts_->builders.clear();
	return {};
}

} // namespace bpfckpt::restore
