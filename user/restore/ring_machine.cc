// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Rings of the images against this kernel.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <set>

#include <liburing.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "user/restore/ring_message.h"
#include "user/restore/ring_owed.h"
#include "user/util/mapping.h"
#include "user/util/unique_fd.h"

namespace bpfckpt::restore {

static std::string name_of(const images::Ring &ring)
{
	return fmt::format("ring {}", ring.id());
}

// What a NOP takes here, as part of the time that uring::time_of() goes by. 1: that could not be found out.
static double measure_nops()
{
	using Clock = std::chrono::steady_clock;
	constexpr unsigned kBatch = 256, kBatches = 64;
	io_uring ring = {};
	if (::io_uring_queue_init(kBatch, &ring, 0) < 0)
		return 1;
	auto shortest = Clock::duration::max();
	auto start = Clock::now();
	for (unsigned batch = 0; batch < kBatches; batch++) {
		for (unsigned i = 0; i < kBatch; i++)
			::io_uring_prep_nop(::io_uring_get_sqe(&ring));
		if (::io_uring_submit(&ring) != kBatch)
			break;
		::io_uring_cq_advance(&ring, kBatch);
		auto end = Clock::now();
		shortest = std::min(shortest, end - start);
		start = end;
	}
	::io_uring_queue_exit(&ring);
	// That of one undisturbed batch, and half as much again for the others.
	double part = 1.5 * shortest / (kBatch * uring::kTimeOfNop);
	return std::min(part, 1.0);
}

static double seconds_by_rule(const RingStep &step)
{
	return std::chrono::duration<double>(uring::time_of(step.counters, *step.ring)).count();
}

// What is short by the rule is not worth a measurement.
double ring_counter_seconds(const Plan &plan)
{
	constexpr double kShort = 0.1;
	double seconds = 0;
	for (const RingStep &step : plan.ring_steps)
		seconds += seconds_by_rule(step);
	if (seconds <= kShort)
		return seconds;
	static const double kPart = measure_nops();
	return kPart * seconds;
}

std::vector<RebasedRing> rebase_rings(Plan &plan, images::Document &document, const MachineOptions &options)
{
	std::vector<RebasedRing> rebased;
	if (options.rebase == uring::Rebase::kNone)
		return rebased;
	std::vector<RingStep *> slowest;
	slowest.reserve(plan.ring_steps.size());
	for (RingStep &step : plan.ring_steps)
		slowest.push_back(&step);
	std::ranges::stable_sort(slowest, std::ranges::greater(),
				 [](const RingStep *step) { return seconds_by_rule(*step); });
	for (RingStep *step : slowest) {
		if (ring_counter_seconds(plan) <= options.ring_counter_seconds)
			break;
		images::Ring &ring = *std::ranges::find(*document.mutable_rings(), step->ring->id(), &images::Ring::id);
		RebasedRing was = {&ring, ring.sq_head(), ring.cq_tail()};
		if (!uring::rebase_counters(options.rebase, ring))
			continue;
		step->counters = uring::counter_steps(ring);
		rebased.push_back(was);
	}
	return rebased;
}

static const char *rebase_hint(uring::Rebase rebase)
{
	switch (rebase) {
	case uring::Rebase::kNone:
		return "; --rebase-counters cq|all begins with others, for programs that keep no copies of them";
	case uring::Rebase::kCq:
		return "; --rebase-counters all begins with others, but not for programs with liburing";
	default:
		return "";
	}
}

static void check_counters(const Plan &plan, const MachineOptions &options, Findings &findings)
{
	double all = ring_counter_seconds(plan);
	if (all <= options.ring_counter_seconds)
		return;
	const RingStep &slowest = *std::ranges::max_element(plan.ring_steps, {}, seconds_by_rule);
	findings.push_back(
		make_error(Code::kUnsupported,
			   "{} submissions and {} completions have gone through it: counting up to them, and "
			   "to those of the {} other rings, would take about {:.0f} s",
			   slowest.ring->sq_head(), slowest.ring->cq_tail(), plan.ring_steps.size() - 1, std::ceil(all))
			.on(name_of(*slowest.ring))
			.with_hint(fmt::format("--ring-counter-budget {:.0f}{}", std::ceil(all),
					       rebase_hint(options.rebase))));
}

// Where counters and CQEs begin is the same for all rings of a kernel (struct io_rings).
static std::optional<io_uring_params> own_layout(Findings &findings)
{
	io_uring_params params = {};
	UniqueFd fd(static_cast<int>(syscall(SYS_io_uring_setup, 1, &params)));
	if (fd.valid())
		return params;
	Error error = errno_error(errno, "no ring can be set up here").on("io_uring");
	if (error.sys_errno == EPERM || error.sys_errno == ENOSYS)
		error.hint = "sysctl kernel.io_uring_disabled must be 0, or 1 with CAP_SYS_ADMIN";
	findings.push_back(std::move(error));
	return std::nullopt;
}

static void check_layout(const images::Ring &ring, const io_uring_params &own, Findings &findings)
{
	const images::RingLayout &was = ring.layout();
	if (was.sq_head() != own.sq_off.head || was.sq_tail() != own.sq_off.tail || was.cq_head() != own.cq_off.head ||
	    was.cq_tail() != own.cq_off.tail || was.cqes() != own.cq_off.cqes)
		findings.push_back(Error(Code::kMismatch, "lies otherwise in memory on this kernel")
					   .on(name_of(ring))
					   .with_hint("restore on the kernel of the dump"));
}

static bool has_completion_with_flags(const images::Ring &ring)
{
	uring::OwedCompletions owed = uring::owed_completions(ring);
	return owed.plain < owed.all;
}

static bool has_completion_with_result(const images::Ring &ring)
{
	auto has_result = [](const images::Cqe &cqe) { return cqe.res() != 0; };
	return std::ranges::any_of(ring.overflow(), has_result) || std::ranges::any_of(ring.messages(), has_result) ||
	       std::ranges::any_of(ring.in_flight(), [](const images::Request &request) {
		       return uring::owes_completion(request) && request.result();
	       });
}

// The head of a ring of buffers is moved by receives that take several at once.
static void check_buffers(const images::Ring &ring, const io_uring_params &own, Findings &findings)
{
	static constexpr uint32_t kBundles = 1U << 14; // IORING_FEAT_RECVSEND_BUNDLE
	bool used = std::ranges::any_of(ring.buffer_groups(),
					[](const images::BufferGroup &group) { return group.ring() && group.head(); });
	if (used && !(own.features & kBundles))
		findings.push_back(Error(Code::kKernelLacks, "has a ring of provided buffers that has been taken from")
					   .on(name_of(ring))
					   .with_hint("Linux 6.10 and newer can bring it to its position"));
}

// All mappings that a registered buffer lies in may have to be of one file, or of none: seen on v6.1, no longer on
// v6.12 (io_uring/rsrc.c: io_pin_pages()).
static bool takes_buffers_across_files()
{
	UniqueFd file(memfd_create("bpfckpt-probe", MFD_CLOEXEC));
	Result<Mapping> area = Mapping::create(2 * kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	io_uring ring = {};
	if (!area || ::ftruncate(file.get(), kPageSize) ||
	    ::mmap(area->data(), kPageSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file.get(), 0) ==
		    MAP_FAILED ||
	    ::io_uring_queue_init(1, &ring, 0) < 0)
		return true; // then something else will tell what is lacking
	iovec buffer = {area->data(), 2 * kPageSize};
	bool taken = ::io_uring_register_buffers(&ring, &buffer, 1) != -EINVAL;
	::io_uring_queue_exit(&ring);
	return taken;
}

// Of the mappings that restore puts together for it (restore/pinned_memory.h). 0: no file.
static std::set<uint32_t> objects_below(const images::FixedBuffer &buffer, const images::Memory &memory)
{
	std::set<uint32_t> objects;
	auto add_mapped = [&](uint64_t start, uint64_t end) {
		auto vma = std::ranges::upper_bound(memory.vmas(), start, {}, &images::Vma::end);
		for (; vma != memory.vmas().end() && vma->start() < end; ++vma)
			objects.insert(vma->shared_memory());
	};
	uint64_t at = buffer.address();
	for (const images::PinnedRun &run : buffer.elsewhere()) {
		if (at < run.start())
			add_mapped(at, run.start());
		at = run.start() + run.length();
		if (run.moved_to())
			add_mapped(run.moved_to(), run.moved_to() + run.length());
		else
			objects.insert(run.shared_memory());
	}
	if (at < buffer.address() + buffer.length())
		add_mapped(at, buffer.address() + buffer.length());
	return objects;
}

static void check_pinned(const Plan &plan, const images::Ring &ring, Findings &findings)
{
	for (const images::FixedBuffer &buffer : ring.buffers()) {
		auto memory = std::ranges::find(plan.document->memory(), buffer.address_space(), &images::Memory::id);
		if (!buffer.elsewhere_size() || memory == plan.document->memory().end() ||
		    objects_below(buffer, *memory).size() < 2)
			continue;
		static const bool kTaken = takes_buffers_across_files();
		if (!kTaken)
			findings.push_back(
				Error(Code::kKernelLacks,
				      fmt::format("buffer {} has pages of more than one memory object", buffer.slot()))
					.on(name_of(ring))
					.with_hint("Linux 6.12 and newer take it"));
	}
}

void check_rings(const Plan &plan, const MachineOptions &options, Findings &findings)
{
	if (plan.ring_steps.empty())
		return;
	check_counters(plan, options, findings);
	std::optional<io_uring_params> own = own_layout(findings);
	if (!own)
		return;
	for (const RingStep &step : plan.ring_steps) {
		check_layout(*step.ring, *own, findings);
		check_buffers(*step.ring, *own, findings);
		check_pinned(plan, *step.ring, findings);
		if (step.counters.owed && has_completion_with_result(*step.ring) && !can_inject_results())
			findings.push_back(Error(Code::kKernelLacks, "has to make completions by requests of its own")
						   .on(name_of(*step.ring))
						   .with_hint("Linux 6.10 and newer can (IORING_NOP_INJECT_RESULT)"));
		if (step.counters.wide && !can_make_wide_completions())
			findings.push_back(
				Error(Code::kKernelLacks,
				      fmt::format(
					      "has {} completions of 32 bytes in its overflow list, which a request "
					      "has to make",
					      step.counters.wide))
					.on(name_of(*step.ring))
					.with_hint("Linux 6.18 and newer can (IORING_NOP_CQE32)"));
		if (has_completion_with_flags(*step.ring) && !can_post_flags())
			findings.push_back(
				Error(Code::kKernelLacks,
				      "has completions with flags that no submission of its own makes")
					.on(name_of(*step.ring))
					.with_hint("Linux 6.3 and newer can post them (IORING_MSG_RING_FLAGS_PASS)"));
	}
}

} // namespace bpfckpt::restore
