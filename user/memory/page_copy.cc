// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/memory/page_copy.h"

#include <algorithm>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "user/util/io.h"

namespace bpfckpt::memory {

PageCopy::Source PageCopy::add_process(pid_t pid)
{
	origins_.push_back({.pid = pid, .object = {}, .name = fmt::format("pid {}", pid), .mem = {}});
	return static_cast<Source>(origins_.size() - 1);
}

PageCopy::Source PageCopy::add_object(UniqueFd fd, std::string name)
{
	origins_.push_back({.pid = 0, .object = std::move(fd), .name = std::move(name), .mem = {}});
	return static_cast<Source>(origins_.size() - 1);
}

PageCopy::Source PageCopy::add_memory(std::span<const std::byte> bytes)
{
	origins_.push_back({.pid = 0, .object = {}, .name = "memory", .mem = {}, .memory = bytes});
	return static_cast<Source>(origins_.size() - 1);
}

uint64_t PageCopy::add(Source source, Range range, bool forced)
{
	uint64_t offset = queue_.bytes();
	queue_.add({range, offset, source, forced});
	return offset;
}

// Some kernels let nobody read through protections but the very thread that traces a process (fs/proc/base.c:
// proc_mem_foll_force(), since v6.12), which is this one: what others cannot read is tried again here.
Result<> PageCopy::run(int out, const MayGoOn &may_go_on)
{
	const std::thread::id tracer = std::this_thread::get_id();
	std::vector<Chunk> left;
	TRY(queue_.run([&](const Chunk &chunk, std::span<std::byte> buffer) -> Result<> {
		if (Result<> go_on = may_go_on(); !go_on)
			return go_on;
		Result<> done = copy_chunk(chunk, buffer, out);
		if (done || !origins_[chunk.source].pid || std::this_thread::get_id() == tracer)
			return done;
		std::lock_guard lock(mutex_);
		left.push_back(chunk);
		return {};
	}));
	std::vector<std::byte> buffer;
	for (const Chunk &chunk : left) {
		TRY(may_go_on());
		buffer.resize(chunk.length);
		TRY(copy_chunk(chunk, buffer, out));
	}
	return {};
}

void PageCopy::stage(uint64_t bytes)
{
	staged_.resize(bytes);
}

static Result<> write_pages(int out, std::span<const std::byte> bytes, uint64_t offset)
{
	Result<> written = pwrite_all(out, bytes, static_cast<off_t>(offset));
	if (!written)
		return std::move(written.error()).on("pages.img").with_hint("is the disk of the image directory full?");
	return {};
}

Result<> PageCopy::write_staged(int out)
{
	std::vector<std::byte> staged = std::exchange(staged_, {});
	(void)std::exchange(origins_, {});
	return write_pages(out, std::span(staged).first(std::min<uint64_t>(staged.size(), bytes())), 0);
}

Result<> PageCopy::read_chunk(const Chunk &chunk, std::span<std::byte> buffer)
{
	const Origin &origin = origins_[chunk.source];
	if (!origin.memory.empty())
		return copy_memory(origin, chunk, buffer);
	return origin.pid ? read_process(chunk, buffer) : read_object(origin, chunk, buffer);
}

Result<> PageCopy::copy_memory(const Origin &origin, const Chunk &chunk, std::span<std::byte> buffer)
{
	for (const iovec &range : chunk.ranges) {
		std::ranges::copy(origin.memory.subspan(reinterpret_cast<size_t>(range.iov_base), range.iov_len),
				  buffer.begin());
		buffer = buffer.subspan(range.iov_len);
	}
	return {};
}

// A chunk across the end of what is staged goes both ways.
Result<> PageCopy::copy_chunk(const Chunk &chunk, std::span<std::byte> buffer, int out)
{
	if (chunk.offset + chunk.length <= staged_.size())
		return read_chunk(chunk, std::span(staged_).subspan(chunk.offset, chunk.length));
	TRY(read_chunk(chunk, buffer));
	if (chunk.offset < staged_.size())
		std::ranges::copy(buffer.first(staged_.size() - chunk.offset),
				  staged_.begin() + static_cast<ptrdiff_t>(chunk.offset));
	return write_pages(out, buffer, chunk.offset);
}

Result<> PageCopy::read_process(const Chunk &chunk, std::span<std::byte> buffer)
{
	const Origin &origin = origins_[chunk.source];
	if (!chunk.forced) {
		iovec local = {buffer.data(), buffer.size()};
		ssize_t done = process_vm_readv(origin.pid, &local, 1, chunk.ranges.data(), chunk.ranges.size(), 0);
		if (done == static_cast<ssize_t>(buffer.size()))
			return {};
	}
	// Somewhere in it is a page that needs force, or cannot be read at all.
	std::shared_ptr<UniqueFd> mem = TRY(memory_of(chunk.source));
	for (const iovec &range : chunk.ranges) {
		auto start = reinterpret_cast<uint64_t>(range.iov_base);
		TRY(read_forced(origin, mem->get(), {start, start + range.iov_len}, buffer.first(range.iov_len)));
		buffer = buffer.subspan(range.iov_len);
	}
	return {};
}

// The chunks of a process follow each other: of thousands of processes only the last few are open. Who still reads
// from one that is closed here has it, too.
Result<std::shared_ptr<UniqueFd>> PageCopy::memory_of(Source source)
{
	constexpr size_t kOpen = 16;
	std::lock_guard lock(mutex_);
	Origin &origin = origins_[source];
	if (origin.mem)
		return origin.mem;
	origin.mem =
		std::make_shared<UniqueFd>(TRY(open_at(AT_FDCWD, fmt::format("/proc/{}/mem", origin.pid), O_RDONLY)));
	open_.push_back(source);
	if (open_.size() > kOpen) {
		origins_[open_.front()].mem.reset();
		open_.pop_front();
	}
	return origin.mem;
}

// /proc/PID/mem reads through protections (fs/proc/base.c: mem_rw(), FOLL_FORCE).
Result<> PageCopy::read_forced(const Origin &origin, int mem, Range range, std::span<std::byte> buffer)
{
	while (!range.empty()) {
		ssize_t done = pread(mem, buffer.data(), range.size(), static_cast<off_t>(range.start));
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return errno_error(done ? errno : EIO, "cannot read the page at {:#x}", range.start)
				.on(origin.name);
		buffer = buffer.subspan(static_cast<size_t>(done));
		range.start += static_cast<uint64_t>(done);
	}
	return {};
}

// The last page of an object is filled up with zeros.
Result<> PageCopy::read_object(const Origin &origin, const Chunk &chunk, std::span<std::byte> buffer)
{
	for (const iovec &range : chunk.ranges) {
		auto offset = reinterpret_cast<off_t>(range.iov_base);
		for (size_t filled = 0; filled < range.iov_len;) {
			ssize_t done = pread(origin.object.get(), buffer.data() + filled, range.iov_len - filled,
					     offset + static_cast<off_t>(filled));
			if (done < 0 && errno == EINTR)
				continue;
			if (done < 0)
				return errno_error(errno, "cannot read at offset {:#x}",
						   offset + static_cast<off_t>(filled))
					.on(origin.name);
			if (done == 0) {
				std::ranges::fill(buffer.subspan(filled, range.iov_len - filled), std::byte{});
				break;
			}
			filled += static_cast<size_t>(done);
		}
		buffer = buffer.subspan(range.iov_len);
	}
	return {};
}

} // namespace bpfckpt::memory
