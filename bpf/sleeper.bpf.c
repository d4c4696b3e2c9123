// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Deadlines of sleeping threads, from their kernel stacks.
 *
 * Whatever ends a sleep lies on the stack of the task that sleeps, in the frame of the function that calls schedule()
 * or not far above it: an hrtimer (struct hrtimer_sleeper, io_wait_queue) or a timer of the wheel (struct
 * process_timer). Each has the task beside it and a function that tells which it is. The queues of the timers would
 * need a lock to be walked: without it whole branches of their trees are missed when another CPU rotates them.
 */
#include "bpf/hrtimer.bpf.h"
#include "bpf/pidns.bpf.h"
#include "bpf/records.bpf.h"
#include "iterators/sleeper_record.h"
#include "vmlinux/io_uring_wait.h"
#include "vmlinux/process_timer.h"
#include "vmlinux/sched.h"

#define THREAD_SIZE  16384 /* of a stack, and its alignment (arch/x86/include/asm/page_64_types.h) */
#define STACK_WORDS  128   /* twice the deepest seen, futex_wait() in v6.18 */
#define WORDS_A_TURN 4
#define NAME_SIZE    32

#define TASK_NORMAL 3 /* TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE (include/linux/sched.h) */

RECORD_MAP(sleepers, sleeper_record);

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} tasks SEC(".maps"); /* struct task_struct, from an earlier pass: may be gone */

__u32 task_count;
const volatile __u64 tick_ns = 4000000;
static __u64 stack[STACK_WORDS];

/* What a timer function is, looked up by name once for each function: 0 for all that are not of interest. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u64);
	__type(value, __u32);
} kinds SEC(".maps");

#define NAME_IS(name, wanted) (!bpf_strncmp(name, sizeof(name), wanted))

/* Global, so that the verifier goes through it once and not for each way that leads to it. */
__noinline __u32 kind_of(__u64 function)
{
	__u32 *known = bpf_map_lookup_elem(&kinds, &function);
	char name[NAME_SIZE] = {};
	__u32 kind = 0;

	if (known)
		return *known;
	bpf_snprintf(name, sizeof(name), "%ps", &function, sizeof(function));
	if (NAME_IS(name, "hrtimer_wakeup"))
		kind = SLEEPER_TIMEOUT;
	else if (NAME_IS(name, "io_cqring_timer_wakeup"))
		kind = SLEEPER_IO_URING;
	else if (NAME_IS(name, "io_cqring_min_timer_wakeup"))
		kind = SLEEPER_IO_URING_MIN;
	else if (NAME_IS(name, "process_timeout"))
		kind = SLEEPER_WHEEL;
	bpf_map_update_elem(&kinds, &function, &kind, BPF_ANY);
	return kind;
}

struct stack_walk {
	struct own_pidns own;
	const struct task_struct *task;
	__u64 sp;
	__u64 switches;
};

static struct sleeper_record *new_sleeper(const struct stack_walk *walk, __u32 kind)
{
	const struct task_struct *task = walk->task;
	struct sleeper_record *record = NEXT_RECORD(sleepers);

	if (!record)
		return NULL;
	record->task = (__u64)task;
	record->final_ns = 0;
	record->switches = walk->switches;
	record->tid = own_pid_nr(&walk->own, BPF_CORE_READ(task, thread_pid));
	record->kind = kind;
	record->reserved = 0;
	return record;
}

static __always_inline struct sleeper_record *add_hrtimer(const struct stack_walk *walk, const struct hrtimer *timer,
							  __u32 kind)
{
	struct sleeper_record *record;

	/* What an earlier call left in a frame is queued no more. */
	if (!hrtimer_is_queued(timer))
		return NULL;
	record = new_sleeper(walk, kind);
	if (!record)
		return NULL;
	record->soft_ns = BPF_CORE_READ(timer, _softexpires);
	record->hard_ns = BPF_CORE_READ(timer, node.expires);
	record->clock = BPF_CORE_READ(timer, base, clockid);
	return record;
}

