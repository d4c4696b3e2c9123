/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// The parts of a ring, a file each.
#pragma once

#include <linux/io_uring.h>

#include "user/restore/ring.h"
#include "user/restore/ring_memory.h"
#include "user/uring/rearm.h"
#include "user/util/uring_abi.h"

namespace bpfckpt::restore {

// Newer than the headers of the oldest build machine.
constexpr uint32_t kSetupRegisteredFdOnly = 1U << 15;
constexpr unsigned kRegisterClock = 29;
constexpr unsigned kSparse = 1; // IORING_RSRC_REGISTER_SPARSE

// In the table of a process that has no other descriptors: bpfckpt, as pidfd. A ring that is being made has the
// highest.
constexpr int kToolNumber = 0;

struct NewRing {
	const images::Ring &image;
	uring::CounterSteps steps;
	target::Tracee &maker;                  // sets it up; buffers are its memory
	std::vector<uring::Chain> waiting = {}; // still to be submitted
	uint32_t owed = 0;                      // so are NOPs that are completions which are to come: ring_owed.h
	int number = -1;                        // in the maker's table, while it is being made
	int fd = -1;                            // here
	io_uring_params params = {};
	RingMemory queues = {}; // struct io_rings, CQEs, SQ array
	RingMemory sqes = {};

	[[nodiscard]] std::string name() const { return fmt::format("ring {}", image.id()); }
	// A counter or the like in `queues`.
	[[nodiscard]] uint32_t word(uint32_t offset) const { return queues.load(offset); }
	void set_word(uint32_t offset, uint32_t value) const { queues.store(offset, value); }
	// A submission, and its place in the SQ array if there is one.
	void set_sqe(uint32_t at, const io_uring_sqe &sqe) const;
	// Back to what says nothing: NOPs.
	void clear_sqes() const;
	[[nodiscard]] io_uring_cqe cqe(uint32_t at) const;
	[[nodiscard]] bool is_in_user_memory() const { return image.flags() & kSetupNoMmap; }
	[[nodiscard]] bool has_sq_thread() const { return image.flags() & IORING_SETUP_SQPOLL; }
	// CQEs that the program has not read; all of them if there are more than fit.
	[[nodiscard]] uint32_t unread() const
	{
		return image.overflow_size() ? image.cq_entries() : image.cq_tail() - image.cq_head();
	}
	// Where the CQ head may be once the tail is here.
	[[nodiscard]] uint32_t read_up_to(uint32_t tail) const
	{
		return image.cq_tail() - tail >= unread() ? tail : image.cq_tail() - unread();
	}
};

// io_uring_register(2) by bpfckpt. Errors: that of the call, with `what`.
Result<int> register_here(const NewRing &ring, unsigned opcode, const void *arg, unsigned count, const char *what);

// Lets the kernel take what lies in the SQ up to `tail`: by the maker, or by the ring's SQ thread.
Result<> take_submissions(const NewRing &ring, uint32_t tail);
// The second: it looks at the SQ as it is, and sleeps again some time after.
void wake_sq_thread(const NewRing &ring);

Result<> register_files(const NewRing &ring, const OpenFiles &files);
// IORING_REGISTER_MEM_REGION, with its content.
Result<> register_region(const NewRing &ring);
Result<> register_napi(const NewRing &ring);
Result<> register_personalities(const NewRing &ring);
// io-wq's limits for all threads that use the ring, and the CPUs of the workers of its SQ thread.
Result<> register_worker_limits(const NewRing &ring);
Result<> register_restrictions(const NewRing &ring);
// Last: what is posted before must not signal it.
Result<> register_eventfd(const NewRing &ring, const OpenFiles &files);

// The groups of provided buffers, by requests that are done at once.
Result<> provide_buffers(const NewRing &ring);

// By requests that do nothing. Leaves the head of the CQ where it was.
Result<> align_counters(NewRing &ring, const OpenFiles &files);

// Polls for edges that tell at once what they had told before: submitted first, and what they tell is part of the
// counters then. Takes them from ring.waiting.
Result<> rearm_reported(NewRing &ring, const Plan &plan, Tree &tree, const OpenFiles &files);
// The place in the SQ of the next of ring.waiting.
[[nodiscard]] uint32_t next_submission(const NewRing &ring);
// The next `count` chains of ring.waiting, which go from there. The counters are right but for these, the eventfd is
// registered: what they tell is for the program.
Result<> rearm_waiting(NewRing &ring, Tree &tree, const OpenFiles &files, size_t count);

// The process that a thread is to come and go in, for a request of one that has exited.
[[nodiscard]] pid_t exited_from(const NewRing &ring, const images::Request &request);
[[nodiscard]] target::Tracee *find_thread(Tree &tree, uint32_t tid);

// Mappings and registered indexes of a process.
Result<> map_rings(Member &member, const Plan &plan, const OpenFiles &files);

} // namespace bpfckpt::restore
