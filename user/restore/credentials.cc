// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/credentials.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

namespace bpfckpt::restore {

using target::Blob;
using target::SyscallBatch;

static Blob header(SyscallBatch &batch)
{
	return batch.value(__user_cap_header_struct{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0});
}

static Blob sets(SyscallBatch &batch, uint64_t permitted, uint64_t effective, uint64_t inheritable)
{
	__user_cap_data_struct data[2] = {
		{static_cast<uint32_t>(effective), static_cast<uint32_t>(permitted),
		 static_cast<uint32_t>(inheritable)},
		{static_cast<uint32_t>(effective >> 32), static_cast<uint32_t>(permitted >> 32),
		 static_cast<uint32_t>(inheritable >> 32)},
	};
	return batch.data(std::as_bytes(std::span(data)));
}

static uint64_t own_permitted()
{
	__user_cap_header_struct own = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
	__user_cap_data_struct data[2] = {};
	syscall(SYS_capget, &own, data);
	return data[0].permitted | static_cast<uint64_t>(data[1].permitted) << 32;
}

static void add_ids(SyscallBatch &batch, const images::Credentials &image)
{
	std::vector<uint32_t> groups(image.groups().begin(), image.groups().end());
	batch.add(SYS_setgroups, groups.size(), batch.data(std::as_bytes(std::span(groups))));
	batch.add(SYS_setresgid, image.gid(), image.egid(), image.sgid());
	// User IDs change without taking capabilities along.
	batch.add(SYS_prctl, PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP);
	batch.add(SYS_setresuid, image.uid(), image.euid(), image.suid());
	batch.add(SYS_setfsgid, image.fsgid());
	batch.add(SYS_setfsuid, image.fsuid());
}

void add_credentials(SyscallBatch &batch, const images::Credentials &image)
{
	static const uint64_t all = own_permitted();
	add_ids(batch, image);
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (cap != CAP_SETPCAP && !(image.cap_bounding() >> cap & 1))
			batch.add_optional(SYS_prctl, PR_CAPBSET_DROP, cap);
	batch.add(SYS_capset, header(batch), sets(batch, all, all, image.cap_inheritable()));
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (image.cap_ambient() >> cap & 1)
			batch.add(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
	if (!(image.cap_bounding() >> CAP_SETPCAP & 1))
		batch.add(SYS_prctl, PR_CAPBSET_DROP, CAP_SETPCAP);
	batch.add(SYS_prctl, PR_SET_SECUREBITS, image.securebits());
	batch.add(SYS_capset, header(batch),
		  sets(batch, image.cap_permitted(), image.cap_effective(), image.cap_inheritable()));
	if (image.no_new_privs())
		batch.add(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

} // namespace bpfckpt::restore
