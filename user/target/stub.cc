// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/target/stub.h"

// Position independent. The loop keeps its state in r14 and r15, which no system call changes.
asm(R"(
	.pushsection .rodata
	.balign 64
stub_start:
	cmp %r14, %r15
	jae stub_stop
	mov (%r15), %eax
	mov 8(%r15), %rdi
	mov 16(%r15), %rsi
	mov 24(%r15), %rdx
	mov 32(%r15), %r10
	mov 40(%r15), %r8
	mov 48(%r15), %r9
	syscall
	mov %rax, 56(%r15)
	cmp $-4095, %rax
	jae stub_failed
stub_next:
	add $64, %r15
	jmp stub_start
stub_failed:
	cmpl $0, 4(%r15)
	jne stub_next
stub_stop:
	int3
stub_single:
	syscall
	int3
stub_count:
	mov $222, %eax		# timer_create(CLOCK_MONOTONIC, NULL, r15)
	mov $1, %edi
	xor %esi, %esi
	mov %r15, %rdx
	syscall
	test %rax, %rax
	jnz stub_counted
	mov $226, %eax		# timer_delete
	movslq (%r15), %rdi
	syscall
	test %rax, %rax
	jnz stub_counted
	dec %r14
	jnz stub_count
stub_counted:
	int3
stub_counted_end:
	.balign 64
stub_tile_config:
	.byte 1			# palette 1, no tile configured yet beyond the first
	.skip 15
	.byte 64, 0		# bytes per row of tile 0
	.skip 30
	.byte 16		# rows of tile 0
	.skip 15
stub_tile:
	.byte 0xc4, 0xe2, 0x78, 0x49, 0x05	# ldtilecfg stub_tile_config(%rip)
	.long stub_tile_config - stub_tile_loaded
stub_tile_loaded:
	.byte 0xc4, 0xe2, 0x7b, 0x49, 0xc0	# tilezero %tmm0
	int3
stub_end:
	.popsection
)");

extern "C" {
extern const std::byte stub_start[], stub_stop[], stub_single[], stub_count[], stub_counted_end[], stub_tile[],
	stub_end[];
}

namespace bpfckpt::target {

static constexpr uint64_t kSyscallSize = 2; // 0f 05
static constexpr uint64_t kInt3Size = 1;

static uint64_t offset_of(const std::byte *label)
{
	return static_cast<uint64_t>(label - stub_start);
}

uint64_t StubLayout::loop() const
{
	return base_;
}

uint64_t StubLayout::after_loop() const
{
	return base_ + offset_of(stub_stop) + kInt3Size;
}

uint64_t StubLayout::single_call() const
{
	return base_ + offset_of(stub_single);
}

uint64_t StubLayout::after_single() const
{
	return single_call() + kSyscallSize + kInt3Size;
}

uint64_t StubLayout::count_timer_ids() const
{
	return base_ + offset_of(stub_count);
}

uint64_t StubLayout::after_count() const
{
	return base_ + offset_of(stub_counted_end);
}

uint64_t StubLayout::tile_init() const
{
	return base_ + offset_of(stub_tile);
}

uint64_t StubLayout::after_tile() const
{
	return base_ + offset_of(stub_end);
}

std::span<const std::byte> stub_code()
{
	return {stub_start, stub_end};
}

} // namespace bpfckpt::target
