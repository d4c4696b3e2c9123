// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/util/sysv_shm.h"

#include <gtest/gtest.h>

namespace bpfckpt {

TEST(SysvShm, reads_what_the_kernel_lists)
{
	// ipc/shm.c: sysvipc_shm_proc_show(), of 6.18
	auto segments = parse_sysv_segments("       key      shmid perms                  size  cpid  lpid nattch   "
					    "uid   gid  cuid  cgid      atime "
					    "     dtime      ctime                   rss                  swap\n"
					    "-559038737     131081  1640               1536456 14987 14988      2  "
					    "1000   100     0     3 1796036909 "
					    "         0 1796036908               1540096                     0\n");
	ASSERT_TRUE(segments) << segments.error().message;
	ASSERT_EQ(segments->size(), 1u);
	const SysvSegment &one = segments->front();
	EXPECT_EQ(one.key, static_cast<int32_t>(0xdeadbeef));
	EXPECT_EQ(one.id, 131081);
	EXPECT_EQ(one.mode, kSegmentRemoved | 0640u);
	EXPECT_EQ(one.size, 1536456u);
	EXPECT_EQ(one.creator_pid, 14987);
	EXPECT_EQ(one.last_pid, 14988);
	EXPECT_EQ(one.attached, 2u);
	EXPECT_EQ(one.uid, 1000u);
	EXPECT_EQ(one.gid, 100u);
	EXPECT_EQ(one.creator_uid, 0u);
	EXPECT_EQ(one.creator_gid, 3u);
	EXPECT_EQ(one.attach_time, 1796036909);
	EXPECT_EQ(one.detach_time, 0);
	EXPECT_EQ(one.change_time, 1796036908);
}

TEST(SysvShm, a_line_that_it_does_not_know_is_an_error)
{
	EXPECT_FALSE(parse_sysv_segments("names\n1 2 three\n"));
	EXPECT_TRUE(parse_sysv_segments("names\n")->empty());
}

} // namespace bpfckpt
