// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/workers.h"

#include <utility>

#include "user/uring/classify.h"

namespace bpfckpt::uring {

constexpr uint32_t kUnbound = 4; // IO_WQ_WORK_UNBOUND

static std::pair<uint64_t, bool> key_of(const uring_request_record &record)
{
	return {record.tctx, (record.work_flags & kUnbound) != 0};
}

Workers::Workers(const iterators::UringRecords &records, const iterators::KernelLayout &layout, IsDisk is_disk)
	: layout_(layout), is_disk_(std::move(is_disk))
{
	for (const uring_task_record &task : records.tasks)
		for (bool unbound : {false, true})
			accounts_[{task.tctx, unbound}].workers = task.workers[unbound];
	for (const uring_request_record &record : records.requests) {
		if (record.place != URING_PLACE_WQ_WORKER)
			continue;
		Account &account = accounts_[key_of(record)];
		(record.worker_asleep && waits(record) ? account.waiting : account.moving)++;
	}
}

bool Workers::waits(const uring_request_record &record) const
{
	RequestSource source;
	source.record = &record;
	source.layout = &layout_;
	return waits_without_bound(source, is_disk_ && is_disk_(record));
}

Workers::Account Workers::account_of(const uring_request_record &record) const
{
	auto account = accounts_.find(key_of(record));
	return account == accounts_.end() ? Account{} : account->second;
}

bool Workers::is_bounded(const uring_request_record &record) const
{
	switch (record.place) {
	case URING_PLACE_IOPOLL:
		return !waits(record);
	case URING_PLACE_WQ_WORKER:
		return !record.worker_asleep || !waits(record);
	case URING_PLACE_WQ_HASHED: // behind one worker, the others leave it alone
		return account_of(record).moving != 0;
	case URING_PLACE_WQ_QUEUE: {
		Account account = account_of(record);
		return account.moving || account.workers > account.waiting;
	}
	case URING_PLACE_FALLBACK: // the kernel's own work (io_uring/io_uring.c: io_fallback_req_func())
		return true;
	default:
		return false;
	}
}

} // namespace bpfckpt::uring
