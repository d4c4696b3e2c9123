// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/vdso.h"

#include <algorithm>
#include <cstring>
#include <ranges>

#include <sys/mman.h>
#include <sys/syscall.h>

#include "user/memory/vdso.h"
#include "user/target/batch.h"

namespace bpfckpt::restore {

using memory::OwnVdso;
using memory::Range;
using target::SyscallBatch;

namespace {

constexpr int kArchMapVdso64 = 0x2003;         // ARCH_MAP_VDSO_64 (arch/x86/include/uapi/asm/prctl.h)
constexpr uint64_t kTaskSize = 0x7ffffffff000; // TASK_SIZE without 5-level paging
constexpr uint64_t kGuard = 64 << 10;          // what lies beside it may grow by a little
constexpr uint64_t kUserCode = 0x33;           // __USER_CS
constexpr int kMostInstructions = 100'000;     // of one call, which takes about a hundred

// The highest hole, because the heap and mappings to come grow into others; but not below a stack.
Result<uint64_t> find_place(const images::Memory &memory, target::RemoteRange stub, uint64_t size)
{
	uint64_t above = kTaskSize;
	bool above_grows = false;
	for (const images::Vma &vma : memory.vmas() | std::views::reverse) {
		if (vma.kind() == images::Vma::VSYSCALL)
			continue;
		uint64_t place = (above - kGuard - size) & ~uint64_t{4095};
		bool has_room = above > vma.end() && above - vma.end() >= size + 2 * kGuard;
		if (has_room && !above_grows && (place >= stub.end() || place + size <= stub.address))
			return place;
		above = vma.start();
		above_grows = std::ranges::find(vma.advice(), "gd") != vma.advice().end();
	}
	return make_error(Code::kLimit, "has no hole of {} bytes for the vDSO of this kernel", size);
}

// A signal frame (struct sigcontext) that returns into the old code: ip, flags, and the code segment.
Result<> check_frames(const images::Memory &memory, const PageImage &pages, Range code)
{
	for (const images::PageRun &run : memory.pages()) {
		std::span<const std::byte> bytes = TRY(pages.content(run));
		for (size_t at = 0; at + 3 * sizeof(uint64_t) <= bytes.size(); at += sizeof(uint64_t)) {
			uint64_t words[3];
			memcpy(words, bytes.data() + at, sizeof(words));
			if (words[0] >= code.start && words[0] < code.end && (words[2] & 0xffff) == kUserCode)
				return Error(Code::kMismatch,
					     "has interrupted the vDSO of the kernel of the dump by a signal handler")
					.with_hint("restore on that kernel, or dump again");
		}
	}
	return {};
}

class OtherVdso {
public:
	OtherVdso(Member &member, const images::Memory &memory, const images::Vdso &vdso, OwnVdso own)
		: member_(member),
		  memory_(memory),
		  vdso_(vdso),
		  own_(own),
		  code_(memory::vdso_code(memory)),
		  first_(code_.start)
	{
	}
	Result<> restore(const PageImage &pages);

private:
	Result<> map(uint64_t place);
	Result<> write_old();
	Result<> come_out(const images::Thread &thread);
	Result<bool> emulate_clock(user_regs_struct &regs) const;
	Result<> protect(int protection);

