// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/util/result.h"

#include <gtest/gtest.h>

namespace bpfckpt {

static Result<int> half(int n)
{
	if (n % 2)
		return make_error(Code::kUsage, "{} is odd", n);
	return n / 2;
}

static Result<int> quarter(int n)
{
	int h = TRY(half(n));
	return half(h);
}

TEST(ResultTest, try_returns_the_first_error)
{
	EXPECT_EQ(quarter(8).value(), 2);
	EXPECT_EQ(quarter(7).error().message, "7 is odd");
	EXPECT_EQ(quarter(6).error().message, "3 is odd");
}

TEST(ResultTest, exit_status_follows_from_the_code)
{
	EXPECT_EQ(exit_status(Code::kUsage), 2);
	EXPECT_EQ(exit_status(Code::kUnsupported), 3);
	EXPECT_EQ(exit_status(Code::kPermission), 4);
	EXPECT_EQ(exit_status(Code::kKernelLacks), 5);
	EXPECT_EQ(exit_status(Code::kCorrupt), 6);
	EXPECT_EQ(exit_status(Code::kMismatch), 6);
	EXPECT_EQ(exit_status(Code::kTimeout), 7);
	EXPECT_EQ(exit_status(Code::kGone), 1);
}

TEST(ResultTest, errno_error_keeps_errno_and_picks_a_code)
{
	Error error = errno_error(ENOSPC, "cannot write {}", "x");
	EXPECT_EQ(error.sys_errno, ENOSPC);
	EXPECT_EQ(error.code, Code::kLimit);
	EXPECT_EQ(error.message, "cannot write x: No space left on device");
}

} // namespace bpfckpt
