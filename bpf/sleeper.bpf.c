// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Deadlines of sleeping threads: a walk of the hrtimer queues of all CPUs (struct hrtimer_cpu_base,
 * kernel/time/hrtimer.c).
 *
 * The kernel may have no data symbols, so the queues are found from a timer that is at hand: ITIMER_REAL of our own
 * process was initialised on some CPU's queue. Per-CPU objects of one kind lie at equal distances whatever the kind is
 * (per_cpu_ptr() adds __per_cpu_offset[cpu] to all of them), and those distances are seen in a per-CPU map.
 */
#include "bpf/pidns.bpf.h"
#include "bpf/records.bpf.h"
#include "iterators/sleeper_record.h"
#include "vmlinux/hrtimer.h"
#include "vmlinux/io_uring_wait.h"
#include "vmlinux/process_timer.h"
#include "vmlinux/sched.h"

#define CLOCK_BASES_MAX 16
#define TREE_DEPTH      64 /* a red-black tree of n nodes is at most 2 * log2(n + 1) deep */
#define TIMERS_MAX      (1 << 20)
#define NAME_SIZE       32

RECORD_MAP(sleepers, sleeper_record);

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} distances SEC(".maps");

const volatile __u32 cpu_count = 1;

/* What a timer function is, looked up by name once for each function: 0 for all that are not of interest. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u64);
	__type(value, __u32);
} kinds SEC(".maps");

static __always_inline _Bool name_is(const char *name, const char *wanted, __u32 size)
{
	for (__u32 i = 0; i < size; i++) {
		if (name[i] != wanted[i])
			return 0;
	}
	return 1;
}
#define NAME_IS(name, wanted) name_is(name, wanted, sizeof(wanted))

static __noinline __u32 kind_of(__u64 function)
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

static void add_sleeper(const struct hrtimer *timer, __u32 clock, const struct own_pidns *own)
{
	__u32 kind = kind_of((__u64)BPF_CORE_READ(timer, function));
	const struct hrtimer_sleeper *sleeper = (const void *)timer;
	const struct io_wait_queue *wait = NULL;
	const struct task_struct *task;
	struct sleeper_record *record;

	if (!kind)
		return;
	if (bpf_core_field_exists(wait->t))
		wait = (const void *)timer - bpf_core_field_offset(struct io_wait_queue, t);
	if (kind == SLEEPER_TIMEOUT)
		task = BPF_CORE_READ(sleeper, task);
	else
		task = BPF_CORE_READ(wait, wq.private);
	/* NULL: it has just expired. */
	if (!task)
		return;
	record = NEXT_RECORD(sleepers);
	if (!record)
		return;
	record->task = (__u64)task;
	record->soft_ns = BPF_CORE_READ(timer, _softexpires);
	record->hard_ns = BPF_CORE_READ(timer, node.expires);
	record->final_ns = 0;
	/* Not in v6.1, which has no such timer either. */
	if (bpf_core_field_exists(wait->timeout) && kind == SLEEPER_IO_URING_MIN)
		record->final_ns = BPF_CORE_READ(wait, timeout);
	record->switches = BPF_CORE_READ(task, nvcsw);
	record->tid = own_pid_nr(own, BPF_CORE_READ(task, thread_pid));
	record->clock = clock;
	record->kind = kind;
	record->reserved = 0;
}

/* --- one queue, in order of expiry ------------------------------------------------------------------------------- */

struct queue_walk {
	struct rb_node *node;
	struct own_pidns own;
	__u32 clock;
};

struct climb {
	struct rb_node *node;
};

static long descend_left(__u64 index, struct climb *climb)
{
	struct rb_node *node = climb->node;
	struct rb_node *left = BPF_CORE_READ(node, rb_left);

	if (!left)
		return 1;
	climb->node = left;
	return 0;
}

/* lib/rbtree.c: rb_next() */
static long climb_right(__u64 index, struct climb *climb)
{
	struct rb_node *node = climb->node;
	struct rb_node *parent = (void *)(BPF_CORE_READ(node, __rb_parent_color) & ~3UL);

	climb->node = parent;
	if (!parent)
		return 1;
	return BPF_CORE_READ(parent, rb_right) != node;
}

static __always_inline struct rb_node *rb_next(struct rb_node *node)
{
	struct climb climb = {.node = BPF_CORE_READ(node, rb_right)};

	if (climb.node) {
		bpf_loop(TREE_DEPTH, descend_left, &climb, 0);
		return climb.node;
	}
	climb.node = node;
	bpf_loop(TREE_DEPTH, climb_right, &climb, 0);
	return climb.node;
}

static long next_timer(__u64 index, struct queue_walk *walk)
{
	struct rb_node *node = walk->node;

	if (!node)
		return 1;
	add_sleeper((const void *)node - bpf_core_field_offset(struct hrtimer, node.node), walk->clock, &walk->own);
	walk->node = rb_next(node);
	return 0;
}

/* --- all queues -------------------------------------------------------------------------------------------------- */

struct base_walk {
	const struct hrtimer_cpu_base *base; /* the known one */
	__u64 distance;                      /* of the known one's CPU */
	struct own_pidns own;
};

