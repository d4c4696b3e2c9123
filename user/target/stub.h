/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// The stub: a private area in each address space under construction. Its first page holds a dozen instructions that
// execute an array of system calls; behind it lie the arrays (slots), one large one for the leader and a small one for
// each thread.
//
// Invariant: the area lies at the same address in every process of the tree, in a hole of all their final address
// spaces, so that fork carries it along and the last system call can unmap it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "user/util/page.h"

namespace bpfckpt::target {

// One element of the array, as the code in stub.cc reads it.
struct StubCall {
	uint32_t nr;
	uint32_t may_fail; // 0: the loop ends at this call if it fails
	uint64_t args[6];
	int64_t result;
};
static_assert(sizeof(StubCall) == 64);

// Part of a tracee's memory.
struct RemoteRange {
	uint64_t address = 0;
	uint64_t size = 0;

	[[nodiscard]] uint64_t end() const { return address + size; }
};

class StubLayout {
public:
	static constexpr uint64_t kMainSlot = 128 << 10;
	static constexpr uint64_t kThreadSlot = kPageSize;

	StubLayout() = default;
	StubLayout(uint64_t base, size_t threads) : base_(base), threads_(threads) {}

	static uint64_t size_for(size_t threads) { return kPageSize + kMainSlot + threads * kThreadSlot; }

	[[nodiscard]] RemoteRange area() const { return {base_, size_for(threads_)}; }
	[[nodiscard]] RemoteRange code_page() const { return {base_, kPageSize}; }
	[[nodiscard]] RemoteRange main_slot() const { return {base_ + kPageSize, kMainSlot}; }
	[[nodiscard]] RemoteRange thread_slot(size_t index) const
	{
		return {base_ + kPageSize + kMainSlot + index * kThreadSlot, kThreadSlot};
	}

	[[nodiscard]] uint64_t loop() const;         // start of the loop; r15: first StubCall, r14: behind the last
	[[nodiscard]] uint64_t after_loop() const;   // ip at the stop that ends it
	[[nodiscard]] uint64_t single_call() const;  // one bare syscall instruction
	[[nodiscard]] uint64_t after_single() const; // ip at the stop behind it
	// Makes and deletes r14 timers, one after the other; the ID of the last one is at r15. rax: 0, or what failed.
	[[nodiscard]] uint64_t count_timer_ids() const;
	[[nodiscard]] uint64_t after_count() const;
	[[nodiscard]] uint64_t tile_init() const; // makes the thread own AMX state; ends at after_tile()
	[[nodiscard]] uint64_t after_tile() const;

private:
	uint64_t base_ = 0;
	size_t threads_ = 0;
};

// What goes to the start of the code page.
[[nodiscard]] std::span<const std::byte> stub_code();

} // namespace bpfckpt::target
