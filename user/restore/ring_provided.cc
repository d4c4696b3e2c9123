// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Provided buffers (struct io_buffer_list, io_uring/kbuf.c).
//
// A ring of buffers has a position that is the kernel's alone, a free-running 16-bit counter. It begins at 0 and moves
// when requests take buffers: here, receives from a socket of ours which take many at once (IORING_RECVSEND_BUNDLE),
// while all of the ring's entries name one byte of scratch memory. The ring's own content is the program's to write; it
// comes back afterwards. Classic buffers are provided by requests like those that the program had made.
#include <algorithm>

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/restore/buffer_ring.h"
#include "user/uring/provided.h"
#include "user/util/io.h"
#include "user/util/page.h"

namespace bpfckpt::restore {

using images::BufferGroup;
using target::SyscallBatch;

namespace {

// Newer than the headers of the oldest build machine.
constexpr uint16_t kKernelMemory = 1; // IOU_PBUF_RING_MMAP
constexpr uint16_t kIncremental = 2;  // IOU_PBUF_RING_INC

// struct io_uring_buf_reg
struct RingRegistration {
	uint64_t address;
	uint32_t entries;
	uint16_t id;
	uint16_t flags;
	uint32_t min_left;
	uint32_t reserved[5];
};

class Provider {
public:
	explicit Provider(const NewRing &ring) : ring_(ring), takers_(ring.image) {}
	Result<> run();

private:
	Result<> open_source();
	Result<> close_source();
	Result<> provide(const BufferGroup &group);
	Result<> register_ring(const BufferGroup &group);
	Result<> advance(const BufferGroup &group, uint16_t wanted, BufferRing &memory);
	Result<int32_t> submit(const io_uring_sqe &sqe);

	const NewRing &ring_;
	uring::Takers takers_;
	UniqueFd peer_;        // what is written to it can be received
	int number_ = -1;      // from this, in the maker
	uint64_t scratch_ = 0; // in the maker
};

// One request, which is done at once. Gives its result.
Result<int32_t> Provider::submit(const io_uring_sqe &sqe)
{
	const images::RingLayout &layout = ring_.image.layout();
	uint32_t head = ring_.word(layout.sq_head()), tail = ring_.word(layout.cq_tail());
	ring_.set_sqe(head, sqe);
	TRY(take_submissions(ring_, head + 1));
	if (ring_.word(layout.cq_tail()) != tail + 1)
		return Error(Code::kInternal, "does not tell that buffers were provided or taken").on(ring_.name());
	ring_.set_word(layout.cq_head(), ring_.read_up_to(tail + 1));
	return ring_.cqe(tail).res;
}

// --- classic -------------------------------------------------------------------------------------------------------

Result<> Provider::provide(const BufferGroup &group)
{
	for (const uring::ProvidedRun &run : uring::runs_of(group, takers_)) {
		io_uring_sqe sqe = {};
		sqe.opcode = IORING_OP_PROVIDE_BUFFERS;
		sqe.fd = static_cast<int>(run.count);
		sqe.addr = run.first.address();
		sqe.len = run.first.length();
		sqe.off = run.first.id();
		sqe.buf_group = static_cast<uint16_t>(group.id());
		if (int32_t result = TRY(submit(sqe)); result < 0)
			return errno_error(-result, "cannot be provided with buffers of group {}", group.id())
				.on(ring_.name());
	}
	return {};
}

// --- rings ---------------------------------------------------------------------------------------------------------

Result<> Provider::open_source()
{
	if (number_ >= 0)
		return {};
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return errno_error(errno, "cannot make a socket pair");
	UniqueFd mine(pair[0]);
	peer_.reset(pair[1]);
	SyscallBatch batch;
	size_t got = batch.add(SYS_pidfd_getfd, kToolNumber, mine.get(), 0);
	size_t mapped = batch.add(SYS_mmap, 0, kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	TRY(batch.run(ring_.maker));
	number_ = static_cast<int>(batch.result(got));
	scratch_ = static_cast<uint64_t>(batch.result(mapped));
	return {};
}

Result<> Provider::close_source()
{
	if (number_ < 0)
		return {};
	SyscallBatch batch;
	batch.add(SYS_close, number_);
	batch.add(SYS_munmap, scratch_, kPageSize);
	return batch.run(ring_.maker);
}

Result<> Provider::advance(const BufferGroup &group, uint16_t wanted, BufferRing &memory)
{
	TRY(open_source());
	std::vector<io_uring_buf> entries(group.entries(), {.addr = scratch_, .len = 1, .bid = 0, .resv = 0});
	entries[0].resv = wanted; // the tail
	io_uring_sqe sqe = {};
	sqe.opcode = IORING_OP_RECV;
	sqe.flags = IOSQE_BUFFER_SELECT;
	sqe.ioprio = kRecvSendBundle;
	sqe.fd = number_;
	sqe.buf_group = static_cast<uint16_t>(group.id());
	const std::string bytes(uring::buffers_at_once(group), '\0');
	size_t waiting = 0; // bytes in the socket: the kernel may leave one
	for (uint32_t head = 0; head != wanted;) {
		size_t left = std::min<size_t>(wanted - head, bytes.size());
		if (left > waiting)
			TRY(write_all(peer_.get(), as_bytes(bytes).first(left - waiting)));
		TRY(memory.write(entries));
		int32_t taken = TRY(submit(sqe));
		if (taken <= 0 || static_cast<size_t>(taken) > left)
			return make_error(Code::kInternal, "takes {} of {} buffers of group {}", taken, left,
					  group.id())
				.on(ring_.name());
		waiting = std::max(left, waiting) - static_cast<size_t>(taken);
		head += static_cast<uint32_t>(taken);
	}
	return {};
}

Result<> Provider::register_ring(const BufferGroup &group)
{
	RingRegistration registration = {};
	registration.address = group.user_address();
	registration.entries = group.entries();
	registration.id = static_cast<uint16_t>(group.id());
	registration.flags = static_cast<uint16_t>((group.kernel_memory() ? kKernelMemory : 0) |
						   (group.incremental() ? kIncremental : 0));
	registration.min_left = group.min_left() > 1 ? group.min_left() : 0;
	SyscallBatch batch;
	batch.add(SYS_io_uring_register, ring_.number, IORING_REGISTER_PBUF_RING, batch.value(registration), 1);
	TRY(batch.run(ring_.maker));
	BufferRing memory = TRY(BufferRing::open(ring_, group));
	std::vector<io_uring_buf> content = TRY(memory.content());
	uint16_t wanted = uring::first_head(group, takers_);
	if (wanted)
		TRY(advance(group, wanted, memory));
	TRY(memory.write(content));
	if (auto head = TRY(head_of_buffers(ring_.maker, ring_.number, group)); head && *head != wanted)
		return make_error(Code::kInternal, "is at {} in buffer group {}, not at {}", *head, group.id(), wanted)
			.on(ring_.name());
	return {};
}

Result<> Provider::run()
{
	for (const BufferGroup &group : ring_.image.buffer_groups())
		TRY(group.ring() ? register_ring(group) : provide(group));
	if (ring_.image.buffer_groups_size())
		ring_.clear_sqes();
	return close_source();
}

} // namespace

Result<> provide_buffers(const NewRing &ring)
{
	return Provider(ring).run();
}

} // namespace bpfckpt::restore
