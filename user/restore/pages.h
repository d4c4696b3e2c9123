/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// PageImage: pages.img, mapped for reading.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "images/memory.pb.h"
#include "user/memory/page_fill.h"
#include "user/target/remote.h"
#include "user/util/mapping.h"
#include "user/util/result.h"

namespace bpfckpt::restore {

class PageImage {
public:
	// `fd` stays open as long as the PageImage lives; it may be -1 if size is 0.
	static Result<PageImage> open(int fd, uint64_t size, target::Deadline deadline);

	// All of it, against the digest in the manifest; after it was read, because what is in the cache is not read
	// again. Nothing of the program may run before. Errors: Code::kCorrupt.
	Result<> verify(const std::string &digest) const;

	// Errors: Code::kCorrupt if the run leaves the image.
	Result<std::span<const std::byte>> content(const images::PageRun &run) const;

	// Writes runs to their addresses in a tracee; the memory must be mapped and writable there.
	Result<> fill(const target::Tracee &tracee, std::span<const images::PageRun *const> runs) const;
	// Writes runs to their offsets in a file.
	Result<> fill_file(int fd, const images::SharedMemory &object) const;

private:
	Mapping mapping_;
	std::unique_ptr<memory::PageFill> fill_;
};

} // namespace bpfckpt::restore
