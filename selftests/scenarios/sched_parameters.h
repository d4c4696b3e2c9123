/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* struct sched_attr (include/uapi/linux/sched/types.h), which cannot be included beside <sched.h>. */
#ifndef BPFCKPT_SCHED_PARAMETERS_H
#define BPFCKPT_SCHED_PARAMETERS_H

#include <stdint.h>

struct sched_parameters {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

#endif
