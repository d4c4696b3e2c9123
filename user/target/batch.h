/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// SyscallBatch: system calls that a tracee executes in its stub, together with the memory that they point to.
//
// A batch is built in plain C++ and may be of any length: it runs in as many rounds as the tracee's slot needs. Data
// goes along as blobs, which are placed, and their addresses filled in, when a round is assembled.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "user/target/remote.h"
#include "user/util/result.h"

namespace bpfckpt::target {

// Data of a batch, used by exactly one call.
struct Blob {
	int index = -1;
};

class SyscallBatch {
public:
	// A number or a blob's address.
	struct Arg {
		uint64_t value = 0;
		int blob = -1;

		template <class T>
			requires std::is_integral_v<T> || std::is_enum_v<T>
		Arg(T number) : value(static_cast<uint64_t>(number)) // NOLINT: arguments are meant to convert
		{
		}
		Arg(Blob b) : blob(b.index) {} // NOLINT
	};

	// The 8 bytes at `at` of a blob become the remote address of its byte `target`.
	struct Fixup {
		uint32_t at;
		uint32_t target;
	};

	// Both give the index of the call. A call that is not optional ends the batch if it fails, and run() names it.
	template <class... Args>
	size_t add(long nr, Args... args)
	{
		return push(nr, false, {Arg(args)...});
	}
	template <class... Args>
	size_t add_optional(long nr, Args... args)
	{
		return push(nr, true, {Arg(args)...});
	}

	Blob data(std::span<const std::byte> bytes, std::vector<Fixup> fixups = {});
	Blob text(const std::string &string)
	{
		return data(std::as_bytes(std::span(string.c_str(), string.size() + 1)));
	}
	template <class T>
		requires std::is_trivially_copyable_v<T>
	Blob value(const T &object)
	{
		return data(std::as_bytes(std::span(&object, 1)));
	}
	// Filled by the kernel; output() gives it after the run.
	Blob buffer(size_t size);
	// Both: read by the kernel, and changed.
	template <class T>
		requires std::is_trivially_copyable_v<T>
	Blob exchange(const T &object)
	{
		Blob blob = value(object);
		blobs_.back().out = true;
		return blob;
	}

	// There may be thousands of calls.
	void reserve(size_t calls) { calls_.reserve(calls); }
	[[nodiscard]] bool empty() const { return calls_.empty(); }
	[[nodiscard]] size_t size() const { return calls_.size(); }

	// Errors: the first call that failed, with its name, arguments and errno; Code::kInternal if the tracee died.
	Result<> run(Tracee &tracee);

	// Calls that have run; after an error, the index of the one that failed.
	[[nodiscard]] size_t completed() const { return next_; }

	[[nodiscard]] int64_t result(size_t call) const { return calls_[call].call.result; }
	[[nodiscard]] std::span<const std::byte> output(Blob blob) const
	{
		return blobs_[static_cast<size_t>(blob.index)].bytes;
	}
	template <class T>
	[[nodiscard]] T output_as(Blob blob) const
	{
		T object;
		memcpy(&object, output(blob).data(), sizeof(object));
		return object;
	}

private:
	friend class RoundOfMany;
	struct Call {
		StubCall call;
		int blobs[6];
	};
	struct Data {
		std::vector<std::byte> bytes;
		std::vector<Fixup> fixups;
		bool out = false;
		uint64_t address = 0; // in the current round
	};

	size_t push(long nr, bool may_fail, std::initializer_list<Arg> args);
	[[nodiscard]] uint64_t blob_bytes(const Call &call) const;
	// The calls that fit into the slot, as they go there; empty: nothing left to do.
	Result<> assemble_round(RemoteRange slot, std::vector<std::byte> &image);
	void assemble(size_t end, RemoteRange slot, std::vector<std::byte> &image);
	[[nodiscard]] size_t calls_in_round() const { return round_end_ - next_; }
	Result<> take_results(const Tracee &tracee, std::span<const StubCall> done);
	[[nodiscard]] Error failure(const Tracee &tracee, const StubCall &call) const;

	std::vector<Call> calls_;
	std::vector<Data> blobs_;
	size_t next_ = 0;      // first call that has not run
	size_t round_end_ = 0; // behind the last call of the round under way
};

struct BatchRun {
	Tracee *tracee;
	SyscallBatch *batch;
};

// Runs them side by side: every tracee is started before the first is waited for, and those of a process are written
// and read together.
Result<> run_all(std::span<BatchRun> runs);

} // namespace bpfckpt::target
