// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/pages.h"

#include <algorithm>

#include "user/util/io.h"

namespace bpfckpt::restore {

Result<PageImage> PageImage::open(int fd, uint64_t size, target::Deadline deadline)
{
	PageImage image;
	image.fill_ = std::make_unique<memory::PageFill>(fd, size);
	image.fill_->set_deadline(deadline);
	Result<Mapping> mapping = Mapping::create(size, PROT_READ, MAP_PRIVATE, fd);
	if (!mapping)
		return std::move(mapping).error().on("page image").with_hint("see the limit of memory (ulimit -v)");
	image.mapping_ = std::move(*mapping);
	return image;
}

Result<std::span<const std::byte>> PageImage::content(const images::PageRun &run) const
{
	if (run.offset() > mapping_.size() || run.length() > mapping_.size() - run.offset())
		return make_error(Code::kCorrupt, "pages {:#x}+{:#x} lie outside of the page image", run.offset(),
				  run.length());
	return mapping_.bytes().subspan(run.offset(), run.length());
}

Result<> PageImage::fill(const target::Tracee &tracee, std::span<const images::PageRun *const> runs) const
{
	std::vector<memory::Piece> pieces;
	for (const images::PageRun *run : runs)
		pieces.push_back({.range = {run->start(), run->start() + run->length()}, .offset = run->offset()});
	return fill_->write(tracee.pid(), std::move(pieces));
}

Result<> PageImage::verify(const std::string &digest) const
{
	if (TRY(fill_->digest()).view() != digest)
		return Error(Code::kCorrupt, "is altered: its digest is not the one in the manifest");
	return {};
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
