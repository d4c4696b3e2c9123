// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/worker_limits.h"

#include <algorithm>

#include <sys/resource.h>
#include <unistd.h>

namespace bpfckpt::uring {

namespace {

// io_uring/tctx.c: io_init_wq_offload()
uint32_t default_bounded(const images::Ring &ring)
{
	return std::min(ring.sq_entries(), 4 * static_cast<uint32_t>(sysconf(_SC_NPROCESSORS_ONLN)));
}

// io_uring/io-wq.c: io_wq_create()
uint32_t default_unbounded(const images::Process &process)
{
	for (const images::ResourceLimit &limit : process.limits())
		if (limit.resource() == RLIMIT_NPROC)
			return static_cast<uint32_t>(limit.soft());
	return 0;
}

bool is_every_cpu(const std::string &mask)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	for (long cpu = 0; cpu < cpus; cpu++)
		if (static_cast<size_t>(cpu / 8) >= mask.size() || !(mask[static_cast<size_t>(cpu / 8)] >> cpu % 8 & 1))
			return false;
	return true;
}

} // namespace

std::optional<std::array<uint32_t, 2>> limits_to_set(const images::Document &document, const images::Process &process,
						     uint32_t tid)
{
	const images::TaskContext *found = nullptr;
	bool as_it_comes = true;
	uint32_t unbounded = default_unbounded(process);
	for (const images::Ring &ring : document.rings())
		for (const images::TaskContext &task : ring.tasks()) {
			if (task.tid() != tid)
				continue;
			found = &task;
			as_it_comes &= task.bounded_max() ==
				       (ring.bounded_limit() ? ring.bounded_limit() : default_bounded(ring));
			as_it_comes &=
				task.unbounded_max() == (ring.unbounded_limit() ? ring.unbounded_limit() : unbounded);
		}
	if (!found || as_it_comes)
		return std::nullopt;
	return std::array{found->bounded_max(), found->unbounded_max() == unbounded ? 0 : found->unbounded_max()};
}

const std::string *cpus_to_set(const images::Ring &ring, uint32_t tid)
{
	for (const images::TaskContext &task : ring.tasks())
		if (task.tid() == tid && !task.affinity().empty() && !is_every_cpu(task.affinity()))
			return &task.affinity();
	return nullptr;
}

} // namespace bpfckpt::uring
