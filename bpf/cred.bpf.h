/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Credentials (struct cred, include/linux/cred.h) with their supplementary groups, whoever holds them.
 */
#pragma once

#include "bpf/cred_ids.bpf.h"
#include "bpf/records.bpf.h"
#include "iterators/cred_record.h"
#include "vmlinux/cred.h"

RECORD_MAP(groups, group_record);

#define GROUP_CHUNKS (65536 / TASK_GROUP_CHUNK + 1) /* NGROUPS_MAX */

/* Consecutive holders often share them: their groups are reported once. Cleared before each round. */
__u64 last_group_info;

struct group_walk {
	const struct group_info *info;
	__u32 count;
};

static long next_groups(__u64 index, struct group_walk *walk)
{
	__u32 first = index * TASK_GROUP_CHUNK;
	struct group_record *record;
	__u32 count;

	if (first >= walk->count)
		return 1;
	record = NEXT_RECORD(groups);
	if (!record)
		return 0;
	count = walk->count - first;
	if (count > TASK_GROUP_CHUNK)
		count = TASK_GROUP_CHUNK;
	record->group_info = (__u64)walk->info;
	record->index = first;
	record->count = count;
	bpf_probe_read_kernel(record->gid, count * sizeof(__u32),
			      (const void *)&walk->info->gid + first * sizeof(__u32));
	return 0;
}

static void read_credentials(struct task_credentials *to, const struct cred *cred)
{
	struct group_walk walk = {.info = BPF_CORE_READ(cred, group_info)};

	read_cred_ids(to, cred);
	walk.count = to->group_count;
	if (!walk.count || (__u64)walk.info == last_group_info)
		return;
	last_group_info = (__u64)walk.info;
	bpf_loop(GROUP_CHUNKS, next_groups, &walk, 0);
}
