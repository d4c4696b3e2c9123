// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Names of kernel functions by address, as the kernel prints them: /proc/kallsyms has 200,000 lines to tell the same.
 */
#include "bpf/records.bpf.h"

#define SYMBOLS 64

__u32 symbol_count;
__u64 addresses[SYMBOLS];
char names[SYMBOLS][64]; /* "function", "function [module]", or the address if it is in no function */

static long name_one(__u64 index, void *unused)
{
	index &= SYMBOLS - 1;
	bpf_snprintf(names[index], sizeof(names[index]), "%ps", &addresses[index], sizeof(addresses[index]));
	return 0;
}

SEC("syscall")
int name_symbols(void *unused)
{
	bpf_loop(symbol_count, name_one, NULL, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
