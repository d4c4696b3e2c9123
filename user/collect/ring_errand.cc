// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/ring_errand.h"

#include <algorithm>
#include <array>

#include <linux/io_uring.h>
#include <sys/syscall.h>

namespace bpfckpt::collect {

namespace {

// One turn of an SQ thread's loop takes microseconds; it must get a CPU, too.
constexpr std::chrono::microseconds kSqThreadTurn{200};

} // namespace

std::optional<RingErrands::Handle> RingErrands::handle_of(uint64_t ring, const task_record &task) const
{
	uint64_t file = 0;
	for (const file_record &record : files_.files())
		if (iterators::kind_of(record) == iterators::FileKind::FILE_KIND_IO_URING &&
		    record.private_data == ring)
			file = record.file;
	if (!file)
		return {};
	iterators::TaskRecords records = tasks_.records();
	const auto &rings = records.common_of(task).registered_rings;
	for (uint32_t i = 0; i < TASK_RINGS; i++)
		if (rings[i] == file)
			return Handle{i, IORING_ENTER_REGISTERED_RING};
	for (const fd_record &fd : files_.fds())
		if (fd.file == file && fd.pid == task.pid)
			return Handle{fd.fd, 0};
	return {};
}

Result<bool> RingErrands::run(const uring::Errand &errand)
{
	Result<> done;
	if (errand.sq_thread) {
		done = tree_.let_sq_thread_run(static_cast<pid_t>(errand.tid), kSqThreadTurn, limit_);
	} else {
		auto task = std::ranges::find(tasks_.tasks(), errand.tid, &task_record::tid);
		// A call that the program does not make itself may be none that it is allowed.
		if (task == tasks_.tasks().end() || task->seccomp_mode || task->flags & TASK_DISPATCH)
			return false;
		auto handle = handle_of(errand.ring, *task);
		if (!handle)
			return false;
		// Nothing is submitted and nothing waited for. It says EEXIST where the ring is another thread's; that
		// thread's task work has run by then all the same, on the way out.
		std::array<uint64_t, 6> args = {handle->number, 0, 0, IORING_ENTER_GETEVENTS | handle->flags, 0, 0};
		Result<int64_t> called =
			tree_.borrow(static_cast<pid_t>(errand.tid), {.nr = SYS_io_uring_enter,
								      .args = args,
								      .signal_stack = task->altstack_sp,
								      .signal_stack_size = task->altstack_size,
								      .limit = limit_});
		if (!called)
			done = std::move(called).error();
	}
	if (!done && (done.error().code == Code::kGone || done.error().code == Code::kUnsupported))
		return false;
	TRY(std::move(done));
	return true;
}

} // namespace bpfckpt::collect
