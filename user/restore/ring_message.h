/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Completions that no submission of the ring itself makes: posted as messages of another ring (io_uring/msg_ring.c).
#pragma once

#include <memory>

#include <liburing.h>

#include "user/restore/ring_parts.h"

namespace bpfckpt::restore {

// Of a request that was done at the dump.
images::Cqe completion_of(const images::Request &request);

class Messenger {
public:
	explicit Messenger(const NewRing &ring) : ring_(ring) {}
	// With DEFER_TASKRUN it waits until the issuer comes for it.
	Result<> post(const images::Cqe &cqe);
	// Completions that say nothing, at most kMostBlank, in one submission.
	Result<> post_blank(uint32_t count);
	static constexpr uint32_t kMostBlank = 256;

private:
	struct Exit {
		void operator()(io_uring *ring) const;
	};
	Result<> have_own_ring();
	Result<> submit(unsigned count);
	Result<> post_from_own_ring(const io_uring_sqe &message);

	const NewRing &ring_;
	std::unique_ptr<io_uring, Exit> own_; // where the kernel wants one, or there are many
};

// Whether messages can carry flags on this kernel (since v6.3).
bool can_post_flags();

} // namespace bpfckpt::restore
