/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Works of io-wq (io_uring/io-wq.c) as they were found: which stand still as long as no thread of the program runs, and
// which will be done, given time.
//
// One that has begun stands still while its worker sleeps and it waits for something outside; one in a queue, while all
// workers of its kind do: none is left to take it, and more of them are made by the program's thread only.
#pragma once

#include <functional>
#include <map>

#include "iterators/kernel_layout.h"
#include "iterators/uring_reader.h"

namespace bpfckpt::uring {

// Whether the file of a request is a regular file, a directory or a block device: I/O on it ends by itself.
using IsDisk = std::function<bool(const uring_request_record &request)>;

class Workers {
public:
	Workers(const iterators::UringRecords &records, const iterators::KernelLayout &layout, IsDisk is_disk);

	// The kernel is at it, or will be without anybody's help: it is waited for.
	[[nodiscard]] bool is_bounded(const uring_request_record &record) const;

private:
	// Workers of one thread, for one kind of works: struct io_wq_acct.
	struct Account {
		uint32_t workers = 0;
		uint32_t waiting = 0; // they execute what stands still
		uint32_t moving = 0;
	};
	[[nodiscard]] bool waits(const uring_request_record &record) const;
	[[nodiscard]] Account account_of(const uring_request_record &record) const;

	const iterators::KernelLayout &layout_;
	IsDisk is_disk_;
	std::map<std::pair<uint64_t, bool>, Account> accounts_; // struct io_uring_task, and whether unbound
};

} // namespace bpfckpt::uring
