// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Functions of a vDSO by name, and jumps in their place.
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include <elf.h>

#include "user/restore/vdso.h"

namespace bpfckpt::restore {

namespace {

struct Function {
	uint64_t address = 0;
	uint64_t size = 0;
	auto operator<=>(const Function &) const = default;
};

using Functions = std::map<std::string, Function>;

template <class Object>
std::optional<Object> object_at(std::span<const std::byte> file, uint64_t offset)
{
	Object object;
	if (offset > file.size() || file.size() - offset < sizeof(object))
		return std::nullopt;
	memcpy(&object, file.data() + offset, sizeof(object));
	return object;
}

std::string name_at(std::span<const std::byte> file, uint64_t offset)
{
	if (offset >= file.size())
		return {};
	const char *name = reinterpret_cast<const char *>(file.data()) + offset;
	return {name, strnlen(name, file.size() - offset)};
}

// From .dynsym: the file is loaded at 0, so that offsets are addresses.
Functions functions_of(std::span<const std::byte> file)
{
	Functions functions;
	auto header = object_at<Elf64_Ehdr>(file, 0);
	for (uint64_t i = 0; header && i < header->e_shnum; i++) {
		auto section = object_at<Elf64_Shdr>(file, header->e_shoff + i * sizeof(Elf64_Shdr));
		if (!section || section->sh_type != SHT_DYNSYM)
			continue;
		auto names = object_at<Elf64_Shdr>(file, header->e_shoff + section->sh_link * sizeof(Elf64_Shdr));
		for (uint64_t at = 0; names && at + sizeof(Elf64_Sym) <= section->sh_size; at += sizeof(Elf64_Sym)) {
			auto symbol = object_at<Elf64_Sym>(file, section->sh_offset + at);
			if (!symbol)
				break;
			if (ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && symbol->st_shndx != SHN_UNDEF)
				functions[name_at(file, names->sh_offset + symbol->st_name)] = {symbol->st_value,
												symbol->st_size};
		}
	}
	return functions;
}

// jmp *0(%rip); the address
std::string jump_to(uint64_t address)
{
	std::string code("\xff\x25\0\0\0\0", 6);
	code.append(reinterpret_cast<const char *>(&address), sizeof(address));
	return code;
}

// __vdso_getrandom() (since v6.11) by the system call. Asked for the size of its state, with opaque_len of -1, it says
// ENOSYS:
//	cmp $-1, %r8; je 1f; mov $SYS_getrandom, %eax; syscall; ret; 1: mov $-ENOSYS, %rax; ret
std::string getrandom_by_call()
{
	static constexpr std::array<unsigned char, 22> kCode = {0x49, 0x83, 0xf8, 0xff, 0x74, 0x08, 0xb8, 0x3e,
								0x01, 0x00, 0x00, 0x0f, 0x05, 0xc3, 0x48, 0xc7,
								0xc0, 0xda, 0xff, 0xff, 0xff, 0xc3};
	return {reinterpret_cast<const char *>(kCode.data()), kCode.size()};
}

// Empty: it stays as it is.
Result<std::string> replacement(const std::string &name, const Functions &now, uint64_t address)
{
	if (auto found = now.find(name); found != now.end())
		return jump_to(address + found->second.address);
	if (name == "__vdso_getrandom" || name == "getrandom")
		return getrandom_by_call();
	// It reads no data, and nobody can call it who has no enclave: descriptors of /dev/sgx_enclave are refused.
	if (name == "__vdso_sgx_enter_enclave")
		return std::string();
	return make_error(Code::kMismatch, "has {}(), which this kernel lacks", name);
}

} // namespace

Result<std::string> redirect_vdso(std::span<const std::byte> then, std::span<const std::byte> now, uint64_t address)
{
	std::string code(reinterpret_cast<const char *>(then.data()), then.size());
	Functions functions = functions_of(then);
	if (functions.empty())
		return Error(Code::kCorrupt, "has no functions");
	Functions here = functions_of(now);
	for (const auto &[name, function] : functions) {
		std::string jump = TRY(replacement(name, here, address));
		if (function.address > code.size() || code.size() - function.address < function.size ||
		    function.size < jump.size())
			return make_error(Code::kMismatch, "has {}() of {} bytes, too short for a jump", name,
					  function.size);
		code.replace(function.address, jump.size(), jump);
	}
	return code;
}

} // namespace bpfckpt::restore
