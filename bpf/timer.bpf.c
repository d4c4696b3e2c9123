// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * POSIX timers and interval timers of a process (kernel/time/posix-timers.c, posix-cpu-timers.c, itimer.c).
 *
 * Attach to the leader only (IterFilter.tid): all of this hangs on the signal_struct.
 */
#include "bpf/hrtimer.bpf.h"
#include "bpf/pidns.bpf.h"
#include "bpf/records.bpf.h"
#include "iterators/timer_record.h"
#include "vmlinux/posix_timers.h"
#include "vmlinux/sched.h"

#define TIMERS_MAX (1 << 20)

/* include/uapi/linux/time.h, asm-generic/siginfo.h */
#define CLOCK_REALTIME_ALARM 8
#define CLOCK_BOOTTIME_ALARM 9
#define SIGEV_THREAD_ID      4
/* Layout of a CPU clockid (include/linux/posix-timers_types.h). */
#define CPUCLOCK_PERTHREAD 4
#define CPUCLOCK_WHICH     3
#define CPUCLOCK_PROF      0
#define CPUCLOCK_VIRT      1
/* enum posix_timer_state (include/linux/posix-timers.h) */
#define POSIX_TIMER_ARMED           1
#define POSIX_TIMER_REQUEUE_PENDING 2
/* Up to v6.12: bit of it_requeue_pending */
#define REQUEUE_PENDING 1

RECORD_MAP(timers, timer_record);
RECORD_MAP(itimers, itimer_record);

static __always_inline struct task_struct *task_of(struct pid *pid, enum pid_type type)
{
	struct hlist_node *first = NULL;

	bpf_probe_read_kernel(&first, sizeof(first), (void *)&pid->tasks + type * sizeof(first));
	if (!first)
		return NULL;
	return (void *)first - bpf_core_field_offset(struct task_struct, pid_links) -
	       type * bpf_core_type_size(struct hlist_node);
}

static __always_inline __s64 cpu_time(int clock, __u64 user, __u64 system, __u64 runtime)
{
	switch (clock & CPUCLOCK_WHICH) {
	case CPUCLOCK_PROF:
		return user + system;
	case CPUCLOCK_VIRT:
		return user;
	default:
		return runtime;
	}
}

/* kernel/time/posix-cpu-timers.c: cpu_clock_sample(), cpu_clock_sample_group() */
static __noinline __s64 sample_cpu_clock(struct pid *pid, int clock)
{
	_Bool thread = clock & CPUCLOCK_PERTHREAD;
	struct task_struct *task = task_of(pid, thread ? PIDTYPE_PID : PIDTYPE_TGID);
	struct signal_struct *signal;

	if (!task)
		return -1;
	if (thread)
		return cpu_time(clock, BPF_CORE_READ(task, utime), BPF_CORE_READ(task, stime),
				BPF_CORE_READ(task, se.sum_exec_runtime));
	signal = BPF_CORE_READ(task, signal);
	return cpu_time(clock, BPF_CORE_READ(signal, cputimer.cputime_atomic.utime.counter),
			BPF_CORE_READ(signal, cputimer.cputime_atomic.stime.counter),
			BPF_CORE_READ(signal, cputimer.cputime_atomic.sum_exec_runtime.counter));
}

/*
 * The timer being looked at, copied as a whole: one load that may fault in place of twenty. Programs run one at a time.
 */
#define TIMER_SIZE_MAX 1024
static __u8 copy[TIMER_SIZE_MAX];

#define FIELD(type, field) (*(typeof(((type *)0)->field) *)(copy + bpf_core_field_offset(type, field)))

static __always_inline __u32 state_of_copy(void)
{
	int status;

	if (bpf_core_field_exists(struct k_itimer, it_status)) {
		status = FIELD(struct k_itimer, it_status);
		return (status == POSIX_TIMER_ARMED ? TIMER_ARMED : 0) |
		       (status == POSIX_TIMER_REQUEUE_PENDING ? TIMER_REQUEUE_PENDING : 0);
	}
	return (FIELD(struct k_itimer___v612, it_active) ? TIMER_ARMED : 0) |
	       (FIELD(struct k_itimer___v612, it_requeue_pending) & REQUEUE_PENDING ? TIMER_REQUEUE_PENDING : 0);
}

static __always_inline void read_notification(struct timer_record *record, const struct k_itimer *timer)
{
	struct sigqueue *queue;
	void *list;

	record->notify = FIELD(struct k_itimer, it_sigev_notify);
	if (!bpf_core_field_exists(struct k_itimer___v612, sigq)) {
		record->signal = FIELD(struct k_itimer, sigq.info.si_signo);
		record->value = (__u64)FIELD(struct k_itimer, sigq.info._sifields._timer._sigval.sival_ptr);
		list = (void *)timer + bpf_core_field_offset(struct k_itimer, sigq.list);
		if (FIELD(struct k_itimer, sigq.list.next) != list)
			record->flags |= TIMER_SIGNAL_QUEUED;
		return;
	}
	queue = FIELD(struct k_itimer___v612, sigq);
	record->signal = BPF_CORE_READ(queue, info.si_signo);
	record->value = (__u64)BPF_CORE_READ(queue, info._sifields._timer._sigval.sival_ptr);
	if (queue && BPF_CORE_READ(queue, list.next) != (void *)queue + bpf_core_field_offset(struct sigqueue, list))
		record->flags |= TIMER_SIGNAL_QUEUED;
}

