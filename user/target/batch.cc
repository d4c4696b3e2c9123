// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/target/batch.h"

#include <algorithm>
#include <climits>

#include <sys/uio.h>

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

Result<> SyscallBatch::assemble_round(RemoteRange slot, std::vector<std::byte> &image)
{
	size_t end = next_;
	uint64_t used = 0;
	for (; end < calls_.size(); end++) {
		uint64_t more = sizeof(StubCall) + blob_bytes(calls_[end]);
		if (used + more > slot.size)
			break;
		used += more;
	}
	if (end == next_ && end < calls_.size())
		return make_error(Code::kInternal, "{} has more data than a slot of the stub holds",
				  syscall_name(calls_[next_].call.nr));
	image.resize(used);
	assemble(end, slot, image);
	round_end_ = end;
	return {};
}

Result<> SyscallBatch::take_results(const Tracee &tracee, std::span<const StubCall> done)
{
	for (const StubCall &call_done : done) {
		Call &call = calls_[next_];
		call.call.result = call_done.result;
		if (call_done.result < 0 && call_done.result >= -4095 && !call_done.may_fail)
			return failure(tracee, call_done);
		for (int index : call.blobs) {
			if (index < 0 || !blobs_[static_cast<size_t>(index)].out)
				continue;
			Data &blob = blobs_[static_cast<size_t>(index)];
			TRY(tracee.read(blob.address, blob.bytes));
		}
		next_++;
	}
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

// One round of each of many batches. Memory of one process is moved in as few calls as it takes.
class RoundOfMany {
public:
	Result<bool> run(std::span<BatchRun> runs); // false: nothing was left to do

private:
	struct Part {
		BatchRun *run;
		std::vector<std::byte> image; // then the calls, as they are afterwards
	};
	using Transfer = ssize_t (*)(pid_t, const iovec *, unsigned long, const iovec *, unsigned long, unsigned long);

	Result<> transfer(Transfer way, const char *what);
	Result<> transfer_of_one(Transfer way, const char *what, std::span<Part> parts);

	std::vector<Part> parts_;
};

// Of one process, IOV_MAX of them at most.
Result<> RoundOfMany::transfer_of_one(Transfer way, const char *what, std::span<Part> parts)
{
	std::vector<iovec> local;
	std::vector<iovec> remote;
	ssize_t wanted = 0;
	for (Part &part : parts) {
		local.push_back({part.image.data(), part.image.size()});
		remote.push_back({reinterpret_cast<void *>(part.run->tracee->slot().address), part.image.size()});
		wanted += static_cast<ssize_t>(part.image.size());
	}
	const Tracee &first = *parts.front().run->tracee; // of a process whose leader has exited only a thread will do
	ssize_t done = way(first.tid(), local.data(), local.size(), remote.data(), remote.size(), 0);
	if (done != wanted)
		return errno_error(done < 0 ? errno : EFAULT, "cannot {} the stub of pid {}", what, first.pid());
	return {};
}

Result<> RoundOfMany::transfer(Transfer way, const char *what)
{
	for (size_t first = 0, end = 0; first < parts_.size(); first = end) {
		pid_t pid = parts_[first].run->tracee->pid();
		while (end < parts_.size() && end - first < IOV_MAX && parts_[end].run->tracee->pid() == pid)
			end++;
		TRY(transfer_of_one(way, what, std::span(parts_).subspan(first, end - first)));
	}
	return {};
}

Result<bool> RoundOfMany::run(std::span<BatchRun> runs)
{
	for (BatchRun &run : runs) {
		Part part = {.run = &run, .image = {}};
		TRY(run.batch->assemble_round(run.tracee->slot(), part.image));
		if (!part.image.empty())
			parts_.push_back(std::move(part));
	}
	TRY(transfer(::process_vm_writev, "write"));
	for (Part &part : parts_) {
		Tracee &tracee = *part.run->tracee;
		part.image.resize(part.run->batch->calls_in_round() * sizeof(StubCall));
		uint64_t calls = tracee.slot().address;
		TRY(tracee.start(tracee.stub().loop(), calls, calls + part.image.size()));
	}
	for (Part &part : parts_)
		TRY(part.run->tracee->wait_trap(part.run->tracee->stub().after_loop()));
	TRY(transfer(::process_vm_readv, "read"));
	for (Part &part : parts_) {
		std::vector<StubCall> done(part.run->batch->calls_in_round());
		memcpy(done.data(), part.image.data(), part.image.size());
		TRY(part.run->batch->take_results(*part.run->tracee, done));
	}
	return !parts_.empty();
}

Result<> SyscallBatch::run(Tracee &tracee)
{
	BatchRun one = {.tracee = &tracee, .batch = this};
	return run_all({&one, 1});
}

Result<> run_all(std::span<BatchRun> runs)
{
	while (TRY(RoundOfMany().run(runs)))
		;
	return {};
}

} // namespace bpfckpt::target
