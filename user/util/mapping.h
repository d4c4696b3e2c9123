/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Mapping: sole owner of one mmap'ed range.
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include <sys/mman.h>

#include "user/util/result.h"

namespace bpfckpt {

class Mapping {
public:
	Mapping() = default;
	Mapping(Mapping &&other) noexcept
		: data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0))
	{
	}
	Mapping &operator=(Mapping &&other) noexcept
	{
		if (this != &other) {
			unmap();
			data_ = std::exchange(other.data_, nullptr);
			size_ = std::exchange(other.size_, 0);
		}
		return *this;
	}
	Mapping(const Mapping &) = delete;
	Mapping &operator=(const Mapping &) = delete;
	~Mapping() { unmap(); }

	// Errors: that of mmap(2). A size of 0 gives an empty mapping.
	static Result<Mapping> create(size_t size, int prot, int flags, int fd = -1, off_t offset = 0)
	{
		Mapping mapping;
		if (size == 0)
			return mapping;
		void *data = ::mmap(nullptr, size, prot, flags, fd, offset);
		if (data == MAP_FAILED)
			return errno_error(errno, "cannot map {} bytes", size);
		mapping.data_ = data;
		mapping.size_ = size;
		return mapping;
	}

	[[nodiscard]] void *data() const { return data_; }
	[[nodiscard]] size_t size() const { return size_; }
	[[nodiscard]] std::span<std::byte> bytes() const { return {static_cast<std::byte *>(data_), size_}; }

private:
	void unmap()
	{
		if (data_)
			::munmap(data_, size_);
	}

	void *data_ = nullptr;
	size_t size_ = 0;
};

} // namespace bpfckpt
