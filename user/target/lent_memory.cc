// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/target/lent_memory.h"

#include <array>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "user/util/io.h"

namespace bpfckpt::target {

namespace {

bool write_by_proc(pid_t tid, uint64_t address, std::span<const std::byte> bytes)
{
	std::array<char, 32> path = {}; // the heap may be in nobody's hands: see restore/finish_work.h
	fmt::format_to_n(path.data(), path.size() - 1, "/proc/{}/mem", tid);
	UniqueFd memory(::open(path.data(), O_WRONLY | O_CLOEXEC));
	ssize_t done = ::pwrite(memory.get(), bytes.data(), bytes.size(), static_cast<off_t>(address));
	return done == static_cast<ssize_t>(bytes.size());
}

// Tried on a constant of our own: nobody traces us.
bool constants_can_be_written()
{
	static const bool can = [] {
		constexpr size_t kSize = 4096;
		void *page = ::mmap(nullptr, kSize, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (page == MAP_FAILED)
			return false;
		std::byte value{1};
		bool written = write_by_proc(::getpid(), reinterpret_cast<uint64_t>(page), {&value, 1});
		::munmap(page, kSize);
		return written;
	}();
	return can;
}

} // namespace

bool read_lent(pid_t tid, uint64_t address, std::span<std::byte> bytes)
{
	iovec local = {bytes.data(), bytes.size()};
	iovec remote = {reinterpret_cast<void *>(address), bytes.size()};
	return ::process_vm_readv(tid, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes.size());
}

bool write_lent(pid_t tid, uint64_t address, std::span<const std::byte> bytes)
{
	iovec local = {const_cast<std::byte *>(bytes.data()), bytes.size()};
	iovec remote = {reinterpret_cast<void *>(address), bytes.size()};
	if (::process_vm_writev(tid, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes.size()))
		return true;
	return constants_can_be_written() && write_by_proc(tid, address, bytes);
}

} // namespace bpfckpt::target
