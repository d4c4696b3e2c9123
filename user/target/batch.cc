// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/target/batch.h"

#include <algorithm>

#include "user/target/syscall_name.h"

namespace bpfckpt::target {

static constexpr uint64_t kAlign = 16;

static uint64_t aligned(uint64_t size)
{
	return (size + kAlign - 1) & ~(kAlign - 1);
}

size_t SyscallBatch::push(long nr, bool may_fail, std::initializer_list<Arg> args)
{
	Call call = {};
	call.call.nr = static_cast<uint32_t>(nr);
	call.call.may_fail = may_fail;
	std::fill(std::begin(call.blobs), std::end(call.blobs), -1);
	size_t n = 0;
	for (const Arg &arg : args) {
		call.call.args[n] = arg.value;
		call.blobs[n++] = arg.blob;
	}
	calls_.push_back(call);
	return calls_.size() - 1;
}

Blob SyscallBatch::data(std::span<const std::byte> bytes, std::vector<Fixup> fixups)
{
	blobs_.push_back({.bytes = {bytes.begin(), bytes.end()}, .fixups = std::move(fixups)});
	return {static_cast<int>(blobs_.size()) - 1};
}

Blob SyscallBatch::buffer(size_t size)
{
	blobs_.push_back({.bytes = std::vector<std::byte>(size), .fixups = {}, .out = true});
	return {static_cast<int>(blobs_.size()) - 1};
}

uint64_t SyscallBatch::blob_bytes(const Call &call) const
{
	uint64_t sum = 0;
	for (int blob : call.blobs)
		if (blob >= 0)
			sum += aligned(blobs_[static_cast<size_t>(blob)].bytes.size());
	return sum;
}

// Lays out calls next_..end at the start of the slot, their blobs behind them.
void SyscallBatch::assemble(size_t end, RemoteRange slot, std::vector<std::byte> &image)
{
	uint64_t used = (end - next_) * sizeof(StubCall);
	for (size_t i = next_; i < end; i++) {
		Call &call = calls_[i];
		for (size_t a = 0; a < 6; a++) {
			if (call.blobs[a] < 0)
				continue;
			Data &blob = blobs_[static_cast<size_t>(call.blobs[a])];
			blob.address = slot.address + used;
			call.call.args[a] = blob.address;
			for (const Fixup &fixup : blob.fixups) {
				uint64_t address = blob.address + fixup.target;
				memcpy(blob.bytes.data() + fixup.at, &address, sizeof(address));
			}
			std::copy(blob.bytes.begin(), blob.bytes.end(), image.begin() + static_cast<ptrdiff_t>(used));
			used += aligned(blob.bytes.size());
		}
		memcpy(image.data() + (i - next_) * sizeof(StubCall), &call.call, sizeof(StubCall));
	}
}

Result<bool> SyscallBatch::start_round(Tracee &tracee)
{
	if (next_ == calls_.size())
		return false;
	RemoteRange slot = tracee.slot();
	size_t end = next_;
	uint64_t used = 0;
	for (; end < calls_.size(); end++) {
		uint64_t more = sizeof(StubCall) + blob_bytes(calls_[end]);
		if (used + more > slot.size)
			break;
		used += more;
	}
	if (end == next_)
		return make_error(Code::kInternal, "{} has more data than a slot of the stub holds",
				  syscall_name(calls_[next_].call.nr));
	std::vector<std::byte> image(used);
	assemble(end, slot, image);
	round_end_ = end;
	TRY(tracee.write(slot.address, image));
	TRY(tracee.start(tracee.stub().loop(), slot.address, slot.address + (end - next_) * sizeof(StubCall)));
	return true;
}

Result<> SyscallBatch::finish_round(Tracee &tracee)
{
	TRY(tracee.wait_trap(tracee.stub().after_loop()));
	size_t count = round_end_ - next_;
	std::vector<StubCall> done(count);
	TRY(tracee.read(tracee.slot().address, std::as_writable_bytes(std::span(done))));
	for (size_t i = 0; i < count; i++) {
		Call &call = calls_[next_ + i];
		call.call.result = done[i].result;
		if (done[i].result < 0 && done[i].result >= -4095 && !done[i].may_fail)
			return failure(tracee, done[i]);
		for (int index : call.blobs) {
			if (index < 0 || !blobs_[static_cast<size_t>(index)].out)
				continue;
			Data &blob = blobs_[static_cast<size_t>(index)];
			TRY(tracee.read(blob.address, blob.bytes));
		}
	}
	next_ = round_end_;
	return {};
}

Error SyscallBatch::failure(const Tracee &tracee, const StubCall &call) const
{
	return errno_error(static_cast<int>(-call.result), "{}({:#x}, {:#x}, {:#x}, {:#x}, {:#x}, {:#x}) failed",
			   syscall_name(call.nr), call.args[0], call.args[1], call.args[2], call.args[3], call.args[4],
			   call.args[5])
		.on(tracee.pid() == tracee.tid() ? fmt::format("pid {}", tracee.pid())
						 : fmt::format("thread {} of pid {}", tracee.tid(), tracee.pid()));
}

Result<> SyscallBatch::run(Tracee &tracee)
{
	while (TRY(start_round(tracee)))
		TRY(finish_round(tracee));
	return {};
}

Result<> run_all(std::span<BatchRun> runs)
{
	for (;;) {
		std::vector<BatchRun *> under_way;
		for (BatchRun &run : runs)
			if (TRY(run.batch->start_round(*run.tracee)))
				under_way.push_back(&run);
		for (BatchRun *run : under_way)
			TRY(run->batch->finish_round(*run->tracee));
		if (under_way.empty())
			return {};
	}
}

} // namespace bpfckpt::target
