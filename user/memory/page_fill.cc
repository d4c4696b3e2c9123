// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/memory/page_fill.h"

#include <algorithm>

#include "user/util/io.h"

namespace bpfckpt::memory {

static Result<> fill_chunk(const Chunk &chunk, std::span<std::byte> buffer, int image, pid_t pid)
{
	TRY(pread_exact(image, buffer, static_cast<off_t>(chunk.offset)));
	iovec local = {buffer.data(), buffer.size()};
	ssize_t done = process_vm_writev(pid, &local, 1, chunk.ranges.data(), chunk.ranges.size(), 0);
	if (done == static_cast<ssize_t>(buffer.size()))
		return {};
	int err = done < 0 ? errno : EFAULT;
	auto left = static_cast<size_t>(std::max<ssize_t>(done, 0));
	for (const iovec &range : chunk.ranges) {
		if (left < range.iov_len)
			return errno_error(err, "cannot write to {:#x}",
					   reinterpret_cast<uint64_t>(range.iov_base) + left)
				.on(fmt::format("pid {}", pid));
		left -= range.iov_len;
	}
	return {};
}

Result<> PageFill::run(int image, pid_t pid)
{
	return queue_.run(
		[=](const Chunk &chunk, std::span<std::byte> buffer) { return fill_chunk(chunk, buffer, image, pid); });
}

} // namespace bpfckpt::memory
