// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Conditional constant propagation: each instruction has the registers that are the same constant on all ways that lead
// to it, and is looked at again when they get fewer. Memory is not followed, nor what a function returns.
#include "selftests/vm/reachable.h"

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <set>

namespace bpfckpt::selftests {

namespace {

using Value = std::optional<uint64_t>;
using Registers = std::array<Value, MAX_BPF_REG>;

bool is_wide_load(const bpf_insn &insn)
{
	return insn.code == (BPF_LD | BPF_IMM | BPF_DW);
}

// The function that an instruction calls, or takes the address of, e.g. for bpf_loop().
std::optional<size_t> function_of(std::span<const bpf_insn> program, size_t at)
{
	const bpf_insn &insn = program[at];
	bool calls = insn.code == (BPF_JMP | BPF_CALL) && insn.src_reg == BPF_PSEUDO_CALL;
	if (!calls && !(is_wide_load(insn) && insn.src_reg == BPF_PSEUDO_FUNC))
		return {};
	size_t target = at + 1 + static_cast<size_t>(static_cast<int64_t>(insn.imm));
	return target < program.size() ? std::optional(target) : std::nullopt;
}

Value calculate(uint8_t operation, Value left, Value right)
{
	if (operation == BPF_MOV)
		return right;
	if (!left || !right)
		return {};
	switch (operation) {
	case BPF_ADD:
		return *left + *right;
	case BPF_SUB:
		return *left - *right;
	case BPF_OR:
		return *left | *right;
	case BPF_AND:
		return *left & *right;
	case BPF_XOR:
		return *left ^ *right;
	case BPF_LSH:
		return *left << (*right & 63);
	case BPF_RSH:
		return *left >> (*right & 63);
	case BPF_ARSH:
		return static_cast<uint64_t>(static_cast<int64_t>(*left) >> (*right & 63));
	default:
		return {};
	}
}

template <typename Unsigned, typename Signed>
std::optional<bool> compare(uint8_t operation, uint64_t a, uint64_t b)
{
	auto left = static_cast<Unsigned>(a), right = static_cast<Unsigned>(b);
	auto left_signed = static_cast<Signed>(a), right_signed = static_cast<Signed>(b);
	switch (operation) {
	case BPF_JEQ:
		return left == right;
	case BPF_JNE:
		return left != right;
	case BPF_JGT:
		return left > right;
	case BPF_JGE:
		return left >= right;
	case BPF_JLT:
		return left < right;
	case BPF_JLE:
		return left <= right;
	case BPF_JSET:
		return (left & right) != 0;
	case BPF_JSGT:
		return left_signed > right_signed;
	case BPF_JSGE:
		return left_signed >= right_signed;
	case BPF_JSLT:
		return left_signed < right_signed;
	case BPF_JSLE:
		return left_signed <= right_signed;
	default:
		return {};
	}
}

class Walk {
public:
	explicit Walk(std::span<const bpf_insn> program)
		: program_(program), seen_(program.size()), known_(program.size())
	{
	}

	std::vector<bool> run()
	{
		arrive(0, {});
		while (!todo_.empty()) {
			size_t at = todo_.front();
			todo_.pop_front();
			step(at, known_[at]);
		}
		return seen_;
	}

private:
	// Another way to an instruction: what is not the same on both is not known.
	void arrive(size_t at, const Registers &registers)
	{
		if (at >= program_.size())
			return;
		Registers joined = registers;
		for (size_t i = 0; seen_[at] && i < joined.size(); i++)
			if (joined[i] != known_[at][i])
				joined[i].reset();
		if (seen_[at] && joined == known_[at])
			return;
		seen_[at] = true;
		known_[at] = joined;
		todo_.push_back(at);
	}

	[[nodiscard]] Value operand(const bpf_insn &insn, const Registers &registers) const
	{
		if (BPF_SRC(insn.code) == BPF_X)
			return registers[insn.src_reg];
		return static_cast<uint64_t>(static_cast<int64_t>(insn.imm));
	}

	void step(size_t at, Registers registers)
	{
		const bpf_insn &insn = program_[at];
		if (auto function = function_of(program_, at))
			arrive(*function, {});
		switch (BPF_CLASS(insn.code)) {
		case BPF_JMP:
		case BPF_JMP32:
			jump(at, registers);
			return;
		case BPF_ALU:
		case BPF_ALU64:
			assign(insn, registers);
			break;
		case BPF_LD:
		case BPF_LDX:
			registers[insn.dst_reg].reset();
			break;
		case BPF_STX:
			// An atomic operation that fetches.
			registers[insn.src_reg] = BPF_MODE(insn.code) == BPF_ATOMIC ? Value() : registers[insn.src_reg];
			registers[BPF_REG_0] = BPF_MODE(insn.code) == BPF_ATOMIC ? Value() : registers[BPF_REG_0];
			break;
		default:
			break;
		}
		arrive(at + (is_wide_load(insn) ? 2 : 1), registers);
	}

	void assign(const bpf_insn &insn, Registers &registers) const
	{
		bool narrow = BPF_CLASS(insn.code) == BPF_ALU;
		Value right = operand(insn, registers), left = registers[insn.dst_reg];
		if (left && narrow)
			left = static_cast<uint32_t>(*left);
		// A sign-extending move (off is its width), and an arithmetic shift of 32 bits, are not followed.
		bool followed = !insn.off && !(narrow && BPF_OP(insn.code) == BPF_ARSH);
		Value result = followed ? calculate(BPF_OP(insn.code), left, right) : Value();
		if (result && narrow)
			result = static_cast<uint32_t>(*result);
		registers[insn.dst_reg] = result;
	}

	void jump(size_t at, Registers registers)
	{
		const bpf_insn &insn = program_[at];
		size_t target = at + 1 + static_cast<size_t>(static_cast<int64_t>(insn.off));
		switch (BPF_OP(insn.code)) {
		case BPF_EXIT:
			return;
		case BPF_CALL:
			for (size_t i = BPF_REG_0; i <= BPF_REG_5; i++)
				registers[i].reset();
			arrive(at + 1, registers);
			return;
		case BPF_JA:
			if (BPF_CLASS(insn.code) == BPF_JMP32)
				target = at + 1 + static_cast<size_t>(static_cast<int64_t>(insn.imm));
			arrive(target, registers);
			return;
		default:
			branch(at, target, registers);
		}
	}

	void branch(size_t at, size_t target, const Registers &registers)
	{
		const bpf_insn &insn = program_[at];
		Value left = registers[insn.dst_reg], right = operand(insn, registers);
		std::optional<bool> taken;
		if (left && right && BPF_CLASS(insn.code) == BPF_JMP)
			taken = compare<uint64_t, int64_t>(BPF_OP(insn.code), *left, *right);
		else if (left && right)
			taken = compare<uint32_t, int32_t>(BPF_OP(insn.code), *left, *right);
		if (taken != false)
			arrive(target, registers);
		if (taken != true)
			arrive(at + 1, registers);
	}

	std::span<const bpf_insn> program_;
	std::vector<bool> seen_;
	std::vector<Registers> known_;
	std::deque<size_t> todo_;
};

} // namespace

std::vector<bool> reachable(std::span<const bpf_insn> program)
{
	return Walk(program).run();
}

std::vector<size_t> function_starts(std::span<const bpf_insn> program)
{
	std::set<size_t> starts{0};
	for (size_t at = 0; at < program.size(); at += is_wide_load(program[at]) ? 2 : 1)
		if (auto function = function_of(program, at))
			starts.insert(*function);
	return {starts.begin(), starts.end()};
}

} // namespace bpfckpt::selftests
