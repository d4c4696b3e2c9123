// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/ring_message.h"

#include <sys/syscall.h>
#include <unistd.h>

namespace bpfckpt::restore {

static constexpr uint32_t kMsgRingFlagsPass = 1U << 1; // IORING_MSG_RING_FLAGS_PASS (v6.3)
static constexpr unsigned kRegisterSendMsgRing = 31;   // IORING_REGISTER_SEND_MSG_RING (v6.13)

static io_uring_sqe message_to(int fd, const images::Cqe &cqe)
{
	io_uring_sqe message = {};
	message.opcode = IORING_OP_MSG_RING;
	message.fd = fd;
	message.off = cqe.user_data();
	message.len = static_cast<uint32_t>(cqe.res());
	if (cqe.flags()) {
		message.rw_flags = kMsgRingFlagsPass;
		message.file_index = cqe.flags();
	}
	return message;
}

void Messenger::Exit::operator()(io_uring *ring) const
{
	::io_uring_queue_exit(ring);
	delete ring;
}

Result<> Messenger::have_own_ring()
{
	if (own_)
		return {};
	auto made = std::make_unique<io_uring>();
	if (int error = ::io_uring_queue_init(kMostBlank, made.get(), 0); error < 0)
		return errno_error(-error, "cannot set up a ring to send completions from");
	own_.reset(made.release());
	return {};
}

// To a ring with DEFER_TASKRUN the message itself is told done only when it was fetched (v6.3 to v6.10), by a thread
// that is stopped now: so that is not waited for.
Result<> Messenger::submit(unsigned count)
{
	if (int submitted = ::io_uring_submit(own_.get()); submitted != static_cast<int>(count))
		return errno_error(submitted < 0 ? -submitted : EAGAIN, "cannot be sent a completion").on(ring_.name());
	io_uring_cqe *told = nullptr;
	while (::io_uring_peek_cqe(own_.get(), &told) == 0) {
		int result = told->res;
		::io_uring_cqe_seen(own_.get(), told);
		if (result < 0)
			return errno_error(-result, "cannot be sent a completion").on(ring_.name());
	}
	return {};
}

Result<> Messenger::post_from_own_ring(const io_uring_sqe &message)
{
	TRY(have_own_ring());
	*::io_uring_get_sqe(own_.get()) = message;
	return submit(1);
}

Result<> Messenger::post_blank(uint32_t count)
{
	TRY(have_own_ring());
	io_uring_sqe message = message_to(ring_.fd, {});
	message.flags = IOSQE_CQE_SKIP_SUCCESS;
	for (uint32_t i = 0; i < count; i++)
		*::io_uring_get_sqe(own_.get()) = message;
	return submit(count);
}

Result<> Messenger::post(const images::Cqe &cqe)
{
	io_uring_sqe message = message_to(ring_.fd, cqe);
	if (!own_ && syscall(SYS_io_uring_register, -1, kRegisterSendMsgRing, &message, 1) == 0)
		return {};
	// What a kernel that has the call refuses, it refuses from a ring, too: the error comes from there.
	return post_from_own_ring(message);
}

images::Cqe completion_of(const images::Request &request)
{
	images::Cqe cqe;
	cqe.set_user_data(request.user_data());
	cqe.set_res(request.result());
	cqe.set_flags(request.completion_flags());
	return cqe;
}

// From a ring to itself, which is as good as to another.
bool can_post_flags()
{
	io_uring ring = {};
	if (::io_uring_queue_init(1, &ring, 0) < 0)
		return false;
	images::Cqe cqe;
	cqe.set_flags(IORING_CQE_F_MORE);
	*::io_uring_get_sqe(&ring) = message_to(ring.ring_fd, cqe);
	io_uring_cqe *told = nullptr;
	bool known = ::io_uring_submit_and_wait(&ring, 1) == 1 && ::io_uring_peek_cqe(&ring, &told) == 0 &&
		     told->res != -EINVAL;
	::io_uring_queue_exit(&ring);
	return known;
}

} // namespace bpfckpt::restore
