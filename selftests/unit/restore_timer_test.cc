// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// How far timer IDs have to be counted.
#include "user/restore/timer_id.h"

#include <climits>

#include <gtest/gtest.h>

namespace bpfckpt::restore {

static images::Process process_with(std::initializer_list<uint32_t> ids, uint32_t next)
{
	images::Process process;
	for (uint32_t id : ids)
		process.add_timers()->set_id(id);
	process.set_next_timer_id(next);
	return process;
}

TEST(RestoreTimerId, ids_are_counted_to_the_next_one)
{
	EXPECT_EQ(timer_id_steps(process_with({}, 0)), 0u);
	EXPECT_EQ(timer_id_steps(process_with({}, 40)), 40u);
	images::Process process = process_with({30, 7}, 40);
	EXPECT_EQ(timer_id_steps(process), 40u);
	EXPECT_EQ(last_counted_timer(process)->id(), 30u);
}

TEST(RestoreTimerId, an_id_above_the_next_one_takes_the_whole_circle)
{
	images::Process process = process_with({30, 50, 7}, 40);
	EXPECT_EQ(timer_id_steps(process), (1ULL << 31) + 40);
	EXPECT_EQ(last_counted_timer(process)->id(), 30u);
}

TEST(RestoreTimerId, the_largest_id_ends_the_circle)
{
	for (uint32_t next : {0U, 1U << 31})
		EXPECT_EQ(timer_id_steps(process_with({INT_MAX}, next)), 1ULL << 31);
}

} // namespace bpfckpt::restore