static __always_inline void read_expiry(struct timer_record *record, const struct own_pidns *own)
{
	const struct hrtimer_clock_base *base;
	struct pid *target;

	record->target = 0;
	record->cpu_now_ns = 0;
	record->base_clock = record->clock;
	if (record->clock < 0) {
		record->flags |= TIMER_CPU;
		record->flags &= ~TIMER_ARMED;
		record->expires_ns = FIELD(struct k_itimer, it.cpu.node.expires);
		if (record->expires_ns)
			record->flags |= TIMER_ARMED;
		target = FIELD(struct k_itimer, it.cpu.pid);
		record->target = own_pid_nr(own, target);
		record->cpu_now_ns = sample_cpu_clock(target, record->clock);
		if (record->cpu_now_ns < 0) {
			record->cpu_now_ns = 0;
			record->flags |= TIMER_NO_TARGET;
		}
	} else if (record->clock == CLOCK_REALTIME_ALARM || record->clock == CLOCK_BOOTTIME_ALARM) {
		record->flags |= TIMER_ALARM;
		record->expires_ns = FIELD(struct k_itimer, it.alarm.alarmtimer.node.expires);
	} else {
		record->expires_ns = FIELD(struct k_itimer, it.real.timer._softexpires);
		base = FIELD(struct k_itimer, it.real.timer.base);
		record->base_clock = BPF_CORE_READ(base, clockid);
	}
}

struct timer_walk {
	void *head;
	void *next;
	struct own_pidns own;
	__u32 pid;
	__u32 count;
};

static long next_timer(__u64 index, struct timer_walk *walk)
{
	struct hlist_node *node = walk->next;
	struct k_itimer *timer = (void *)node - bpf_core_field_offset(struct k_itimer, list);
	__u32 size = bpf_core_type_size(struct k_itimer);
	struct timer_record *record;

	if (!node || node == walk->head)
		return 1;
	walk->count++;
	bpf_probe_read_kernel(copy, size < TIMER_SIZE_MAX ? size : TIMER_SIZE_MAX, timer);
	walk->next = FIELD(struct k_itimer, list.next);
	record = NEXT_RECORD(timers);
	if (!record)
		return 0;
	record->pid = walk->pid;
	record->id = FIELD(struct k_itimer, it_id);
	record->clock = FIELD(struct k_itimer, it_clock);
	record->interval_ns = FIELD(struct k_itimer, it_interval);
	record->overrun = FIELD(struct k_itimer, it_overrun);
	record->overrun_last = FIELD(struct k_itimer, it_overrun_last);
	record->flags = state_of_copy();
	record->reserved = 0;
	read_notification(record, timer);
	record->notify_tid = 0;
	if (record->notify & SIGEV_THREAD_ID) {
		record->notify_tid = own_pid_nr(&walk->own, FIELD(struct k_itimer, it_pid));
		if (!task_of(FIELD(struct k_itimer, it_pid), PIDTYPE_PID))
			record->flags |= TIMER_NO_RECEIVER;
	}
	read_expiry(record, &walk->own);
	return 0;
}

static __always_inline __u32 next_id_of(const struct signal_struct *signal)
{
	const struct signal_struct___v64 *signal_v64 = (const void *)signal;
	const struct signal_struct___v61 *signal_v61 = (const void *)signal;

	if (bpf_core_field_exists(signal->next_posix_timer_id))
		return BPF_CORE_READ(signal, next_posix_timer_id.counter);
	if (bpf_core_field_exists(signal_v64->next_posix_timer_id))
		return BPF_CORE_READ(signal_v64, next_posix_timer_id);
	return BPF_CORE_READ(signal_v61, posix_timer_id);
}

/* ITIMER_PROF and ITIMER_VIRTUAL: struct signal_struct.it (kernel/time/posix-cpu-timers.c) */
static __always_inline void read_itimers(struct itimer_record *record, const struct signal_struct *signal)
{
	/* Periodic and expired, it is queued again when its SIGALRM is taken (kernel/signal.c: dequeue_signal()). */
	record->real_expires_ns = 0;
	record->real_interval_ns = BPF_CORE_READ(signal, it_real_incr);
	if (record->real_interval_ns || hrtimer_is_queued(&signal->real_timer))
		record->real_expires_ns = BPF_CORE_READ(signal, real_timer._softexpires);
	record->prof_expires_ns = BPF_CORE_READ(signal, it[CPUCLOCK_PROF].expires);
	record->prof_interval_ns = BPF_CORE_READ(signal, it[CPUCLOCK_PROF].incr);
	record->virtual_expires_ns = BPF_CORE_READ(signal, it[CPUCLOCK_VIRT].expires);
	record->virtual_interval_ns = BPF_CORE_READ(signal, it[CPUCLOCK_VIRT].incr);
	record->user_ns = BPF_CORE_READ(signal, cputimer.cputime_atomic.utime.counter);
	record->system_ns = BPF_CORE_READ(signal, cputimer.cputime_atomic.stime.counter);
	record->next_id = next_id_of(signal);
}

SEC("iter/task")
int process_timers(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct timer_walk walk = {.own = own_pidns()};
	struct itimer_record *record;
	struct signal_struct *signal;

	if (!task || task != BPF_CORE_READ(task, group_leader))
		return 0;
	signal = BPF_CORE_READ(task, signal);
	record = NEXT_RECORD(itimers);
	if (!record)
		return 0;
	record->pid = own_pid_nr(&walk.own, BPF_CORE_READ(task, thread_pid));
	read_itimers(record, signal);
	walk.pid = record->pid;
	walk.head = &signal->posix_timers;
	/* A list_head in v6.1: `next` comes first in both. */
	bpf_probe_read_kernel(&walk.next, sizeof(walk.next), walk.head);
	record->incomplete = bpf_loop(TIMERS_MAX, next_timer, &walk, 0) == TIMERS_MAX;
	record->timers = walk.count;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
