/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// The least io_uring for tests, without liburing's private copies of head and tail.
#pragma once

#include <atomic>
#include <cstdint>

#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace bpfckpt::selftests {

class RawRing {
public:
	static constexpr unsigned kEntries = 4;

	explicit RawRing(uint32_t flags = 0)
	{
		params_.flags = flags;
		params_.sq_thread_idle = 100;
		fd_ = static_cast<int>(::syscall(SYS_io_uring_setup, kEntries, &params_));
		if (fd_ < 0)
			return;
		sq_ = map(params_.sq_off.array + params_.sq_entries * sizeof(uint32_t), IORING_OFF_SQ_RING);
		cq_ = map(params_.cq_off.cqes + params_.cq_entries * sizeof(io_uring_cqe), IORING_OFF_CQ_RING);
		sqes_ = reinterpret_cast<io_uring_sqe *>(
			map(params_.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES));
	}

	[[nodiscard]] int fd() const { return fd_; }
	[[nodiscard]] uint32_t cq_tail() const { return word(cq_, params_.cq_off.tail).load(); }
	[[nodiscard]] const io_uring_cqe &cqe(uint32_t index) const
	{
		return reinterpret_cast<const io_uring_cqe *>(cq_ + params_.cq_off.cqes)[index % params_.cq_entries];
	}
	void consume() { word(cq_, params_.cq_off.head).store(cq_tail()); }

	// io_uring_enter's result.
	long submit(const io_uring_sqe &sqe)
	{
		uint32_t tail = word(sq_, params_.sq_off.tail).load();
		sqes_[tail % kEntries] = sqe;
		word(sq_, params_.sq_off.array + sizeof(uint32_t) * (tail % kEntries)).store(tail % kEntries);
		word(sq_, params_.sq_off.tail).store(tail + 1);
		uint32_t flags = params_.flags & IORING_SETUP_SQPOLL ? IORING_ENTER_SQ_WAKEUP : 0;
		return enter(1, 0, flags);
	}
	long enter(unsigned submit, unsigned wait, uint32_t flags) const
	{
		return ::syscall(SYS_io_uring_enter, fd_, submit, wait, flags, nullptr, 0);
	}

private:
	[[nodiscard]] char *map(size_t size, off_t offset) const
	{
		return static_cast<char *>(::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, offset));
	}
	static std::atomic<uint32_t> &word(char *ring, uint32_t offset)
	{
		return *reinterpret_cast<std::atomic<uint32_t> *>(ring + offset);
	}

	io_uring_params params_ = {};
	int fd_ = -1;
	char *sq_ = nullptr;
	char *cq_ = nullptr;
	io_uring_sqe *sqes_ = nullptr;
};

} // namespace bpfckpt::selftests
