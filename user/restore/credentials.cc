// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/credentials.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <string>
#include <vector>

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

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

static void read_capabilities(images::Credentials &own)
{
	__user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
	__user_cap_data_struct data[2] = {};
	syscall(SYS_capget, &header, data);
	own.set_cap_permitted(data[0].permitted | static_cast<uint64_t>(data[1].permitted) << 32);
	own.set_cap_effective(data[0].effective | static_cast<uint64_t>(data[1].effective) << 32);
	own.set_cap_inheritable(data[0].inheritable | static_cast<uint64_t>(data[1].inheritable) << 32);
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++) {
		if (prctl(PR_CAPBSET_READ, cap) == 1)
			own.set_cap_bounding(own.cap_bounding() | uint64_t{1} << cap);
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) == 1)
			own.set_cap_ambient(own.cap_ambient() | uint64_t{1} << cap);
	}
}

// bpfckpt's, and so those of every thread that it makes.
static images::Credentials read_own()
{
	images::Credentials own;
	uid_t ids[3] = {};
	getresuid(&ids[0], &ids[1], &ids[2]);
	own.set_uid(ids[0]);
	own.set_euid(ids[1]);
	own.set_suid(ids[2]);
	getresgid(&ids[0], &ids[1], &ids[2]);
	own.set_gid(ids[0]);
	own.set_egid(ids[1]);
	own.set_sgid(ids[2]);
	own.set_fsuid(static_cast<uint32_t>(setfsuid(~0U))); // an ID that there is not: tells the one in use
	own.set_fsgid(static_cast<uint32_t>(setfsgid(~0U)));
	std::vector<gid_t> groups(static_cast<size_t>(std::max(0, getgroups(0, nullptr))));
	if (getgroups(static_cast<int>(groups.size()), groups.data()) >= 0)
		own.mutable_groups()->Add(groups.begin(), groups.end());
	own.set_securebits(static_cast<uint32_t>(prctl(PR_GET_SECUREBITS)));
	own.set_no_new_privs(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	read_capabilities(own);
	return own;
}

static const images::Credentials &own_credentials()
{
	static const images::Credentials own = read_own();
	return own;
}

bool are_own(const images::Credentials &image)
{
	static const std::string own = own_credentials().SerializeAsString();
	images::Credentials wanted = image;
	wanted.clear_user_namespace();
	return wanted.SerializeAsString() == own;
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
	const images::Credentials &own = own_credentials();
	uint64_t all = own.cap_permitted();
	if (are_own(image))
		return;
	add_ids(batch, image);
	// Before the bounding set: what is not in that cannot become inheritable (security/commoncap.c: cap_capset()).
	batch.add(SYS_capset, header(batch), sets(batch, all, all, image.cap_inheritable()));
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (cap != CAP_SETPCAP && !(image.cap_bounding() >> cap & 1))
			batch.add_optional(SYS_prctl, PR_CAPBSET_DROP, cap);
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

// "CAP_SETUID"
static std::string name_of_capability(int cap)
{
	char *text = cap_to_name(cap);
	std::string name = text ? text : fmt::format("capability {}", cap);
	cap_free(text);
	std::ranges::transform(name, name.begin(), [](unsigned char letter) { return std::toupper(letter); });
	return name;
}

// Capability: who needs it first, and for what.
using Needs = std::map<int, std::pair<std::string, std::string>>;

static void add_needs(const images::Process &process, const images::Credentials &wanted, Needs &needs)
{
	const images::Credentials &own = own_credentials();
	auto need = [&](int cap, const char *what) {
		if (!(own.cap_effective() >> cap & 1))
			needs.try_emplace(cap, name_of(process), what);
	};
	if (are_own(wanted))
		return;
	need(CAP_SETGID, "to set its groups");
	need(CAP_SETUID, "to set its user IDs");
	need(CAP_SETPCAP, "to set its securebits and its bounding set");
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (wanted.cap_permitted() & ~own.cap_permitted() & uint64_t{1} << cap)
			needs.try_emplace(cap, name_of(process), "which it had");
}

void check_capabilities(const Plan &plan, Findings &findings)
{
	Needs needs;
	uint64_t own = own_credentials().cap_effective();
	if (!(own >> CAP_CHECKPOINT_RESTORE & 1) && !(own >> CAP_SYS_ADMIN & 1))
		needs.try_emplace(CAP_CHECKPOINT_RESTORE, fmt::format("pid {}", plan.root), "to give it its PID");
	for (const images::Process &process : plan.document->processes())
		for (const images::Thread &thread : process.threads())
			if (is_user(thread) && thread.has_credentials())
				add_needs(process, thread.credentials(), needs);
	for (const auto &[cap, need] : needs)
		findings.push_back(
			make_error(Code::kPermission, "bpfckpt lacks {}, {}", name_of_capability(cap), need.second)
				.on(need.first)
				.with_hint("run bpfckpt with that capability (`bpfckpt check` lists them all)"));
}

} // namespace bpfckpt::restore
