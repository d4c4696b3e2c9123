// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/ring_signalfd.h"

#include <optional>
#include <span>

#include <sys/syscall.h>

#include "images/descriptors.h"
#include "user/uring/restorable_polls.h"

namespace bpfckpt::restore {

void find_late_signalfds(const uring::RingHolders &holders, Plan &plan)
{
	auto file_of = [&plan](uint32_t id) { return plan.file(id); };
	for (const images::Ring &ring : plan.document->rings())
		for (const images::Request &request : ring.in_flight()) {
			uring::Maker submitter =
				ring.has_sq_thread() ? holders.maker_of(ring) : holders.thread_of(request.tid());
			uint32_t id = submitter.process ? uring::signalfd_of(ring, request, submitter.process, file_of)
							: 0; // refused by check_rings()
			if (id)
				plan.late_signalfds[id] = static_cast<pid_t>(submitter.process->pid());
		}
}

static Result<> set_mask(Member &member, uint32_t number, uint64_t mask)
{
	target::Tracee &leader = member.leader;
	TRY(leader.write(leader.slot().address, std::as_bytes(std::span(&mask, 1))));
	uint64_t args[] = {number, leader.slot().address, sizeof(mask), 0};
	int64_t result = TRY(leader.call_to_exit_stop(SYS_signalfd4, args));
	if (result < 0)
		return errno_error(static_cast<int>(-result), "cannot set the mask of descriptor {}", number)
			.on(name_of(*member.image));
	return {};
}

Result<> set_signalfd_masks(Member &member, const Plan &plan)
{
	for (auto [id, pid] : plan.late_signalfds) {
		if (pid != member.pid())
			continue;
		std::optional<uint32_t> number = images::descriptor_of(*member.image, id);
		if (!number)
			return Error(Code::kInternal, "has no descriptor of a signalfd that it waits on")
				.on(name_of(*member.image));
		TRY(set_mask(member, *number, plan.file(id)->signalfd().mask()));
	}
	return {};
}

} // namespace bpfckpt::restore
