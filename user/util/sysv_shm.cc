// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/util/sysv_shm.h"

#include <cinttypes>
#include <cstdio>
#include <sstream>

#include "user/util/io.h"

namespace bpfckpt {

// ipc/shm.c: sysvipc_shm_proc_show()
Result<std::vector<SysvSegment>> parse_sysv_segments(const std::string &text)
{
	std::vector<SysvSegment> segments;
	std::istringstream lines(text);
	std::string line;
	std::getline(lines, line); // names of the columns
	while (std::getline(lines, line)) {
		SysvSegment &one = segments.emplace_back();
		int fields = sscanf(line.c_str(),
				    "%" SCNd32 " %" SCNd32 " %" SCNo32 " %" SCNu64 " %" SCNd32 " %" SCNd32 " %" SCNu64
				    " %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNd64 " %" SCNd64 " %" SCNd64,
				    &one.key, &one.id, &one.mode, &one.size, &one.creator_pid, &one.last_pid,
				    &one.attached, &one.uid, &one.gid, &one.creator_uid, &one.creator_gid,
				    &one.attach_time, &one.detach_time, &one.change_time);
		if (fields != 14)
			return make_error(Code::kInternal, "has a line that is not understood: {}", line)
				.on("/proc/sysvipc/shm");
	}
	return segments;
}

Result<std::vector<SysvSegment>> list_sysv_segments()
{
	Result<std::string> text = read_file("/proc/sysvipc/shm");
	if (!text && text.error().sys_errno == ENOENT)
		return std::vector<SysvSegment>();
	return parse_sysv_segments(TRY(std::move(text)));
}

} // namespace bpfckpt
