// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "iterators/own_mappings.h"

#include <linux/io_uring.h>
#include <sys/auxv.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/util/io.h"

namespace bpfckpt::iterators {

static constexpr size_t kSize = 4096;

static Mapping map_or_none(int prot, int flags, int fd, off_t offset = 0)
{
	Result<Mapping> mapping = Mapping::create(kSize, prot, flags, fd, offset);
	return mapping ? std::move(*mapping) : Mapping();
}

// An AIO context takes up to 40 ms to get rid of, two grace periods of RCU (fs/aio.c: kill_ioctx()), so it is made only
// if there are others in the system. A mapping of one that comes up later is refused for its file.
static bool aio_is_in_use()
{
	Result<std::string> count = read_file("/proc/sys/fs/aio-nr");
	return !count || atoi(count->c_str()) != 0;
}

OwnMappings::OwnMappings()
{
	shared_ = map_or_none(PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1);
	map_ring();
	map_secret();
	map_sysv();
	if (aio_is_in_use() && syscall(SYS_io_setup, 1, &aio_) < 0)
		aio_ = 0;
}

OwnMappings::~OwnMappings()
{
	if (sysv_)
		shmdt(sysv_);
	if (aio_)
		syscall(SYS_io_destroy, aio_);
}

void OwnMappings::map_ring()
{
	io_uring_params params = {};
	UniqueFd ring(static_cast<int>(syscall(SYS_io_uring_setup, 1, &params)));
	if (ring.valid())
		ring_ = map_or_none(PROT_READ, MAP_SHARED, ring.get(), IORING_OFF_SQES);
}

void OwnMappings::map_secret()
{
#ifdef SYS_memfd_secret
	UniqueFd secret(static_cast<int>(syscall(SYS_memfd_secret, 0)));
	if (secret.valid() && ftruncate(secret.get(), kSize) == 0)
		secret_ = map_or_none(PROT_READ, MAP_SHARED, secret.get());
#endif
}

void OwnMappings::map_sysv()
{
	int id = shmget(IPC_PRIVATE, kSize, 0600);
	if (id < 0)
		return;
	void *address = shmat(id, nullptr, SHM_RDONLY);
	shmctl(id, IPC_RMID, nullptr);
	if (reinterpret_cast<intptr_t>(address) != -1)
		sysv_ = address;
}

uint64_t OwnMappings::vdso() const
{
	return getauxval(AT_SYSINFO_EHDR);
}

uint64_t OwnMappings::sysv() const
{
	return reinterpret_cast<uint64_t>(sysv_);
}

uint64_t OwnMappings::address(const Mapping &mapping)
{
	return reinterpret_cast<uint64_t>(mapping.data());
}

} // namespace bpfckpt::iterators
