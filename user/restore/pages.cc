// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/pages.h"

#include <algorithm>
#include <vector>

#include <sys/uio.h>

#include "user/util/io.h"

namespace bpfckpt::restore {

static constexpr size_t kPiece = 1 << 20;
static constexpr size_t kPieces = 256; // per call; UIO_MAXIOV is 1024

Result<PageImage> PageImage::open(int fd, uint64_t size)
{
	PageImage image;
	image.mapping_ = TRY(Mapping::create(size, PROT_READ, MAP_PRIVATE, fd));
	return image;
}

Result<std::span<const std::byte>> PageImage::content(const images::PageRun &run) const
{
	if (run.offset() > mapping_.size() || run.length() > mapping_.size() - run.offset())
		return make_error(Code::kCorrupt, "pages {:#x}+{:#x} lie outside of the page image", run.offset(),
				  run.length());
	return mapping_.bytes().subspan(run.offset(), run.length());
}

static Result<> write_pieces(const target::Tracee &tracee, std::span<iovec> local, std::span<iovec> remote)
{
	size_t total = 0;
	for (const iovec &piece : local)
		total += piece.iov_len;
	ssize_t done = ::process_vm_writev(tracee.pid(), local.data(), local.size(), remote.data(), remote.size(), 0);
	if (done == static_cast<ssize_t>(total))
		return {};
	if (done < 0)
		return errno_error(errno, "cannot fill {:#x} of pid {}", reinterpret_cast<uint64_t>(remote[0].iov_base),
				   tracee.pid());
	// A piece at a time, so that the address is told.
	for (size_t i = 0; i < local.size(); i++)
		TRY(tracee.write(reinterpret_cast<uint64_t>(remote[i].iov_base),
				 {static_cast<const std::byte *>(local[i].iov_base), local[i].iov_len}));
	return {};
}

Result<> PageImage::fill(const target::Tracee &tracee, std::span<const images::PageRun *const> runs) const
{
	std::vector<iovec> local;
	std::vector<iovec> remote;
	for (const images::PageRun *run : runs) {
		std::span<const std::byte> bytes = TRY(content(*run));
		for (size_t at = 0; at < bytes.size(); at += kPiece) {
			size_t size = std::min(kPiece, bytes.size() - at);
			local.push_back({const_cast<std::byte *>(bytes.data() + at), size});
			remote.push_back({reinterpret_cast<void *>(run->start() + at), size});
			if (local.size() < kPieces)
				continue;
			TRY(write_pieces(tracee, local, remote));
			local.clear();
			remote.clear();
		}
	}
	return local.empty() ? Result<>() : write_pieces(tracee, local, remote);
}

Result<> PageImage::fill_file(int fd, const images::SharedMemory &object) const
{
	for (const images::PageRun &run : object.pages()) {
		std::span<const std::byte> bytes = TRY(content(run));
		// The last page of a file need not be whole.
		if (run.start() < object.size())
			bytes = bytes.first(std::min(bytes.size(), object.size() - run.start()));
		TRY(pwrite_all(fd, bytes, static_cast<off_t>(run.start())));
	}
	return {};
}

} // namespace bpfckpt::restore
