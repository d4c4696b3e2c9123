// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "iterators/kernel_btf.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

namespace bpfckpt::iterators {

static Btf reopen(const UniqueFd &file)
{
	return Btf(btf__parse_raw(fmt::format("/proc/self/fd/{}", file.get()).c_str()));
}

static int offset_of(const btf *types, const char *structure, const char *field)
{
	int id = btf__find_by_name_kind(types, structure, BTF_KIND_STRUCT);
	if (id < 0)
		return -1;
	const btf_type *type = btf__type_by_id(types, static_cast<unsigned>(id));
	for (unsigned i = 0; i < btf_vlen(type); i++)
		if (!strcmp(btf__name_by_offset(types, btf_members(type)[i].name_off), field))
			return static_cast<int>(btf_member_bit_offset(type, i));
	return -1;
}

TEST(KernelBtfTest, copy_has_the_named_types_with_the_same_layout)
{
	std::shared_ptr<const KernelBtf> kernel = KernelBtf::get().value();
	Btf copy = reopen(kernel->cut_down({"task_struct", "no_such_type"}).value());
	ASSERT_TRUE(copy);
	int offset = offset_of(kernel->types(), "task_struct", "comm");
	EXPECT_GT(offset, 0);
	EXPECT_EQ(offset_of(copy.get(), "task_struct", "comm"), offset);
	EXPECT_LT(btf__find_by_name_kind(copy.get(), "no_such_type", BTF_KIND_STRUCT), 0);
	// By value only: what a pointer of task_struct leads to was not asked for.
	EXPECT_LT(btf__find_by_name_kind(copy.get(), "nsproxy", BTF_KIND_STRUCT), 0);
	EXPECT_LT(btf__type_cnt(copy.get()), btf__type_cnt(kernel->types()) / 10);
}

TEST(KernelBtfTest, iterators_are_known_by_name)
{
	std::shared_ptr<const KernelBtf> kernel = KernelBtf::get().value();
	unsigned id = kernel->iterator_id("bpf_iter_task");
	ASSERT_NE(id, 0U);
	EXPECT_STREQ(btf__name_by_offset(kernel->types(), btf__type_by_id(kernel->types(), id)->name_off),
		     "bpf_iter_task");
	EXPECT_EQ(kernel->iterator_id("bpf_iter_of_nothing"), 0U);
	EXPECT_EQ(kernel->iterator_id("task_struct"), 0U);
}

TEST(KernelBtfTest, flavours_name_the_type_they_stand_for)
{
	Btf object(btf__new_empty());
	btf__add_struct(object.get(), "k_itimer___v61", 8);
	btf__add_struct(object.get(), "mm_struct", 8);
	EXPECT_EQ(relocatable_names(object.get()), (std::unordered_set<std::string>{"k_itimer", "mm_struct"}));
}

} // namespace bpfckpt::iterators
