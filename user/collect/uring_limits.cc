// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What of a ring no restore knows yet: a finding for each, by name. The one list of it; docs/support.md says the same.
#include <algorithm>
#include <map>

#include <linux/io_uring.h>
#include <unistd.h>

#include "user/collect/uring_index.h"
#include "user/uring/counters.h"
#include "user/uring/rearm.h"
#include "user/util/uring_abi.h"

namespace bpfckpt::collect {

namespace {

// Setup flags newer than the headers of the oldest build machine.
// All that are known, up to IORING_SETUP_SQ_REWIND.
constexpr uint32_t kKnownFlags = (1U << 21) - 1;

// enum io_uring_napi_tracking_strategy
constexpr uint32_t kNapiDynamic = 0;
constexpr uint32_t kNapiOff = 255;

struct SetupFlag {
	uint32_t flag;
	const char *state;
	const char *hint;
};

constexpr SetupFlag kRefusedFlags[] = {
	{1U << 19, "it has SQEs of two sizes (IORING_SETUP_SQE_MIXED)", "set it up with IORING_SETUP_SQE128"},
	{1U << 20, "it rewinds its submission queue (IORING_SETUP_SQ_REWIND)", "set it up without that flag"},
};

class Refusals {
public:
	Refusals(Context &context, images::Ring &ring) : context_(context), ring_(ring) {}
	void add(const std::string &state, std::string hint = "dump --forensic keeps what can be read of it")
	{
		ring_.add_unsupported(state);
		context_.refuse(fmt::format("ring {}", ring_.id()), state, std::move(hint));
	}

private:
	Context &context_;
	images::Ring &ring_;
};

void refuse_setup(const uring_ring_record &record, Refusals &refusals)
{
	for (const SetupFlag &entry : kRefusedFlags)
		if (record.flags & entry.flag)
			refusals.add(entry.state, entry.hint);
	if (record.flags & ~kKnownFlags)
		refusals.add(fmt::format("it was set up with flags {:#x}, which this version does not know",
					 record.flags & ~kKnownFlags),
			     "set it up without them, or use a newer bpfckpt");
	if (record.state & URING_COMPAT)
		refusals.add("it was set up by a 32-bit program", "only rings of 64-bit programs can be dumped");
	if (record.state & URING_SUBMITTER_DEAD)
		refusals.add("the only thread that may submit to it has exited", "close the ring");
	if (record.state & URING_ZCRX)
		refusals.add("it receives without copying (IORING_REGISTER_ZCRX_IFQ)",
			     "receive by IORING_OP_RECV, in a ring without such a queue");
	if (record.state & URING_BPF)
		refusals.add("BPF programs are attached to it", "detach them before the dump");
	if (record.napi_mode != kNapiOff && record.napi_mode != kNapiDynamic)
		refusals.add("it polls network queues by their numbers (IO_URING_NAPI_TRACKING_STATIC)",
			     "let it find them by the sockets in use (IO_URING_NAPI_TRACKING_DYNAMIC)");
	if (record.param_region_npages > URING_MOST_REGION_PAGES)
		refusals.add(fmt::format("a memory region of {} pages is registered with it, {} are taken over",
					 record.param_region_npages, URING_MOST_REGION_PAGES),
			     "register a smaller one");
	if (record.state & URING_TAG_WAITS)
		refusals.add("the tag of a replaced resource is still to be told",
			     "let what was submitted before it was replaced end");
	if (record.state & URING_DRAIN_NEXT)
		refusals.add("its next request waits for all before it, because a chain did (IOSQE_IO_DRAIN)",
			     "set IOSQE_IO_DRAIN on the first request of a chain");
	if (record.state & URING_TRUNCATED)
		refusals.add("a list of it does not end");
	constexpr long kCpus = 64L * URING_CPU_WORDS;
	if (sysconf(_SC_NPROCESSORS_CONF) > kCpus)
		refusals.add(fmt::format("its workers may run on CPUs beyond {}, which are not read", kCpus - 1));
}

// A limit is that of the ring for threads to come, and each thread's own, which another ring may have set since. That
// of an SQ thread is set with its ring.
void refuse_worker_limits(const images::Ring &ring, Refusals &refusals)
{
	if (!ring.bounded_limit() && !ring.unbounded_limit())
		return;
	for (const images::TaskContext &task : ring.tasks())
		if (ring.has_sq_thread() && task.tid() == ring.sq_thread().tid() &&
		    ((ring.bounded_limit() && task.bounded_max() != ring.bounded_limit()) ||
		     (ring.unbounded_limit() && task.unbounded_max() != ring.unbounded_limit())))
			refusals.add(
				fmt::format("limits for its workers are set (IORING_REGISTER_IOWQ_MAX_WORKERS), and "
					    "thread {} has others",
					    task.tid()),
				"set the same limits for all rings of a thread");
}

// Pages of a file that nobody has open, of another process, more than are read, or among too many mappings to look for.
bool is_out_of_reach(const images::FixedBuffer &buffer)
{
	return std::ranges::any_of(buffer.elsewhere(), [](const images::PinnedRun &run) {
		return !run.moved_to() && !run.shared_memory() && !run.has_offset();
	});
}

void refuse_registered(const images::Ring &ring, bool compared, bool live, Refusals &refusals)
{
	refuse_worker_limits(ring, refusals);
	if (ring.flags() & kSetupNoMmap && (!ring.cq_user_address() || !ring.sq_user_address()))
		refusals.add(
			"its queues are memory of the program (IORING_SETUP_NO_MMAP) that is not where the program "
			"could see it",
			"it has been unmapped, discarded or copied: set up the ring anew");
	if (ring.region_of_user() && !ring.region_user_address())
		refusals.add("the memory region that is registered with it is not where the program could see it",
			     "it has been unmapped, discarded or copied: set up the ring anew");
	for (const images::BufferGroup &group : ring.buffer_groups())
		if (group.ring() && !group.kernel_memory() && !group.user_address())
			refusals.add(fmt::format("the memory of buffer ring {} is not where the program could see it",
						 group.id()),
				     "it has been unmapped, discarded or copied: register the ring of buffers anew");
	if (ring.disabled() && (ring.sq_head() || ring.cq_tail()))
		refusals.add("it is not enabled yet (IORING_SETUP_R_DISABLED) and has been used all the same");
	for (const images::FixedBuffer &buffer : ring.buffers()) {
		if (!live && is_out_of_reach(buffer))
			refusals.add(
				fmt::format(
					"the pages of buffer {} are no longer those at its address, and cannot be read",
					buffer.slot()),
				"it is cut off from the memory that the program sees: register it anew");
		if (!compared && !buffer.kernel_buffer())
			refusals.add(fmt::format("the pages of buffer {} could not be compared with those at its "
						 "address",
						 buffer.slot()),
				     "the page map shows them to CAP_SYS_ADMIN only");
		if (buffer.kernel_buffer())
			refusals.add(fmt::format("buffer {} belongs to the kernel", buffer.slot()),
				     "unregister it: its driver (ublk) has lent it");
		if (buffer.shared() && !buffer.object())
			refusals.add(fmt::format("buffer {} is shared with a ring outside of the tree", buffer.slot()),
				     "dump the tree that has both rings");
	}
	for (const images::FixedFile &file : ring.fixed_files())
		if (!file.file())
			refusals.add(fmt::format("the file in slot {} could not be described", file.slot()));
	if (ring.has_eventfd() && !ring.eventfd().file() && !ring.eventfd().unreadable())
		refusals.add("its eventfd is held by others than this tree",
			     "dump the tree that reads it too, or unregister it (IORING_UNREGISTER_EVENTFD)");
}

// Only a NOP can be such a completion, and only where it has room for the second half (v6.18, IORING_NOP_CQE32).
void refuse_overflow(const images::Ring &ring, const iterators::KernelLayout &layout, Refusals &refusals)
{
	if (layout.field("io_nop", "extra1"))
		return;
	if (auto count = std::ranges::count_if(ring.overflow(), uring::has_second_half))
		refusals.add(fmt::format("{} completions of 32 bytes are in its overflow list", count),
			     "they are taken over when the program reads its completions; Linux 6.18 and newer can "
			     "make them again");
}

std::string name_of(const images::Request &request)
{
	const std::string &name = images::Opcode_Name(request.opcode());
	return name.empty() ? fmt::format("opcode {}", static_cast<int>(request.opcode())) : name;
}

// "IORING_OP_RECV x 2, IORING_OP_TIMEOUT"
std::string names_of(const std::map<std::string, unsigned> &counts)
{
	std::string text;
	for (const auto &[name, count] : counts)
		text += (text.empty() ? "" : ", ") + (count > 1 ? fmt::format("{} x {}", name, count) : name);
	return text;
}

// What waits is judged with all else that is known of the tree (user/uring/restorable.cc). `at_rest`: what has not
// finished will not do so in a moment.
void refuse_requests(const images::Ring &ring, bool at_rest, Refusals &refusals)
{
	std::map<std::string, unsigned> unfinished;
	for (const images::Request &request : ring.in_flight()) {
		if (request.class_() == images::Request::UNKNOWN)
			refusals.add(fmt::format("{} (user_data {:#x}, {}) cannot be submitted again: {}",
						 name_of(request), request.user_data(), request.where(),
						 request.obstacle().empty() ? "what is queued for it is not known"
									    : request.obstacle()));
		else if (request.class_() == images::Request::BOUNDED)
			unfinished[name_of(request)]++;
		else if (request.class_() == images::Request::COMPLETED && at_rest)
			if (std::string obstacle = uring::completion_obstacle(ring, request); !obstacle.empty())
				refusals.add(fmt::format("{} (user_data {:#x}) is done and not told yet: {}",
							 name_of(request), request.user_data(), obstacle),
					     "try again");
	}
	if (!unfinished.empty() && at_rest)
		refusals.add(fmt::format("requests have not finished: {}", names_of(unfinished)),
			     "a longer --drain-timeout gives them more time");
	if (!ring.complete() && at_rest)
		refusals.add(
			fmt::format("{} requests were found, the kernel counts {}",
				    static_cast<uint32_t>(ring.in_flight_size()) + ring.notifications(),
				    ring.in_flight_count()),
			"requests on no list are disk I/O, notifications of zero-copy sends, or descriptors on their "
			"way to another ring: try again when they are done");
}

} // namespace

void refuse_unsupported(const uring_ring_record &record, const RingChecks &checks,
			const iterators::KernelLayout &layout, Context &context, images::Ring &ring)
{
	Refusals refusals(context, ring);
	refuse_setup(record, refusals);
	refuse_registered(ring, checks.buffers.compared, context.live, refusals);
	refuse_overflow(ring, layout, refusals);
	refuse_requests(ring, !context.live || checks.stuck.contains(record.ring), refusals);
}

} // namespace bpfckpt::collect
