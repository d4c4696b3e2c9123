/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reads of kernel memory by address. */
#pragma once

#include "bpf/records.bpf.h"

#define READ(destination, address) bpf_probe_read_kernel(&(destination), sizeof(destination), (const void *)(address))

static __always_inline __u64 read_u64(__u64 address)
{
	__u64 value = 0;

	READ(value, address);
	return value;
}
