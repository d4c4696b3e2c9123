/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is read of an hrtimer wherever it is found. */
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "vmlinux/hrtimer.h"

#define HRTIMER_STATE_ENQUEUED 1 /* include/linux/hrtimer.h, up to v7.0 */

/* include/linux/hrtimer.h: hrtimer_is_queued() */
static __always_inline _Bool hrtimer_is_queued(const struct hrtimer *timer)
{
	const struct hrtimer___v71 *timer_v71 = (const void *)timer;

	if (bpf_core_field_exists(timer_v71->is_queued))
		return BPF_CORE_READ(timer_v71, is_queued);
	return BPF_CORE_READ(timer, state) & HRTIMER_STATE_ENQUEUED;
}
