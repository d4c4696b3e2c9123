// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/ring_submitter.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <map>

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/target/batch.h"
#include "user/target/tree_scan.h"
#include "user/uring/provided.h"
#include "user/util/io.h"
#include "user/util/page.h"

namespace bpfckpt::restore {

using images::Request;
using target::SyscallBatch;

namespace {

constexpr size_t kOperandBytes = size_t{256} * 1024; // or what the longest chain takes
constexpr size_t kMostFiles = 256;

bool needs_descriptor(const Request &request)
{
	return request.file() && !(request.flags() & IOSQE_FIXED_FILE) && !uring::is_work(request);
}

bool is_received_into_header(const Request &request)
{
	return request.opcode() == images::IORING_OP_RECVMSG;
}

bool may_disagree(const Request &request)
{
	return is_received_into_header(request) || request.open_limit();
}

bool selects_buffer(const Request &request)
{
	return request.flags() & IOSQE_BUFFER_SELECT;
}

// Asked by the thread itself: for that of another user bpfckpt would need CAP_SYS_RESOURCE.
Result<rlimit> descriptor_limit(target::Tracee &thread)
{
	SyscallBatch batch;
	target::Blob limit = batch.exchange(rlimit{});
	batch.add(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, limit);
	TRY(batch.run(thread));
	return batch.output_as<rlimit>(limit);
}

// io-wq's threads of a process; none, if one of them runs.
Result<std::vector<pid_t>> sleeping_workers(pid_t pid)
{
	std::vector<pid_t> workers;
	for (pid_t tid : TRY(target::list_threads(pid))) {
		auto stat = target::read_thread_stat(pid, tid);
		if (!stat || !stat->comm.starts_with("iou-wrk-"))
			continue;
		if (stat->state != 'S' && stat->state != 'D')
			return std::vector<pid_t>();
		workers.push_back(tid);
	}
	return workers;
}

// A chain is submitted at once.
size_t operand_bytes_for(const NewRing &ring)
{
	size_t most = kOperandBytes;
	for (const uring::Chain &chain : ring.waiting) {
		size_t bytes = 0;
		for (const Request *request : chain)
			bytes += Operands::most_bytes(*request);
		most = std::max(most, (bytes + kPageSize - 1) / kPageSize * kPageSize);
	}
	return most;
}

// A page for each group that a ring may have to stand for.
size_t passing_bytes_for(const NewRing &ring)
{
	std::unordered_set<uint32_t> groups;
	for (const Request &request : ring.image.in_flight())
		if (uring::looks_into_empty(ring.image, request))
			groups.insert(request.buffer_group());
	return groups.size() * kPageSize;
}

} // namespace

// While the ring is made, its maker has the two descriptors that others get here.
Result<> Submitter::open()
{
	SyscallBatch batch;
	mapping_size_ = operand_bytes_for(ring_);
	size_t mapped = batch.add(SYS_mmap, 0, mapping_size_ + passing_bytes_for(ring_), PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	opened_ = ring_.number < 0 || thread_.pid() != ring_.maker.pid();
	size_t tool = opened_ ? batch.add(SYS_pidfd_open, getpid(), 0) : 0;
	TRY(batch.run(thread_));
	mapping_ = static_cast<uint64_t>(batch.result(mapped));
	operands_ = Operands(mapping_);
	number_ = ring_.number;
	if (!opened_)
		return {};
	tool_ = static_cast<int>(batch.result(tool));
	SyscallBatch take;
	size_t got = take.add(SYS_pidfd_getfd, tool_, ring_.fd, 0);
	TRY(take.run(thread_));
	number_ = static_cast<int>(take.result(got));
	rlimit limit = TRY(descriptor_limit(thread_));
	uint64_t wanted = static_cast<uint64_t>(std::min(tool_, number_)) + kMostFiles;
	if (wanted + 2 * kMostFiles < limit.rlim_cur)
		lowest_ = wanted;
	return move_up(std::array{&tool_, &number_});
}

Result<> Submitter::close()
{
	ring_.sqes.clear();
	SyscallBatch batch;
	batch.add(SYS_munmap, mapping_, mapping_size_ + passing_bytes_for(ring_));
	if (opened_) {
		batch.add(SYS_close, number_);
		batch.add(SYS_close, tool_);
	}
	return batch.run(thread_);
}

// Out of the way of what a request may open.
Result<> Submitter::move_up(std::span<int *const> numbers)
{
	SyscallBatch batch;
	std::vector<size_t> calls;
	for (const int *number : numbers) {
		calls.push_back(batch.add(SYS_fcntl, *number, F_DUPFD_CLOEXEC, lowest_));
		batch.add(SYS_close, *number);
	}
	TRY(batch.run(thread_));
	for (size_t i = 0; i < numbers.size(); i++)
		*numbers[i] = static_cast<int>(batch.result(calls[i]));
	return {};
}

// Of two headers in one place only one can be lent; what is opened has one limit.
bool Submitter::disagree(const Request &one, const Request &other) const
{
	if (is_received_into_header(one) && is_received_into_header(other)) {
		uint64_t low = std::min(one.address(), other.address());
		return std::max(one.address(), other.address()) - low < sizeof(msghdr);
	}
	return one.open_limit() && other.open_limit() && one.open_limit() != other.open_limit();
}

// A word has one value at a time. It is aligned and has 32 bits (kernel/futex/futex.h: futex_flags_valid()).
bool Submitter::finds_its_words(const Request &request) const
{
	return std::ranges::all_of(futex_words(request), [&](const FutexWord &futex) {
		auto other = words_.find(futex.address);
		return other == words_.end() || other->second == futex.value;
	});
}

bool Submitter::fits(const uring::Chain &chain) const
{
	size_t operands = operand_size_, files = numbers_.size();
	for (const auto *request : chain) {
		operands += Operands::most_bytes(*request);
		files += needs_descriptor(*request);
		// Who takes a buffer from a group is alone with it.
		if (selects_buffer(*request) &&
		    (request->has_taken_buffer() ? selecting_ : taking_).contains(request->buffer_group()))
			return false;
		if (may_disagree(*request) &&
		    std::ranges::any_of(particular_, [&](const Request *other) { return disagree(*request, *other); }))
			return false;
		if (!finds_its_words(*request))
			return false;
	}
	return taken_.size() + chain.size() <= ring_.image.sq_entries() && files <= kMostFiles &&
	       operands <= mapping_size_;
}

void Submitter::take(const uring::Chain &chain)
{
	for (const auto *request : chain) {
		taken_.push_back(request);
		if (may_disagree(*request))
			particular_.push_back(request);
		for (const FutexWord &futex : futex_words(*request))
			words_.emplace(futex.address, futex.value);
		if (selects_buffer(*request))
			selecting_.insert(request->buffer_group());
		if (request->has_taken_buffer())
			taking_.insert(request->buffer_group());
		operand_size_ += Operands::most_bytes(*request);
		if (needs_descriptor(*request))
			numbers_.emplace(request->file(), -1);
	}
}

Result<> Submitter::submit(std::span<const uring::Chain *const> chains, uint32_t head)
{
	head_ = head;
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
	std::vector<size_t> calls;
	std::vector<int *> numbers;
	for (auto &[file, number] : numbers_) {
		if (files_.fd(file) < 0)
			return make_error(Code::kInternal, "file {} of a request was not opened", file)
				.on(ring_.name());
		calls.push_back(batch.add(SYS_pidfd_getfd, tool_, files_.fd(file), 0));
		numbers.push_back(&number);
	}
	TRY(batch.run(thread_));
	for (size_t i = 0; i < calls.size(); i++)
		*numbers[i] = static_cast<int>(batch.result(calls[i]));
	return move_up(numbers);
}

io_uring_sqe Submitter::sqe_of(const Request &request)
{
	io_uring_sqe sqe;
	memcpy(&sqe, request.sqe().data(), sizeof(sqe)); // its size: rearm_obstacle()
	if (needs_descriptor(request))
		sqe.fd = numbers_.at(request.file());
	operands_.add(request, sqe);
	if (uring::is_work(request)) {
		sqe.flags |= IOSQE_ASYNC;
		workers_ += uring::has_worker(request);
	}
	return sqe;
}

Result<> Submitter::write_requests()
{
	ring_.sqes.clear();
	for (uint32_t i = 0; i < taken_.size(); i++)
		ring_.set_sqe(head_ + i, sqe_of(*taken_[i]));
	return thread_.write(mapping_, operands_.bytes());
}

Result<> Submitter::enter(uint32_t count)
{
	SyscallBatch batch;
	if (ring_.has_sq_thread()) {
		TRY(take_submissions(ring_, head_ + count));
	} else {
		ring_.set_word(ring_.image.layout().sq_tail(), head_ + count);
		batch.add(SYS_io_uring_enter, number_, count, 0, 0, 0, 0);
	}
	for (auto [file, number] : numbers_)
		batch.add(SYS_close, number);
	TRY(batch.run(thread_));
	if (!ring_.has_sq_thread() && batch.result(0) != count)
		return make_error(Code::kInternal, "took {} of {} requests that waited", batch.result(0), count)
			.on(ring_.name());
	head_ += count;
	return {};
}

// What opens files keeps the limit that was in force when it was submitted.
Result<> Submitter::enter_with_limit(uint32_t count)
{
	auto opening = std::ranges::find_if(taken_, [](const Request *request) { return request->open_limit() != 0; });
	if (opening == taken_.end())
		return enter(count);
	rlimit before = TRY(descriptor_limit(thread_)), then = before;
	then.rlim_cur = (*opening)->open_limit();
	then.rlim_max = std::max(then.rlim_max, then.rlim_cur);
	if (then.rlim_cur == before.rlim_cur)
		return enter(count);
	auto set = [&](const rlimit &limit) -> Result<> {
		SyscallBatch batch;
		batch.add(SYS_prlimit64, 0, RLIMIT_NOFILE, batch.value(limit), 0);
		return batch.run(thread_);
	};
	TRY(set(then));
	TRY(enter(count));
	return set(before);
}

// A read of what has something to read by now finds what there is.
bool Submitter::is_ready(const Request &request) const
{
	pollfd now = {.fd = files_.fd(request.file()), .events = POLLIN, .revents = 0};
	return poll(&now, 1, 0) == 1;
}

// Each in a page behind the operands.
Result<std::vector<PassingRing>> Submitter::lend_rings()
{
	std::map<uint32_t, uint32_t> longest; // by group
	for (const Request *request : taken_)
		if (uring::looks_into_empty(ring_.image, *request) && !is_ready(*request)) {
			auto &length = longest.try_emplace(request->buffer_group(), 1U).first->second;
			length = std::max(length, request->length());
		}
	std::vector<PassingRing> rings;
	uint64_t address = mapping_ + mapping_size_;
	for (auto [group, length] : longest) {
		rings.push_back(TRY(PassingRing::lend(thread_, number_, group, address, length)));
		address += kPageSize;
	}
	return rings;
}

Result<std::vector<BufferLoan>> Submitter::lend_buffers()
{
	std::map<uint32_t, std::vector<const Request *>> of_group;
	for (const Request *request : taken_)
		if (uring::takes_from_ring(ring_.image, *request) ||
		    (uring::looks_into_ring(ring_.image, *request) && !is_ready(*request)))
			of_group[request->buffer_group()].push_back(request);
	std::vector<BufferLoan> loans;
	for (const auto &[id, requests] : of_group) {
		const images::BufferGroup *group = uring::find_group(ring_.image, id);
		loans.push_back(TRY(BufferLoan::lend(ring_, thread_, number_, *group, requests)));
	}
	return loans;
}

Result<> Submitter::submit_taken()
{
	if (taken_.empty())
		return {};
	TRY(open_files());
	TRY(write_requests());
	Loans loans(thread_);
	for (const Request *request : taken_)
		for (const FutexWord &futex : futex_words(*request))
			TRY(loans.lend(futex));
	for (const ReceiveHeader &header : operands_.receive_headers())
		TRY(loans.lend(header));
	std::vector<BufferLoan> buffers = TRY(lend_buffers());
	std::vector<PassingRing> rings = TRY(lend_rings());
	TRY(enter_with_limit(static_cast<uint32_t>(taken_.size())));
	TRY(loans.give_back());
	for (BufferLoan &buffer : buffers)
		TRY(buffer.give_back(thread_, number_));
	for (PassingRing &ring : rings)
		TRY(ring.give_back(thread_, number_));
	taken_.clear();
	particular_.clear();
	words_.clear();
	selecting_.clear();
	taking_.clear();
	numbers_.clear();
	operands_.clear();
	operand_size_ = 0;
	return {};
}

// A new worker runs until it sleeps, and only then asks for the next one: when all slept, the thread has run since, and
// there are no more than before, that is the end of it. Some may have found at once what they waited for, and have
// taken the work of another.
Result<> Submitter::wait_for_workers()
{
	using Clock = std::chrono::steady_clock;
	constexpr std::chrono::milliseconds kPatience{500};
	constexpr std::chrono::seconds kLimit{10};
	constexpr timespec kPause = {.tv_sec = 0, .tv_nsec = 50'000};
	if (!workers_)
		return {};
	auto end = Clock::now() + kPatience;
	for (std::vector<pid_t> before;;) {
		std::vector<pid_t> now = TRY(sleeping_workers(thread_.pid()));
		if (!now.empty() && now == before && (now.size() >= workers_ || Clock::now() > end))
			return {};
		if (Clock::now() > end + kLimit)
			return make_error(Code::kTimeout, "workers of thread {} do not come to rest", thread_.tid())
				.on(fmt::format("pid {}", thread_.pid()))
				.with_hint("a limit of processes (RLIMIT_NPROC) may keep the kernel from making them");
		before = std::move(now);
		SyscallBatch batch;
		batch.add(SYS_getpid);
		TRY(batch.run(thread_));
		nanosleep(&kPause, nullptr);
	}
}

Result<> Submitter::run_deferred()
{
	SyscallBatch batch;
	batch.add(SYS_io_uring_enter, number_, 0, 0, IORING_ENTER_GETEVENTS, 0, 0);
	return batch.run(thread_);
}

} // namespace bpfckpt::restore