/* `task_at`: where the stack has the task itself. */
static _Bool add_hrtimer_sleeper(const struct stack_walk *walk, __u64 task_at)
{
	const struct hrtimer_sleeper *sleeper =
		(const void *)(task_at - bpf_core_field_offset(struct hrtimer_sleeper, task));

	if (kind_of((__u64)BPF_CORE_READ(sleeper, timer.function)) != SLEEPER_TIMEOUT)
		return 0;
	return add_hrtimer(walk, &sleeper->timer, SLEEPER_TIMEOUT);
}

static _Bool add_ring_wait(const struct stack_walk *walk, __u64 task_at)
{
	const struct io_wait_queue *wait = NULL;
	struct sleeper_record *record;
	__u32 kind;

	/* Before v6.12 an ordinary sleeper. */
	if (!bpf_core_field_exists(wait->t))
		return 0;
	wait = (const void *)(task_at - bpf_core_field_offset(struct io_wait_queue, wq.private));
	kind = kind_of((__u64)BPF_CORE_READ(wait, t.function));
	if (kind != SLEEPER_IO_URING && kind != SLEEPER_IO_URING_MIN)
		return 0;
	record = add_hrtimer(walk, &wait->t, kind);
	if (record && kind == SLEEPER_IO_URING_MIN)
		record->final_ns = BPF_CORE_READ(wait, timeout);
	return record;
}

static _Bool add_wheel_sleeper(const struct stack_walk *walk, __u64 task_at)
{
	const struct process_timer *timer;
	struct sleeper_record *record;
	__s64 ticks;

	if (!bpf_core_type_exists(struct process_timer))
		return 0;
	timer = (const void *)(task_at - bpf_core_field_offset(struct process_timer, task));
	/* include/linux/timer.h: timer_pending() */
	if (kind_of((__u64)BPF_CORE_READ(timer, timer.function)) != SLEEPER_WHEEL ||
	    !BPF_CORE_READ(timer, timer.entry.pprev))
		return 0;
	record = new_sleeper(walk, SLEEPER_WHEEL);
	if (!record)
		return 0;
	ticks = BPF_CORE_READ(timer, timer.expires) - bpf_jiffies64();
	record->soft_ns = bpf_ktime_get_ns() + ticks * (__s64)tick_ns;
	record->hard_ns = record->soft_ns;
	record->clock = 1; /* CLOCK_MONOTONIC */
	return 1;
}

/* Global, for the same reason. */
__noinline int add_sleeper_at(const struct stack_walk *walk, __u64 task_at)
{
	return walk &&
	       (add_hrtimer_sleeper(walk, task_at) || add_ring_wait(walk, task_at) || add_wheel_sleeper(walk, task_at));
}

static long next_words(__u64 turn, struct stack_walk *walk)
{
	for (__u32 i = 0; i < WORDS_A_TURN; i++) {
		__u32 index = turn * WORDS_A_TURN + i;

		if (stack[index & (STACK_WORDS - 1)] == (__u64)walk->task &&
		    add_sleeper_at(walk, walk->sp + index * sizeof(__u64)))
			return 1;
	}
	return 0;
}

static long next_task(__u64 index, struct stack_walk *walk)
{
	const struct task_struct *task;
	__u32 key = index;
	__u64 *address = bpf_map_lookup_elem(&tasks, &key);
	__u64 size;

	if (!address)
		return 1;
	walk->task = task = (const void *)*address;
	/* Before the stack: if the task wakes meanwhile, it will have another count when it is stopped. */
	walk->switches = BPF_CORE_READ(task, nvcsw);
	if (!(BPF_CORE_READ(task, __state) & TASK_NORMAL) || BPF_CORE_READ_BITFIELD_PROBED(task, on_cpu))
		return 0;
	walk->sp = BPF_CORE_READ(task, thread.sp);
	size = THREAD_SIZE - (walk->sp & (THREAD_SIZE - 1));
	if (size > sizeof(stack))
		size = sizeof(stack);
	if (bpf_probe_read_kernel(stack, size, (const void *)walk->sp))
		return 0;
	bpf_loop(size / sizeof(__u64) / WORDS_A_TURN, next_words, walk, 0);
	return 0;
}

SEC("syscall")
int walk_stacks(void *ctx)
{
	struct stack_walk walk = {.own = own_pidns()};

	bpf_loop(task_count, next_task, &walk, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
