/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// The memory of a ring that is being made, as bpfckpt reaches it: a mapping of its own, or, with IORING_SETUP_NO_MMAP,
// that of the process which has given it. What fails there is seen by whoever looks at the counters afterwards.
#pragma once

#include "user/target/remote.h"
#include "user/util/mapping.h"

namespace bpfckpt::restore {

class RingMemory {
public:
	RingMemory() = default;
	// A region of the ring behind `fd`.
	static Result<RingMemory> map(int fd, size_t size, uint64_t offset);
	RingMemory(const target::Tracee &owner, uint64_t address, size_t size)
		: owner_(&owner), address_(address), size_(size)
	{
	}

	[[nodiscard]] size_t size() const { return size_; }
	[[nodiscard]] bool is_remote() const { return owner_; }
	[[nodiscard]] uint64_t address() const { return address_; }

	void write(size_t at, std::span<const std::byte> bytes) const;
	void read(size_t at, std::span<std::byte> bytes) const;
	void clear() const;
	// Words that the kernel reads and writes, too.
	[[nodiscard]] uint32_t load(size_t at) const;
	void store(size_t at, uint32_t value) const;

	template <class T>
	[[nodiscard]] T get(size_t at) const
	{
		T object;
		read(at, std::as_writable_bytes(std::span(&object, 1)));
		return object;
	}

private:
	const target::Tracee *owner_ = nullptr;
	uint64_t address_ = 0;
	size_t size_ = 0;
	Mapping mapping_ = {};
};

} // namespace bpfckpt::restore
