/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Credentials (struct cred) of a thread or of a personality, and their supplementary groups: bpf/cred.bpf.h. */
#pragma once

#include "iterators/record.h"

#define TASK_GROUP_CHUNK 12

struct task_credentials {
	__u64 cred; /* struct cred: threads with equal ones share it */
	__u64 group_info;
	__u32 uid;
	__u32 gid;
	__u32 suid;
	__u32 sgid;
	__u32 euid;
	__u32 egid;
	__u32 fsuid;
	__u32 fsgid;
	__u32 securebits;
	__u32 group_count;
	__u64 inheritable;
	__u64 permitted;
	__u64 effective;
	__u64 bounding;
	__u64 ambient;
};
RECORD_LAYOUT(task_credentials, 96, ambient, 88);

/* Supplementary groups of credentials: consecutive records in order, TASK_GROUP_CHUNK each. */
struct group_record {
	__u64 group_info;
	__u32 index; /* of gid[0] */
	__u32 count; /* valid entries of gid */
	__u32 gid[TASK_GROUP_CHUNK];
};

RECORD_LAYOUT(group_record, 64, gid, 16);
