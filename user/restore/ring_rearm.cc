// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Requests that waited in a ring wait in it again (struct io_kiocb): each is submitted by the thread that had submitted
// it.
//
// Invariant: all files and all memory of the tree are as they were. A request that had not been woken finds nothing to
// do but to wait, and one that had been woken does what it would have done.
#include <algorithm>
#include <cerrno>

#include <poll.h>

#include "user/restore/ring_rearming.h"
#include "user/uring/provided.h"
#include "user/util/io.h"

namespace bpfckpt::restore {

using images::Request;
using target::Tracee;

namespace {

uint32_t count_of(std::span<const uring::Chain> chains)
{
	size_t count = 0;
	for (const uring::Chain &chain : chains)
		count += chain.size();
	return static_cast<uint32_t>(count);
}

bool are_of_one_thread(const Request &one, const Request &other)
{
	return one.tid() == other.tid() && one.exited_from() == other.exited_from();
}

// Neighbours that one thread had submitted go together; the order stays.
std::vector<std::vector<const uring::Chain *>> by_thread(std::span<const uring::Chain> chains)
{
	std::vector<std::vector<const uring::Chain *>> parts;
	for (const uring::Chain &chain : chains) {
		if (parts.empty() || !are_of_one_thread(*parts.back().front()->front(), *chain.front()))
			parts.emplace_back();
		parts.back().push_back(&chain);
	}
	return parts;
}

// A read that finds no buffer, and what it waited for has come since, is told so as it would have been.
bool finds_no_buffer(const images::Ring &ring, const Request &request, int result)
{
	return result == -ENOBUFS && (uring::looks_into_ring(ring, request) || uring::looks_into_empty(ring, request));
}

bool may_fail(const Request &request)
{
	return request.woken() || uring::is_work(request) || request.opcode() == images::IORING_OP_TIMEOUT ||
	       request.opcode() == images::IORING_OP_LINK_TIMEOUT || request.opcode() == images::IORING_OP_CONNECT;
}

// What was ready at the dump without a completion on its way has been told before. A timer may have expired since.
bool had_told(const Request &request, const Plan &plan, const OpenFiles &files)
{
	if (!uring::may_report_again(request))
		return false;
	const images::File *file = plan.file(request.file());
	if (!file || (file->kind() == "timerfd" && !file->timerfd().ticks()))
		return false;
	pollfd now = {.fd = files.fd(request.file()),
		      .events = static_cast<short>(request.poll_events() | POLLRDHUP),
		      .revents = 0};
	return poll(&now, 1, 0) == 1;
}

} // namespace

Result<Tracee *> Rearming::thread_of(const Request &request)
{
	if (ring_.has_sq_thread())
		return &ring_.maker;
	if (request.exited()) {
		pid_t pid = exited_from(ring_, request);
		if (auto it = helpers_.find(pid); it != helpers_.end())
			return &it->second;
		return &helpers_.emplace(pid, TRY(tree_.start_helper(pid))).first->second;
	}
	Tracee *thread = find_thread(tree_, request.tid());
	if (!thread)
		return make_error(Code::kInternal, "thread {} is not there", request.tid()).on(ring_.name());
	return thread;
}

Result<Submitter *> Rearming::submitter_of(const Request &request)
{
	Tracee *thread = TRY(thread_of(request));
	if (auto it = submitters_.find(thread->tid()); it != submitters_.end())
		return &it->second;
	auto it = submitters_.try_emplace(thread->tid(), ring_, *thread, files_).first;
	TRY(it->second.open());
	return &it->second;
}

Result<> Rearming::open(std::span<const uring::Chain> chains)
{
	for (const uring::Chain &chain : chains)
		TRY(submitter_of(*chain.front()));
	return {};
}

Result<> Rearming::submit(std::span<const uring::Chain> chains, uint32_t told)
{
	for (const std::vector<const uring::Chain *> &part : by_thread(chains)) {
		Submitter *submitter = TRY(submitter_of(*part.front()->front()));
		TRY(submitter->submit(part, head_));
		for (const uring::Chain *chain : part)
			head_ += static_cast<uint32_t>(chain->size());
		for (uint32_t i = 0; i < told && ring_.word(ring_.image.layout().cq_tail()) < told; i++)
			TRY(submitter->run_deferred());
	}
	return {};
}

Result<> Rearming::wait_for_workers()
{
	for (auto &[tid, submitter] : submitters_)
		TRY(submitter.wait_for_workers());
	return {};
}

Result<> Rearming::close()
{
	for (auto &[tid, submitter] : submitters_)
		TRY(submitter.close());
	submitters_.clear();
	for (auto &[pid, helper] : helpers_)
		TRY(Tree::end_helper(helper));
	helpers_.clear();
	return {};
}

Result<> Rearming::check() const
{
	const images::RingLayout &layout = ring_.image.layout();
	uint32_t tail = ring_.word(layout.cq_tail());
	for (uint32_t at = ring_.image.cq_tail(); at != tail; at++) {
		io_uring_cqe cqe = ring_.cqe(at);
		if (cqe.res >= 0 || cqe.res == -ECANCELED)
			continue;
		auto fits = [this, data = uint64_t{cqe.user_data}, result = int{cqe.res}](const Request &request) {
			return request.user_data() == data &&
			       (may_fail(request) || finds_no_buffer(ring_.image, request, result));
		};
		if (!std::ranges::any_of(ring_.image.in_flight(), fits))
			return make_error(Code::kInternal, "ends the request of user_data {:#x} at once: {}",
					  uint64_t{cqe.user_data}, strerror(-cqe.res))
				.on(ring_.name());
	}
	if (uint32_t submitted = ring_.word(layout.sq_head()); submitted != head_)
		return make_error(Code::kInternal, "has submitted {}, not {}", submitted, head_).on(ring_.name());
	return {};
}

pid_t exited_from(const NewRing &ring, const Request &request)
{
	return request.exited_from() ? static_cast<pid_t>(request.exited_from()) : ring.maker.pid();
}

Tracee *find_thread(Tree &tree, uint32_t tid)
{
	for (Member *member : tree.living())
		for (auto &[image, tracee] : member->all_threads())
			if (image->tid() == tid)
				return tracee;
	return nullptr;
}

Result<> rearm_reported(NewRing &ring, const Plan &plan, Tree &tree, const OpenFiles &files)
{
	auto rest = std::ranges::stable_partition(
		ring.waiting, [&](const uring::Chain &chain) { return had_told(*chain.front(), plan, files); });
	std::span<const uring::Chain> reported(ring.waiting.begin(), rest.begin());
	if (reported.empty())
		return {};
	auto count = static_cast<uint32_t>(reported.size());
	if (count > ring.image.cq_entries())
		return make_error(Code::kLimit, "has {} polls that are ready, and room for {}", count,
				  ring.image.cq_entries())
			.on(ring.name());
	uint32_t before = ring.word(ring.image.layout().cq_tail());
	Rearming rearming(ring, tree, files, ring.word(ring.image.layout().sq_head()));
	TRY(rearming.submit(reported, before + count));
	TRY(rearming.close());
	if (uint32_t told = ring.word(ring.image.layout().cq_tail()); told != before + count)
		return make_error(Code::kInternal, "tells {} of {} polls that are ready", told - before, count)
			.on(ring.name());
	ring.clear_sqes();
	ring.waiting.erase(ring.waiting.begin(), rest.begin());
	return {};
}

uint32_t next_submission(const NewRing &ring)
{
	return ring.image.sq_head() - count_of(ring.waiting) - ring.owed;
}

Result<> rearm_waiting(NewRing &ring, Tree &tree, const OpenFiles &files, size_t count)
{
	if (!count)
		return {};
	Rearming rearming(ring, tree, files, next_submission(ring));
	TRY(rearming.submit(std::span<const uring::Chain>(ring.waiting).first(count)));
	TRY(rearming.close());
	TRY(rearming.check());
	ring.waiting.erase(ring.waiting.begin(), ring.waiting.begin() + static_cast<ptrdiff_t>(count));
	return {};
}

} // namespace bpfckpt::restore
