/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// System V shared memory segments (struct shmid_kernel: ipc/shm.c) as /proc/sysvipc/shm lists them, which is all those
// of our own IPC namespace. Nothing is attached for that.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "user/util/result.h"

namespace bpfckpt {

struct SysvSegment {
	int32_t key = 0; // IPC_PRIVATE also for one that is removed (ipc/util.c: ipc_set_key_private())
	int32_t id = 0;
	uint32_t mode = 0; // with SHM_DEST, SHM_LOCKED
	uint64_t size = 0;
	int32_t creator_pid = 0;
	int32_t last_pid = 0;
	uint64_t attached = 0; // mappings of it
	uint32_t uid = 0, gid = 0, creator_uid = 0, creator_gid = 0;
	int64_t attach_time = 0, detach_time = 0, change_time = 0; // seconds
};

inline constexpr uint32_t kSegmentRemoved = 01000; // SHM_DEST
inline constexpr uint32_t kSegmentLocked = 02000;  // SHM_LOCKED

// Empty on a kernel without them. Errors: kCorrupt (another format).
Result<std::vector<SysvSegment>> list_sysv_segments();
// What that file says, for tests.
Result<std::vector<SysvSegment>> parse_sysv_segments(const std::string &text);

} // namespace bpfckpt
