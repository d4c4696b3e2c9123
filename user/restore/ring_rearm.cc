// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Requests that waited in a ring wait in it again (struct io_kiocb): each is submitted by the thread that had submitted
// it.
//
// The thread gets descriptors of the files that its requests hold for the moment of the submission: a request holds its
// file, not the number. What a request points to and the kernel copies lies in a mapping that goes away again.
//
// Invariant: all files and all memory of the tree are as they were. A request that had not been woken finds nothing to
// do but to wait, and one that had been woken does what it would have done.
#include <algorithm>
#include <cerrno>
#include <ranges>
#include <unordered_map>

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/restore/ring_parts.h"
#include "user/target/batch.h"
#include "user/util/io.h"

namespace bpfckpt::restore {

using images::Request;
using target::SyscallBatch;
using target::Tracee;

namespace {

constexpr size_t kOperandBytes = 256 * 1024;
constexpr size_t kMostFiles = 256;
constexpr int64_t kSecond = 1'000'000'000;

// struct futex_waitv
struct FutexWait {
	uint64_t value;
	uint64_t address;
	uint32_t flags;
	uint32_t reserved;
};

// A futex that has to have the value that its waiter had found.
struct FutexWord {
	uint64_t address;
	uint32_t size;
	uint64_t value;
};

FutexWord futex_word(uint64_t address, uint32_t flags, uint64_t value)
{
	return {address, 1U << (flags & 3), value}; // FUTEX2_SIZE_MASK
}

// The requests of one thread, as many at a time as the queue, the descriptors and the operands allow.
class Submitter {
public:
	Submitter(const NewRing &ring, Tracee &thread, const OpenFiles &files, uint32_t head)
		: ring_(ring), thread_(thread), files_(files), head_(head)
	{
	}
	Result<> open();
	Result<> submit(std::span<const uring::Chain *const> chains);
	// Runs what is due and left for the thread to do.
	Result<> run_deferred();
	Result<> close();

private:
	[[nodiscard]] bool fits(const uring::Chain &chain) const;
	void take(const uring::Chain &chain);
	Result<> submit_taken();
	Result<> open_files();
	Result<> write_requests();
	Result<> enter(uint32_t count);
	Result<std::vector<FutexWord>> lend_futexes();
	[[nodiscard]] io_uring_sqe sqe_of(const Request &request);
	uint64_t operand(const void *data, size_t size);
	void add_operands(const Request &request, io_uring_sqe &sqe);

