// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Jumps from the functions of one vDSO to those of another: that of the kernel at hand stands for both.
#include "user/restore/vdso.h"

#include <cstring>

#include <dlfcn.h>
#include <gmock/gmock.h>

#include "user/memory/vdso.h"

namespace bpfckpt {

using memory::OwnVdso;

namespace {

constexpr uint64_t kElsewhere = 0x123456789000;

uint64_t offset_of(const OwnVdso &own, const char *function)
{
	void *vdso = dlopen("linux-vdso.so.1", RTLD_LAZY | RTLD_NOLOAD);
	return reinterpret_cast<uint64_t>(dlsym(vdso, function)) - own.code;
}

} // namespace

TEST(Vdso, every_function_jumps_to_its_namesake)
{
	OwnVdso own = memory::own_vdso().value();
	std::string code = restore::redirect_vdso(own.bytes(), own.bytes(), kElsewhere).value();
	ASSERT_EQ(code.size(), own.bytes().size());
	for (const char *name : {"__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_time", "__vdso_getcpu"}) {
		uint64_t offset = offset_of(own, name), target = 0;
		ASSERT_LT(offset, code.size());
		EXPECT_EQ(code.substr(offset, 6), std::string("\xff\x25\0\0\0\0", 6)) << "jmp *0(%rip)";
		memcpy(&target, code.data() + offset + 6, sizeof(target));
		EXPECT_EQ(target, kElsewhere + offset) << name;
	}
}

TEST(Vdso, a_function_that_is_not_there_any_more_is_named)
{
	OwnVdso own = memory::own_vdso().value();
	Result<std::string> code = restore::redirect_vdso(own.bytes(), {}, kElsewhere);
	ASSERT_FALSE(code);
	EXPECT_EQ(code.error().code, Code::kMismatch);
	EXPECT_THAT(code.error().message, testing::HasSubstr("clock_getres(), which this kernel lacks"));
}

TEST(Vdso, what_is_cut_or_no_elf_file_is_refused)
{
	OwnVdso own = memory::own_vdso().value();
	// The last: in the middle of a function.
	for (size_t size : {size_t{0}, size_t{63}, size_t{64}, offset_of(own, "__vdso_clock_gettime") + 1}) {
		Result<std::string> code = restore::redirect_vdso(own.bytes().first(size), own.bytes(), kElsewhere);
		EXPECT_FALSE(code) << size;
	}
	std::vector<std::byte> noise(8192, std::byte{0x7f});
	EXPECT_FALSE(restore::redirect_vdso(noise, own.bytes(), kElsewhere));
}

TEST(Vdso, the_data_comes_with_the_clock_on_demand)
{
	images::Vdso without, with;
	ASSERT_TRUE(memory::save_vdso(false, without));
	EXPECT_EQ(without.data_size(), 0);
	ASSERT_TRUE(memory::save_vdso(true, with));
	EXPECT_GT(with.data_size(), 0);
	EXPECT_EQ(with.code(), without.code());
	EXPECT_NE(with.tsc(), 0u);
}

} // namespace bpfckpt
