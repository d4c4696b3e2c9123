// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/buffer_ring.h"

#include <algorithm>

#include <sys/mman.h>
#include <sys/syscall.h>

#include "user/target/batch.h"
#include "user/uring/provided.h"

namespace bpfckpt::restore {

using images::BufferGroup;
using target::SyscallBatch;

namespace {

constexpr uint64_t kPage = 4096;
// Newer than the headers of the oldest build machine.
constexpr uint64_t kMapBuffers = 0x80000000; // IORING_OFF_PBUF_RING
constexpr unsigned kMapShift = 16;           // IORING_OFF_PBUF_SHIFT
constexpr unsigned kRegisterStatus = 26;     // IORING_REGISTER_PBUF_STATUS
// What a read that waits is shown: nothing is read into it, and only its range is looked at (access_ok()).
constexpr uint64_t kNowhere = 0x10000;

// struct io_uring_buf_status
struct RingStatus {
	uint32_t group;
	uint32_t head;
	uint32_t reserved[8];
};

// The tail lies in the first entry.
void set_tail(std::vector<io_uring_buf> &entries, uint16_t tail)
{
	entries[0].resv = tail;
}

} // namespace

Result<BufferRing> BufferRing::open(const NewRing &ring, const BufferGroup &group)
{
	BufferRing result(ring, group);
	size_t size = group.entries() * sizeof(io_uring_buf);
	if (group.kernel_memory())
		result.mapping_ = TRY(
			Mapping::create((size + kPage - 1) / kPage * kPage, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd,
					static_cast<off_t>(kMapBuffers | uint64_t{group.id()} << kMapShift)));
	return result;
}

Result<> BufferRing::write(std::span<const io_uring_buf> entries)
{
	if (!group_.kernel_memory())
		return ring_.maker.write(group_.user_address(), std::as_bytes(entries));
	std::ranges::copy(std::as_bytes(entries), mapping_.bytes().begin());
	return {};
}

Result<std::vector<io_uring_buf>> BufferRing::content() const
{
	std::vector<io_uring_buf> entries(group_.entries());
	auto bytes = std::as_writable_bytes(std::span(entries));
	if (group_.kernel_memory())
		std::ranges::copy(std::as_bytes(std::span(group_.content())), bytes.begin()); // its size: check_sizes()
	else
		TRY(ring_.maker.read(group_.user_address(), bytes));
	return entries;
}

Result<std::optional<uint16_t>> head_of_buffers(target::Tracee &thread, int number, const BufferGroup &group)
{
	RingStatus status = {.group = group.id(), .head = 0, .reserved = {}};
	SyscallBatch batch;
	target::Blob blob = batch.exchange(status);
	size_t asked = batch.add_optional(SYS_io_uring_register, number, kRegisterStatus, blob, 1);
	TRY(batch.run(thread));
	if (batch.result(asked) < 0)
		return std::optional<uint16_t>();
	return std::optional(static_cast<uint16_t>(batch.output_as<RingStatus>(blob).head));
}

Result<BufferLoan> BufferLoan::lend(const NewRing &ring, target::Tracee &thread, int number,
				    const images::Request &request)
{
	const BufferGroup *group = uring::find_group(ring.image, request.buffer_group());
	if (!group || !group->ring())
		return make_error(Code::kCorrupt, "has no ring of buffers {}", request.buffer_group()).on(ring.name());
	BufferLoan loan(*group, TRY(BufferRing::open(ring, *group)));
	loan.before_ = TRY(loan.memory_.content());
	bool takes = request.has_taken_buffer();
	std::optional<uint16_t> told = TRY(head_of_buffers(thread, number, *group));
	if (takes && !told)
		return make_error(Code::kKernelLacks, "does not tell its position in buffer group {}", group->id())
			.on(ring.name());
	uint16_t head = told.value_or(static_cast<uint16_t>(group->head()));
	loan.head_after_ = told ? std::optional(static_cast<uint16_t>(head + takes)) : std::nullopt;
	std::vector<io_uring_buf> entries = loan.before_;
	io_uring_buf &entry = entries[head & (group->entries() - 1)];
	entry.addr = takes ? request.address() : kNowhere;
	entry.len = std::max(request.length(), 1U);
	entry.bid = static_cast<uint16_t>(request.taken_buffer());
	set_tail(entries, static_cast<uint16_t>(head + 1));
	TRY(loan.memory_.write(entries));
	return loan;
}

Result<> BufferLoan::give_back(target::Tracee &thread, int number)
{
	TRY(memory_.write(before_));
	std::optional<uint16_t> head = TRY(head_of_buffers(thread, number, group_));
	if (head != head_after_)
		return make_error(Code::kInternal, "is at {}, not at {}", head.value_or(0), head_after_.value_or(0))
			.on(fmt::format("buffer group {}", group_.id()));
	return {};
}

} // namespace bpfckpt::restore
