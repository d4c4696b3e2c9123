/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Credentials (include/linux/cred.h, capability.h, uidgid_types.h). */
#pragma once

#include "vmlinux/pid.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	unsigned int val;
} kuid_t;

typedef struct {
	unsigned int val;
} kgid_t;

/* 64 bits in all layouts: { u64 val } since v6.3 (f122a08b197d), { u32 cap[2] } before. */
typedef struct {
	__u64 val;
} kernel_cap_t;

struct key;

struct group_info {
	int ngroups;
	kgid_t gid[];
};

struct cred {
	kuid_t uid;
	kgid_t gid;
	kuid_t suid;
	kgid_t sgid;
	kuid_t euid;
	kgid_t egid;
	kuid_t fsuid;
	kgid_t fsgid;
	unsigned int securebits;
	kernel_cap_t cap_inheritable;
	kernel_cap_t cap_permitted;
	kernel_cap_t cap_effective;
	kernel_cap_t cap_bset;
	kernel_cap_t cap_ambient;
	struct key *process_keyring; /* KEYS */
	struct key *thread_keyring;
	void *security; /* SECURITY */
	struct user_namespace *user_ns;
	struct group_info *group_info;
};

#pragma clang attribute pop