	Member &member_;
	const images::Memory &memory_;
	const images::Vdso &vdso_;
	OwnVdso own_;
	Range code_;
	uint64_t first_; // of the old data, if anyone reads it
	std::vector<const images::Thread *> inside_;
};

Result<> OtherVdso::protect(int protection)
{
	SyscallBatch batch;
	batch.add(SYS_mprotect, code_.start, code_.size(), protection);
	return batch.run(member_.leader);
}

// The address is a hint to the kernel: what is there now is looked at.
Result<> OtherVdso::map(uint64_t place)
{
	SyscallBatch batch;
	batch.add(SYS_arch_prctl, kArchMapVdso64, place);
	batch.add(SYS_mmap, first_, code_.end - first_, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	TRY(batch.run(member_.leader));
	std::vector<std::byte> there(own_.bytes().size());
	Result<> read = member_.leader.read(place + own_.code - own_.start, there);
	if (!read || !std::ranges::equal(there, own_.bytes()))
		return Error(Code::kInternal, "the vDSO came to lie elsewhere").on(name_of(*member_.image));
	return {};
}

Result<> OtherVdso::write_old()
{
	TRY(member_.leader.write(code_.start, std::as_bytes(std::span(vdso_.code()))));
	for (const images::VdsoPage &page : vdso_.data())
		TRY(member_.leader.write(code_.start - page.below(), std::as_bytes(std::span(page.content()))));
	return {};
}

// RDTSC and RDTSCP tell what they told at the dump: the data that they are held against is from then, too.
Result<bool> OtherVdso::emulate_clock(user_regs_struct &regs) const
{
	std::string_view next = std::string_view(vdso_.code()).substr(regs.rip - code_.start, 3);
	uint64_t length = next.starts_with("\x0f\x31") ? 2 : next.starts_with("\x0f\x01\xf9") ? 3 : 0;
	if (!length)
		return false;
	regs.rip += length;
	regs.rax = vdso_.tsc() & UINT32_MAX;
	regs.rdx = vdso_.tsc() >> 32;
	return true;
}

// By the leader, with the thread's registers: the memory is that of both.
Result<> OtherVdso::come_out(const images::Thread &thread)
{
	user_regs_struct regs = *memory::registers_of(thread);
	regs.orig_rax = ~0ULL;
	for (int i = 0; i < kMostInstructions; i++) {
		if (regs.rip < code_.start || regs.rip >= code_.end) {
			member_.out_of_vdso.emplace(thread.tid(), regs);
			return {};
		}
		if (!TRY(emulate_clock(regs)))
			regs = TRY(member_.leader.step(regs));
	}
	return Error(Code::kMismatch, "does not come out of the vDSO of the kernel of the dump")
		.on(fmt::format("thread {} of {}", thread.tid(), name_of(*member_.image)))
		.with_hint("restore on that kernel, or dump again");
}

Result<> OtherVdso::restore(const PageImage &pages)
{
	if (code_.empty())
		return {};
	if (code_.size() != vdso_.code().size())
		return Error(Code::kCorrupt, "has a vDSO of another size than that of its kernel")
			.on(name_of(*member_.image));
	TRY(check_frames(memory_, pages, code_));
	for (const images::Thread &thread : member_.image->threads())
		if (memory::is_inside(thread, code_))
			inside_.push_back(&thread);
	if (!inside_.empty())
		for (const images::VdsoPage &page : vdso_.data())
			first_ = std::min(first_, code_.start - page.below());
	uint64_t place = TRY(find_place(memory_, member_.leader.stub().area(), own_.end - own_.start));
	TRY(map(place));
	if (!inside_.empty()) {
		TRY(write_old());
		TRY(protect(PROT_READ | PROT_EXEC));
		for (const images::Thread *thread : inside_)
			TRY(come_out(*thread));
		TRY(protect(PROT_READ | PROT_WRITE));
		SyscallBatch batch;
		batch.add(SYS_munmap, first_, code_.start - first_);
		TRY(batch.run(member_.leader));
	}
	std::string jumps = TRY(
		redirect_vdso(std::as_bytes(std::span(vdso_.code())), own_.bytes(), place + own_.code - own_.start));
	TRY(member_.leader.write(code_.start, std::as_bytes(std::span(jumps))));
	return protect(PROT_READ | PROT_EXEC);
}

// Why another vDSO cannot stand in for the one of the dump; an error without a message: it can.
Result<> check_redirection(const Plan &plan)
{
	const images::Vdso &then = plan.manifest->vdso();
	if (then.code().empty())
		return Error(Code::kMismatch, "is not the one of the kernel that the dump was taken on");
	OwnVdso own = TRY(memory::own_vdso());
	TRY(redirect_vdso(std::as_bytes(std::span(then.code())), own.bytes(), 0));
	for (const images::VdsoPage &page : then.data())
		if (page.content().size() != 4096 || page.below() % 4096 || page.below() < 4096 ||
		    page.below() > 1 << 20)
			return Error(Code::kCorrupt, "has data that is not below its code");
	for (const images::Process &process : plan.document->processes()) {
		const images::Memory *memory = plan.memory_of(process);
		for (const images::Thread &thread : process.threads()) {
			if (!memory || !memory::is_inside(thread, memory::vdso_code(*memory)))
				continue;
			// One that returns at once is over by now.
			bool waits =
				thread.has_syscall() && thread.syscall().resume() != images::InterruptedSyscall::AS_IS;
			if (then.data().empty() || waits)
				return make_error(Code::kMismatch, "is in use by thread {} of {}", thread.tid(),
						  name_of(process));
		}
	}
	return {};
}

} // namespace

// A program may be stopped inside the vDSO, and keeps pointers into it.
void check_vdso(Plan &plan, Findings &findings)
{
	const std::string &then = plan.manifest->vdso_hash();
	if (then.empty() || then == memory::vdso_hash())
		return;
	plan.other_vdso = &plan.manifest->vdso();
	if (Result<> can = check_redirection(plan); !can)
		findings.push_back(std::move(can).error().on("vDSO").with_hint("restore on the kernel of the dump: " +
									       plan.manifest->kernel_release()));
}

Result<> restore_other_vdso(Member &member, const images::Memory &memory, const PageImage &pages)
{
	return OtherVdso(member, memory, *member.other_vdso, TRY(memory::own_vdso())).restore(pages);
}

} // namespace bpfckpt::restore