static long next_clock_base(__u64 index, struct base_walk *walk)
{
	const struct hrtimer_cpu_base *cpu_base = walk->base;
	const struct hrtimer_clock_base *clock_base;
	struct queue_walk queue = {.own = walk->own};

	if (index >= bpf_core_field_size(cpu_base->clock_base) / bpf_core_type_size(struct hrtimer_clock_base))
		return 1;
	clock_base = (const void *)&cpu_base->clock_base + index * bpf_core_type_size(struct hrtimer_clock_base);
	queue.node = BPF_CORE_READ(clock_base, active.rb_root.rb_leftmost);
	queue.clock = BPF_CORE_READ(clock_base, clockid);
	bpf_loop(TIMERS_MAX, next_timer, &queue, 0);
	return 0;
}

static long next_cpu(__u64 cpu, struct base_walk *walk)
{
	const struct hrtimer_cpu_base *base = walk->base;
	struct base_walk inner = *walk;
	__u32 key = 0;
	__u64 *element = bpf_map_lookup_percpu_elem(&distances, &key, cpu);

	if (!element)
		return 0;
	base = (const void *)base + ((__u64)element - walk->distance);
	/* Not online yet, or ever: its queue was not set up. */
	if (BPF_CORE_READ(base, cpu) != cpu)
		return 0;
	inner.base = base;
	bpf_loop(CLOCK_BASES_MAX, next_clock_base, &inner, 0);
	return 0;
}

SEC("syscall")
int walk_sleepers(void *ctx)
{
	struct task_struct *self = bpf_get_current_task_btf();
	const struct hrtimer_cpu_base *base = BPF_CORE_READ(self, signal, real_timer.base, cpu_base);
	struct base_walk walk = {.base = base, .own = own_pidns()};
	__u64 *element;
	__u32 key = 0;

	element = bpf_map_lookup_percpu_elem(&distances, &key, BPF_CORE_READ(base, cpu));
	if (!element)
		return 1;
	walk.distance = (__u64)element;
	bpf_loop(cpu_count, next_cpu, &walk, 0);
	return 0;
}

/* --- the timer wheel ---------------------------------------------------------------------------------------------- */

/*
 * Its buckets cannot be reached without data symbols. But the timer lies on the stack of the task that sleeps, in the
 * frame of schedule_timeout(), two frames above the stack pointer: it is known by its function, and by the task that
 * follows it.
 */
#define STACK_WORDS 128

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} tasks SEC(".maps"); /* struct task_struct, from an earlier pass: may be gone */

__u32 task_count;
const volatile __u64 tick_ns = 4000000;
static __u64 stack[STACK_WORDS];

static __always_inline void add_wheel_sleeper(const struct task_struct *task, __u64 expires,
					      const struct own_pidns *own)
{
	struct sleeper_record *record = NEXT_RECORD(sleepers);

	if (!record)
		return;
	record->task = (__u64)task;
	record->soft_ns = bpf_ktime_get_ns() + (__s64)(expires - bpf_jiffies64()) * (__s64)tick_ns;
	record->hard_ns = record->soft_ns;
	record->final_ns = 0;
	record->switches = BPF_CORE_READ(task, nvcsw);
	record->tid = own_pid_nr(own, BPF_CORE_READ(task, thread_pid));
	record->clock = 1; /* CLOCK_MONOTONIC */
	record->kind = SLEEPER_WHEEL;
	record->reserved = 0;
}

struct stack_walk {
	struct own_pidns own;
	const struct task_struct *task;
};

/* A callback and no loop of its own: the verifier would go through each turn of it, which took it 0.4 s. */
static long next_word(__u64 index, struct stack_walk *walk)
{
	const __u32 expires = bpf_core_field_offset(struct process_timer, timer.expires) / sizeof(__u64);
	const __u32 function = bpf_core_field_offset(struct process_timer, timer.function) / sizeof(__u64);
	const __u32 owner = bpf_core_field_offset(struct process_timer, task) / sizeof(__u64);

	if (stack[(index + owner) & (STACK_WORDS - 1)] != (__u64)walk->task ||
	    kind_of(stack[(index + function) & (STACK_WORDS - 1)]) != SLEEPER_WHEEL)
		return 0;
	add_wheel_sleeper(walk->task, stack[(index + expires) & (STACK_WORDS - 1)], &walk->own);
	return 1;
}

static long next_task(__u64 index, struct stack_walk *walk)
{
	const struct task_struct *task;
	const void *sp;
	__u32 key = index;
	__u64 *address = bpf_map_lookup_elem(&tasks, &key);

	if (!address)
		return 1;
	walk->task = task = (const void *)*address;
	/* Near its top the stack has fewer. */
	sp = (const void *)BPF_CORE_READ(task, thread.sp);
	if (bpf_probe_read_kernel(stack, sizeof(stack), sp) && bpf_probe_read_kernel(stack, sizeof(stack) / 2, sp))
		return 0;
	bpf_loop(STACK_WORDS - 16, next_word, walk, 0);
	return 0;
}

SEC("syscall")
int walk_stacks(void *ctx)
{
	struct stack_walk walk = {.own = own_pidns()};

	if (bpf_core_type_exists(struct process_timer))
		bpf_loop(task_count, next_task, &walk, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
