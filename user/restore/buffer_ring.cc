// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/buffer_ring.h"

#include <algorithm>

#include <sys/mman.h>
#include <sys/syscall.h>

#include "user/target/batch.h"
#include "user/uring/provided.h"
#include "user/util/page.h"
#include "user/util/uring_abi.h"

namespace bpfckpt::restore {

using images::BufferGroup;
using target::SyscallBatch;

namespace {

// Newer than the headers of the oldest build machine.
constexpr unsigned kRegisterStatus = 26; // IORING_REGISTER_PBUF_STATUS
// What a read is shown: only the range is looked at (access_ok()) as long as there is nothing to read, and here nothing
// is mapped (vm.mmap_min_addr).
constexpr uint64_t kNowhere = 0x1000;

// struct io_uring_buf_status
struct RingStatus {
	uint32_t group;
	uint32_t head;
	uint32_t reserved[8];
};

io_uring_buf entry_of(uint64_t address, uint64_t length, uint32_t id)
{
	return {.addr = address, .len = static_cast<uint32_t>(length), .bid = static_cast<uint16_t>(id), .resv = 0};
}

// As many as it had, of a length that it takes whole; of one that it does not use up something is left
// (io_uring/kbuf.c: io_kbuf_inc_commit()). Behind those of a bundle that was to find more lies one that does not fit in
// any more (io_ring_buffers_peek()). Only the first one's number is kept, and told.
std::vector<io_uring_buf> taken_by(const images::Request &request, const BufferGroup &group)
{
	if (!uring::is_bundle(request)) {
		uint64_t rest = request.buffer_kept() ? uint64_t{group.min_left()} + 1 : 0;
		return {entry_of(request.address(), request.length() + rest, request.taken_buffer())};
	}
	std::vector<io_uring_buf> entries;
	for (const images::IoVec &iovec : request.iovecs())
		entries.push_back(entry_of(iovec.address(), iovec.length(), request.taken_buffer()));
	if (request.buffers_left())
		entries.push_back(entry_of(kNowhere, uint64_t{INT32_MAX} + 1, 0));
	return entries;
}

std::vector<io_uring_buf> looked_at_by(std::span<const images::Request *const> requests)
{
	uint32_t longest = 1;
	for (const images::Request *request : requests)
		longest = std::max(longest, request->length());
	return {entry_of(kNowhere, longest, 0)};
}

// Where process_vm_readv(2) and the like find an entry.
uint64_t address_of(const BufferGroup &group, size_t index)
{
	return group.user_address() + index * sizeof(io_uring_buf);
}

} // namespace

Result<BufferRing> BufferRing::open(const NewRing &ring, const BufferGroup &group)
{
	BufferRing result(ring, group);
	size_t size = group.entries() * sizeof(io_uring_buf);
	if (group.kernel_memory())
		result.mapping_ = TRY(Mapping::create(
			(size + kPageSize - 1) / kPageSize * kPageSize, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd,
			static_cast<off_t>(kMapBuffers | uint64_t{group.id()} << kMapBuffersShift)));
	return result;
}

Result<> BufferRing::write(std::span<const io_uring_buf> entries, size_t index)
{
	if (!group_.kernel_memory())
		return ring_.maker.write(address_of(group_, index), std::as_bytes(entries));
	std::ranges::copy(std::as_bytes(entries), mapping_.bytes().subspan(index * sizeof(io_uring_buf)).begin());
	return {};
}

Result<> BufferRing::read(std::span<io_uring_buf> entries, size_t index) const
{
	if (!group_.kernel_memory())
		return ring_.maker.read(address_of(group_, index), std::as_writable_bytes(entries));
	auto bytes = std::as_writable_bytes(entries);
	std::ranges::copy(mapping_.bytes().subspan(index * sizeof(io_uring_buf), bytes.size()), bytes.begin());
	return {};
}

Result<std::vector<io_uring_buf>> BufferRing::content() const
{
	std::vector<io_uring_buf> entries(group_.entries());
	if (!group_.kernel_memory()) {
		TRY(read(entries));
		return entries;
	}
	auto bytes = std::as_writable_bytes(std::span(entries));
	std::ranges::copy(std::as_bytes(std::span(group_.content())), bytes.begin()); // its size: check_sizes()
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

// The tail lies in the first entry, which may be one of those that are lent.
Result<> BufferLoan::put(uint16_t head, std::span<const io_uring_buf> lent)
{
	TRY(memory_.read(std::span(&first_before_, 1)));
	io_uring_buf first = first_before_;
	for (io_uring_buf entry : lent) {
		size_t index = (head + before_.size()) & (group_.entries() - 1);
		auto &[at, before] = before_.emplace_back(index, io_uring_buf{});
		TRY(memory_.read(std::span(&before, 1), at));
		entry.resv = before.resv;
		if (index)
			TRY(memory_.write(std::span(&entry, 1), index));
		else
			first = entry;
	}
	first.resv = static_cast<uint16_t>(head + lent.size());
	return memory_.write(std::span(&first, 1));
}

Result<BufferLoan> BufferLoan::lend(const NewRing &ring, target::Tracee &thread, int number, const BufferGroup &group,
				    std::span<const images::Request *const> requests)
{
	BufferLoan loan(group, TRY(BufferRing::open(ring, group)));
	const images::Request &first = *requests.front();
	bool takes = first.has_taken_buffer();
	std::optional<uint16_t> told = TRY(head_of_buffers(thread, number, group));
	if (takes && !told)
		return make_error(Code::kKernelLacks, "does not tell its position in buffer group {}", group.id())
			.on(ring.name());
	uint16_t head = told.value_or(static_cast<uint16_t>(group.head()));
	if (told)
		loan.head_after_ = static_cast<uint16_t>(head + (takes ? uring::buffers_used_up(first) : 0));
	TRY(loan.put(head, takes ? taken_by(first, group) : looked_at_by(requests)));
	return loan;
}

Result<> BufferLoan::give_back(target::Tracee &thread, int number)
{
	for (const auto &[index, before] : before_)
		TRY(memory_.write(std::span(&before, 1), index));
	TRY(memory_.write(std::span(&first_before_, 1)));
	std::optional<uint16_t> head = TRY(head_of_buffers(thread, number, group_));
	if (head != head_after_)
		return make_error(Code::kInternal, "is at {}, not at {}", head.value_or(0), head_after_.value_or(0))
			.on(fmt::format("buffer group {}", group_.id()));
	return {};
}

Result<PassingRing> PassingRing::lend(target::Tracee &thread, int number, uint32_t group, uint64_t address,
				      uint32_t longest)
{
	PassingRing ring(group);
	io_uring_buf entry = entry_of(kNowhere, longest, 0);
	entry.resv = 1; // the tail
	TRY(thread.write(address, std::as_bytes(std::span(&entry, 1))));
	io_uring_buf_reg registration = {};
	registration.ring_addr = address;
	registration.ring_entries = 1;
	registration.bgid = static_cast<uint16_t>(group);
	SyscallBatch batch;
	batch.add(SYS_io_uring_register, number, IORING_REGISTER_PBUF_RING, batch.value(registration), 1);
	TRY(batch.run(thread));
	ring.tells_head_ = TRY(head_of_buffers(thread, number, ring.group_)).has_value();
	return ring;
}

Result<> PassingRing::give_back(target::Tracee &thread, int number)
{
	if (tells_head_ && TRY(head_of_buffers(thread, number, group_)) != 0)
		return Error(Code::kInternal, "a read has taken what it was to look at only")
			.on(fmt::format("buffer group {}", group_.id()));
	io_uring_buf_reg registration = {};
	registration.bgid = static_cast<uint16_t>(group_.id());
	SyscallBatch batch;
	batch.add(SYS_io_uring_register, number, IORING_UNREGISTER_PBUF_RING, batch.value(registration), 1);
	return batch.run(thread);
}

} // namespace bpfckpt::restore
