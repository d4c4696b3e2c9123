// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/memory/page_fill.h"

#include <algorithm>
#include <atomic>
#include <climits>
#include <mutex>

#include "user/util/cores.h"
#include "user/util/io.h"

namespace bpfckpt::memory {

using images::kDigestPiece;

// What goes from one piece of the image into one process: parallel lists, one element for each range.
struct PageFill::Job {
	pid_t pid;
	size_t index;
	std::vector<Piece> parts; // none goes beyond the piece
};

// Local and remote sides may be cut differently; a page each, they would be 256.
static Result<> write_parts(pid_t pid, std::span<const Piece> parts, std::span<std::byte> piece, uint64_t piece_offset)
{
	std::vector<iovec> local;
	std::vector<iovec> remote;
	size_t wanted = 0;
	for (const Piece &part : parts) {
		local.push_back({piece.data() + (part.offset - piece_offset), part.range.size()});
		remote.push_back({reinterpret_cast<void *>(part.range.start), part.range.size()});
		wanted += part.range.size();
	}
	ssize_t done = process_vm_writev(pid, local.data(), local.size(), remote.data(), remote.size(), 0);
	if (done == static_cast<ssize_t>(wanted))
		return {};
	int err = done < 0 ? errno : EFAULT;
	if (err == ESRCH)
		return Error(Code::kLimit, "was killed while its memory was written")
			.on(fmt::format("pid {}", pid))
			.with_hint("a limit of memory may have been reached: see dmesg, and the memory cgroup");
	auto left = static_cast<size_t>(std::max<ssize_t>(done, 0));
	auto failed = std::ranges::find_if(remote, [&](const iovec &range) {
		if (left < range.iov_len)
			return true;
		left -= range.iov_len;
		return false;
	});
	return errno_error(err, "cannot write to {:#x}", reinterpret_cast<uint64_t>(failed->iov_base) + left)
		.on(fmt::format("pid {}", pid));
}

Result<> PageFill::fill_piece(const Job &job, std::span<std::byte> buffer)
{
	if (std::chrono::steady_clock::now() > deadline_)
		return make_error(Code::kTimeout, "its memory was not written within the time limit")
			.on(fmt::format("pid {}", job.pid));
	uint64_t offset = uint64_t{job.index} * kDigestPiece;
	auto piece = buffer.first(std::min<uint64_t>(kDigestPiece, size_ - offset));
	TRY(pread_exact(image_, piece, static_cast<off_t>(offset)));
	if (!digests_.has(job.index))
		digests_.set(job.index, piece);
	std::span<const Piece> parts = job.parts;
	while (!parts.empty()) {
		auto some = parts.first(std::min<size_t>(parts.size(), IOV_MAX));
		TRY(write_parts(job.pid, some, piece, offset));
		parts = parts.subspan(some.size());
	}
	return {};
}

// By pieces of the image: no two threads compute the same digest.
static std::vector<std::pair<size_t, std::vector<Piece>>> by_image_piece(std::vector<Piece> pieces)
{
	std::ranges::sort(pieces, {}, &Piece::offset);
	std::vector<std::pair<size_t, std::vector<Piece>>> result;
	for (Piece rest : pieces) {
		while (!rest.range.empty()) {
			size_t index = rest.offset / kDigestPiece;
			uint64_t length = std::min(rest.range.size(), (index + 1) * kDigestPiece - rest.offset);
			if (result.empty() || result.back().first != index)
				result.emplace_back(index, std::vector<Piece>());
			std::vector<Piece> &parts = result.back().second;
			// Every part costs the kernel a walk of its own: pages of neighbouring mappings are one.
			if (!parts.empty() && parts.back().range.end == rest.range.start &&
			    parts.back().offset + parts.back().range.size() == rest.offset)
				parts.back().range.end += length;
			else
				parts.push_back({.range = {rest.range.start, rest.range.start + length},
						 .offset = rest.offset});
			rest.range.start += length;
			rest.offset += length;
		}
	}
	return result;
}

Result<> PageFill::write(pid_t pid, std::vector<Piece> pieces)
{
	for (const Piece &piece : pieces)
		if (piece.offset > size_ || piece.range.size() > size_ - piece.offset)
			return make_error(Code::kCorrupt, "pages {:#x}+{:#x} lie outside of the page image",
					  piece.range.start, piece.range.size());
	std::vector<Job> jobs;
	for (auto &[index, parts] : by_image_piece(std::move(pieces)))
		jobs.push_back({pid, index, std::move(parts)});
	std::atomic<size_t> next = 0;
	std::mutex lock;
	Result<> outcome;
	on_cores(jobs.size(), [&] {
		std::vector<std::byte> buffer(std::min<uint64_t>(kDigestPiece, size_));
		for (size_t i = next++; i < jobs.size(); i = next++) {
			Result<> done = fill_piece(jobs[i], buffer);
			if (done)
				continue;
			next = jobs.size();
			std::lock_guard guard(lock);
			outcome = std::move(done);
		}
	});
	return outcome;
}

Result<images::Digest> PageFill::digest()
{
	TRY(digests_.complete(image_));
	return digests_.combined();
}

} // namespace bpfckpt::memory
