// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "iterators/page_frames.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bpf/page_frame.skel.h"
#include "iterators/bpf_object.h"
#include "user/util/mapping.h"
#include "user/util/page.h"

namespace bpfckpt::iterators {

namespace {

constexpr uint64_t kFrameMask = (1ULL << 55) - 1; // Documentation/admin-guide/mm/pagemap.rst

Result<uint64_t> own_frame(const void *address)
{
	UniqueFd pagemap(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
	uint64_t entry = 0;
	auto offset = static_cast<off_t>(reinterpret_cast<uintptr_t>(address) / kPageSize * sizeof(entry));
	if (::pread(pagemap.get(), &entry, sizeof(entry), offset) != sizeof(entry))
		return errno_error(errno, "cannot read the page map").on("/proc/self/pagemap");
	if (!(entry & kFrameMask))
		return Error(Code::kPermission, "the page map does not show the numbers of pages")
			.with_hint("run with CAP_SYS_ADMIN in the initial user namespace");
	return entry & kFrameMask;
}

// The queues of the smallest ring are one page, of which ctx->rings is the address in the kernel's mapping of all
// memory (io_uring/memmap.c: io_region_init_ptr(); before v6.14 io_pages_map() and io_mem_alloc_single()). 0: no ring
// can be set up.
Result<uint64_t> address_of_frame_0(BpfObject<page_frame_bpf> &object)
{
	io_uring_params params = {};
	UniqueFd ring(static_cast<int>(syscall(SYS_io_uring_setup, 1, &params)));
	if (!ring.valid())
		return 0;
	Mapping queues = TRY(Mapping::create(kPageSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.get(),
					     IORING_OFF_SQ_RING));
	object->bss->ring_fd = static_cast<__u32>(ring.get());
	TRY(run_syscall_program(object->progs.find_queues, {}));
	uint64_t address = object->bss->queues_address, frame = TRY(own_frame(queues.data()));
	return address % kPageSize ? 0 : address - frame * kPageSize;
}

} // namespace

Result<PageFrames> PageFrames::learn()
{
	Mapping own = TRY(Mapping::create(kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1));
	*static_cast<char *>(own.data()) = 1;
	int ends[2];
	if (::pipe2(ends, O_CLOEXEC) < 0)
		return errno_error(errno, "cannot make a pipe");
	UniqueFd reader(ends[0]), writer(ends[1]);
	iovec piece = {.iov_base = own.data(), .iov_len = 1};
	if (::vmsplice(writer.get(), &piece, 1, 0) != 1)
		return errno_error(errno, "cannot put a page into a pipe");

	auto object = TRY(BpfObject<page_frame_bpf>::open());
	TRY(object.load());
	object->bss->pipe_fd = static_cast<__u32>(reader.get());
	TRY(run_syscall_program(object->progs.find_pipe_page, {}));
	uint64_t frame = TRY(own_frame(own.data()));
	uint32_t size = object->bss->page_bytes;
	if (!object->bss->page_address || !size)
		return Error(Code::kKernelLacks, "cannot find a page of our own");
	return PageFrames(object->bss->page_address - frame * size, size, TRY(address_of_frame_0(object)));
}

} // namespace bpfckpt::iterators