	const NewRing &ring_;
	Tracee &thread_;
	const OpenFiles &files_;
	uint32_t head_; // of the SQ
	uint64_t mapping_ = 0;
	int tool_ = kToolNumber; // bpfckpt and the ring, in the thread's process
	int number_ = -1;
	bool opened_ = false; // for this
	std::vector<const Request *> taken_;
	std::unordered_map<uint32_t, int> numbers_; // File.id: descriptor in the thread's process
	std::vector<std::byte> operands_;
	size_t operand_size_ = 0; // at most, with all that is taken
};

// Rather more than it takes.
size_t operand_bytes(const Request &request)
{
	return 16 + static_cast<size_t>(request.iovecs_size()) * sizeof(iovec) +
	       static_cast<size_t>(request.futexes_size()) * sizeof(FutexWait) + request.sockaddr().size() + 8;
}

bool needs_descriptor(const Request &request)
{
	return request.file() && !(request.flags() & IOSQE_FIXED_FILE);
}

// While the ring is made, its maker has the two descriptors that others get here.
Result<> Submitter::open()
{
	SyscallBatch batch;
	size_t mapped =
		batch.add(SYS_mmap, 0, kOperandBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	opened_ = ring_.number < 0 || thread_.pid() != ring_.maker.pid();
	size_t tool = opened_ ? batch.add(SYS_pidfd_open, getpid(), 0) : 0;
	TRY(batch.run(thread_));
	mapping_ = static_cast<uint64_t>(batch.result(mapped));
	number_ = ring_.number;
	if (!opened_)
		return {};
	tool_ = static_cast<int>(batch.result(tool));
	SyscallBatch take;
	size_t got = take.add(SYS_pidfd_getfd, tool_, ring_.fd, 0);
	TRY(take.run(thread_));
	number_ = static_cast<int>(take.result(got));
	return {};
}

Result<> Submitter::close()
{
	std::ranges::fill(ring_.sqes.bytes(), std::byte{});
	SyscallBatch batch;
	batch.add(SYS_munmap, mapping_, kOperandBytes);
	if (opened_) {
		batch.add(SYS_close, number_);
		batch.add(SYS_close, tool_);
	}
	return batch.run(thread_);
}

bool Submitter::fits(const uring::Chain &chain) const
{
	size_t operands = operand_size_, files = numbers_.size();
	for (const auto *request : chain) {
		operands += operand_bytes(*request);
		files += needs_descriptor(*request);
	}
	return taken_.size() + chain.size() <= ring_.image.sq_entries() && files <= kMostFiles &&
	       operands <= kOperandBytes;
}

void Submitter::take(const uring::Chain &chain)
{
	for (const auto *request : chain) {
		taken_.push_back(request);
		operand_size_ += operand_bytes(*request);
		if (needs_descriptor(*request))
			numbers_.emplace(request->file(), -1);
	}
}

Result<> Submitter::submit(std::span<const uring::Chain *const> chains)
{
	for (const uring::Chain *chain : chains) {
		if (!fits(*chain))
			TRY(submit_taken());
		if (!fits(*chain))
			return make_error(Code::kCorrupt, "has a chain of {} requests", chain->size()).on(ring_.name());
		take(*chain);
	}
	return submit_taken();
}

Result<> Submitter::open_files()
{
	SyscallBatch batch;
	std::vector<std::pair<size_t, int *>> calls;
	for (auto &[file, number] : numbers_) {
		if (files_.fd(file) < 0)
			return make_error(Code::kInternal, "file {} of a request was not opened", file)
				.on(ring_.name());
		calls.emplace_back(batch.add(SYS_pidfd_getfd, tool_, files_.fd(file), 0), &number);
	}
	TRY(batch.run(thread_));
	for (auto [call, number] : calls)
		*number = static_cast<int>(batch.result(call));
	return {};
}

uint64_t Submitter::operand(const void *data, size_t size)
{
	size_t at = (operands_.size() + 7) & ~size_t{7};
	operands_.resize(at + size);
	memcpy(operands_.data() + at, data, size);
	return mapping_ + at;
}

void Submitter::add_operands(const Request &request, io_uring_sqe &sqe)
{
	if (request.opcode() == images::IORING_OP_TIMEOUT || request.opcode() == images::IORING_OP_LINK_TIMEOUT) {
		bool absolute = sqe.timeout_flags & IORING_TIMEOUT_ABS;
		int64_t when = std::max<int64_t>(absolute ? request.timeout_ns() : request.remaining_ns(), 0);
		int64_t time[2] = {when / kSecond, when % kSecond}; // struct __kernel_timespec
		sqe.addr = operand(time, sizeof(time));
	}
	std::vector<iovec> iovecs;
	for (const images::IoVec &one : request.iovecs())
		iovecs.push_back({reinterpret_cast<void *>(one.address()), one.length()});
	if (!iovecs.empty())
		sqe.addr = operand(iovecs.data(), iovecs.size() * sizeof(iovec));
	std::vector<FutexWait> waits;
	for (const images::FutexWaiter &one : request.futexes())
		waits.push_back({one.value(), one.address(), one.flags(), 0});
	if (!waits.empty())
		sqe.addr = operand(waits.data(), waits.size() * sizeof(FutexWait));
	if (!request.sockaddr().empty())
		sqe.addr2 = operand(request.sockaddr().data(), request.sockaddr().size());
}

io_uring_sqe Submitter::sqe_of(const Request &request)
{
	io_uring_sqe sqe;
	memcpy(&sqe, request.sqe().data(), sizeof(sqe)); // its size: rearm_obstacle()
	if (needs_descriptor(request))
		sqe.fd = numbers_.at(request.file());
	add_operands(request, sqe);
	return sqe;
}

Result<> Submitter::write_requests()
{
	const images::RingLayout &layout = ring_.image.layout();
	std::span<std::byte> sqes = ring_.sqes.bytes();
	std::ranges::fill(sqes, std::byte{});
	for (uint32_t i = 0; i < taken_.size(); i++) {
		uint32_t index = (head_ + i) & (ring_.image.sq_entries() - 1);
		io_uring_sqe sqe = sqe_of(*taken_[i]);
		memcpy(sqes.data() + size_t{index} * layout.sqe_size(), &sqe, sizeof(sqe));
		if (layout.sq_array())
			ring_.word(layout.sq_array() + index * 4) = index;
	}
	return thread_.write(mapping_, operands_);
}

// The value may have changed with nobody woken yet; a wait for what is there no longer would end at once.
Result<std::vector<FutexWord>> Submitter::lend_futexes()
{
	std::vector<FutexWord> wanted, before;
	for (const auto *request : taken_) {
		if (request->opcode() == images::IORING_OP_FUTEX_WAIT)
			wanted.push_back(futex_word(request->address(), static_cast<uint32_t>(request->fd()),
						    request->address2()));
		for (const images::FutexWaiter &one : request->futexes())
			wanted.push_back(futex_word(one.address(), one.flags(), one.value()));
	}
	for (const FutexWord &word : wanted) {
		FutexWord now = word;
		std::span<std::byte> bytes = std::as_writable_bytes(std::span(&now.value, 1)).first(word.size);
		TRY(thread_.read(word.address, bytes));
		if (now.value == word.value)
			continue;
		before.push_back(now);
		TRY(thread_.write(word.address, std::as_bytes(std::span(&word.value, 1)).first(word.size)));
	}
	return before;
}

Result<> Submitter::enter(uint32_t count)
{
	ring_.word(ring_.image.layout().sq_tail()) = head_ + count;
	SyscallBatch batch;
	size_t call = batch.add(SYS_io_uring_enter, number_, count, 0, 0, 0, 0);
	for (auto [file, number] : numbers_)
		batch.add(SYS_close, number);
	TRY(batch.run(thread_));
	if (batch.result(call) != count)
		return make_error(Code::kInternal, "took {} of {} requests that waited", batch.result(call), count)
			.on(ring_.name());
	head_ += count;
	return {};
}

Result<> Submitter::submit_taken()
{
	if (taken_.empty())
		return {};
	TRY(open_files());
	TRY(write_requests());
	std::vector<FutexWord> lent = TRY(lend_futexes());
	TRY(enter(static_cast<uint32_t>(taken_.size())));
	for (const FutexWord &word : lent | std::views::reverse)
		TRY(thread_.write(word.address, std::as_bytes(std::span(&word.value, 1)).first(word.size)));
	taken_.clear();
	numbers_.clear();
	operands_.clear();
	operand_size_ = 0;
	return {};
}

Result<> Submitter::run_deferred()
{
	SyscallBatch batch;
	batch.add(SYS_io_uring_enter, number_, 0, 0, IORING_ENTER_GETEVENTS, 0, 0);
	return batch.run(thread_);
}

uint32_t count_of(std::span<const uring::Chain> chains)
{
	size_t count = 0;
	for (const uring::Chain &chain : chains)
		count += chain.size();
	return static_cast<uint32_t>(count);
}

// Neighbours that one thread had submitted go together; the order stays.
std::vector<std::vector<const uring::Chain *>> by_thread(std::span<const uring::Chain> chains)
{
	std::vector<std::vector<const uring::Chain *>> parts;
	for (const uring::Chain &chain : chains) {
		if (parts.empty() || parts.back().front()->front()->tid() != chain.front()->tid())
			parts.emplace_back();
		parts.back().push_back(&chain);
	}
	return parts;
}

class Rearming {
public:
	Rearming(const NewRing &ring, Tree &tree, const OpenFiles &files, uint32_t head)
		: ring_(ring), tree_(tree), files_(files), head_(head)
	{
	}
	Result<> submit(std::span<const uring::Chain> chains, uint32_t told = 0);
	Result<> check_told() const;

private:
	const NewRing &ring_;
	Tree &tree_;
	const OpenFiles &files_;
	uint32_t head_;
};

// Goes on until `told` completions are there, as far as the kernel has any: it runs 20 deferred ones at a time.
Result<> Rearming::submit(std::span<const uring::Chain> chains, uint32_t told)
{
	for (const std::vector<const uring::Chain *> &part : by_thread(chains)) {
		Tracee *thread = find_thread(tree_, part.front()->front()->tid());
		if (!thread)
			return make_error(Code::kInternal, "thread {} is not there", part.front()->front()->tid())
				.on(ring_.name());
		Submitter submitter(ring_, *thread, files_, head_);
		TRY(submitter.open());
		TRY(submitter.submit(part));
		for (const uring::Chain *chain : part)
			head_ += static_cast<uint32_t>(chain->size());
		for (uint32_t i = 0; i < told && ring_.word(ring_.image.layout().cq_tail()) < told; i++)
			TRY(submitter.run_deferred());
		TRY(submitter.close());
	}
	return {};
}

bool may_fail(const Request &request)
{
	return request.woken() || request.opcode() == images::IORING_OP_TIMEOUT ||
	       request.opcode() == images::IORING_OP_LINK_TIMEOUT;
}

// The kernel refused nothing that it had accepted before.
Result<> Rearming::check_told() const
{
	const images::RingLayout &layout = ring_.image.layout();
	uint32_t tail = ring_.word(layout.cq_tail());
	for (uint32_t at = ring_.image.cq_tail(); at != tail; at++) {
		io_uring_cqe cqe;
		uint32_t index = at & (ring_.image.cq_entries() - 1);
		memcpy(&cqe, ring_.queues.bytes().data() + layout.cqes() + size_t{index} * layout.cqe_size(),
		       sizeof(cqe));
		if (cqe.res >= 0 || cqe.res == -ECANCELED)
			continue;
		auto fits = [data = uint64_t{cqe.user_data}](const Request &request) {
			return request.user_data() == data && may_fail(request);
		};
		if (!std::ranges::any_of(ring_.image.in_flight(), fits))
			return make_error(Code::kInternal, "ends the request of user_data {:#x} at once: {}",
					  uint64_t{cqe.user_data}, strerror(-cqe.res))
				.on(ring_.name());
	}
	return {};
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
	TRY(Rearming(ring, tree, files, 0).submit(reported, count));
	if (uint32_t told = ring.word(ring.image.layout().cq_tail()); told != count)
		return make_error(Code::kInternal, "tells {} of {} polls that are ready", told, count).on(ring.name());
	for (uint32_t i = 0; ring.image.layout().sq_array() && i < ring.image.sq_entries(); i++)
		ring.word(ring.image.layout().sq_array() + i * 4) = 0;
	ring.waiting.erase(ring.waiting.begin(), rest.begin());
	return {};
}

Result<> rearm_waiting(const NewRing &ring, Tree &tree, const OpenFiles &files)
{
	if (ring.waiting.empty())
		return {};
	Rearming rearming(ring, tree, files, ring.image.sq_head() - count_of(ring.waiting));
	TRY(rearming.submit(ring.waiting));
	TRY(rearming.check_told());
	uint32_t submitted = ring.word(ring.image.layout().sq_head());
	if (submitted != ring.image.sq_head())
		return make_error(Code::kInternal, "has submitted {}, not {}", submitted, ring.image.sq_head())
			.on(ring.name());
	return {};
}

} // namespace bpfckpt::restore
