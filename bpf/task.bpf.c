// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Tasks: one light record for every task (`tree`), and all of a process's tasks with their signals, credentials and
 * limits (`detail`).
 *
 * Run on stopped tasks the records are exact. On a running system each list is walked without its lock, by loads that
 * cannot fault, with a bound.
 */
#include "bpf/circle.bpf.h"
#include "bpf/cred.bpf.h"
#include "bpf/pidns.bpf.h"
#include "bpf/records.bpf.h"
#include "bpf/task_attributes.bpf.h"
#include "iterators/task_record.h"
#include "vmlinux/io_uring_task.h"
#include "vmlinux/sched.h"

#define QUEUE_MAX           (1 << 17) /* signals in one queue; RLIMIT_SIGPENDING is thousands */
#define SIGNALS             64
#define THREADS_MAX         (1 << 17) /* of one process that are looked at for a living one */
#define JOBCTL_STOP_SIGMASK 0xffff    /* include/linux/sched/jobctl.h */
#define PFA_NO_NEW_PRIVS    0         /* include/linux/sched.h: a bit of atomic_flags */
#define MMF_DUMPABLE_MASK   3ULL      /* include/linux/mm_types.h, up to v7.1 */

RECORD_MAP(trees, tree_record);
RECORD_MAP(tasks, task_record);
RECORD_MAP(commons, task_common_record);
RECORD_MAP(cpu_words, cpu_word_record);
RECORD_MAP(processes, process_record);
RECORD_MAP(limits, process_limits_record);
RECORD_MAP(actions, sigaction_record);
RECORD_MAP(pending, pending_record);

const volatile __u32 words_of_cpus = 1; /* that all CPUs of the machine need */

/* What own_thread() found. */
__u64 thread_flags;
__u64 security_words[TASK_SECURITY_WORDS];

static __always_inline __u32 flags_of(const struct task_struct *task)
{
	__u32 flags = 0;

	if (task->flags & PF_KTHREAD)
		flags |= TASK_KERNEL_THREAD;
	/* Only an io-wq worker has a struct io_worker (io_uring/io-wq.c). */
	if (task->flags & PF_IO_WORKER)
		flags |= BPF_CORE_READ(task, worker_private) ? TASK_IO_WORKER : TASK_IO_SQ_THREAD;
	if (task->flags & (PF_USER_WORKER | PF_IO_WORKER) && !(task->flags & PF_KTHREAD))
		flags |= TASK_USER_WORKER;
	if (task->flags & PF_EXITING)
		flags |= TASK_EXITING;
	if (task->ptrace && BPF_CORE_READ(task, parent, tgid) != (int)(bpf_get_current_pid_tgid() >> 32))
		flags |= TASK_PTRACED;
	return flags;
}

SEC("iter/task")
int tree(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct own_pidns own = own_pidns();
	struct tree_record *record;

	if (!task)
		return 0;
	record = NEXT_RECORD(trees);
	if (!record)
		return 0;
	record->task = (__u64)task;
	record->real_parent = (__u64)BPF_CORE_READ(task, real_parent, group_leader);
	record->mm = (__u64)BPF_CORE_READ(task, mm);
	record->files = (__u64)BPF_CORE_READ(task, files);
	record->fs = (__u64)BPF_CORE_READ(task, fs);
	record->sighand = (__u64)BPF_CORE_READ(task, sighand);
	record->nsproxy = (__u64)BPF_CORE_READ(task, nsproxy);
	record->signal = (__u64)BPF_CORE_READ(task, signal);
	record->tid = own_pid_nr(&own, BPF_CORE_READ(task, thread_pid));
	record->pid = own_pid_nr(&own, BPF_CORE_READ(task, group_leader, thread_pid));
	record->ppid = own_pid_nr(&own, BPF_CORE_READ(task, real_parent, group_leader, thread_pid));
	record->flags = flags_of(task);
	record->exit_state = task->exit_state;
	record->reserved = 0;
	bpf_core_read(record->comm, sizeof(record->comm), &task->comm);
	return 0;
}

/* --- signals ----------------------------------------------------------------------------------------------------- */

struct queue_walk {
	struct list_head *head;
	struct list_head *next;
	__u64 owner;
	__u64 bits; /* of the set, not yet found in the queue */
};

static long next_pending(__u64 index, struct queue_walk *walk)
{
	struct list_head *next = walk->next;
	struct sigqueue *entry = (void *)next - bpf_core_field_offset(struct sigqueue, list);
	struct pending_record *record;
	__u32 signal;

	if (!next || next == walk->head || goes_round((__u64)next, index))
		return 1;
	signal = BPF_CORE_READ(entry, info.si_signo);
	record = NEXT_RECORD(pending);
	if (record) {
		record->owner = walk->owner;
		record->signal = signal;
		record->flags = BPF_CORE_READ(entry, flags) & SIGQUEUE_PREALLOC ? PENDING_TIMER : 0;
		bpf_core_read(record->siginfo, sizeof(record->siginfo), &entry->info);
	}
	if (signal - 1 < SIGNALS)
		walk->bits &= ~(1ULL << (signal - 1));
	walk->next = BPF_CORE_READ(next, next);
	return 0;
}

static void add_bare_signal(__u64 owner, __u32 signal, __u32 flags)
{
	struct pending_record *record = NEXT_RECORD(pending);

	if (!record)
		return;
	record->owner = owner;
	record->signal = signal;
	record->flags = flags;
	__builtin_memset(record->siginfo, 0, sizeof(record->siginfo));
}

static long next_bare_signal(__u64 index, struct queue_walk *walk)
{
	if (walk->bits & (1ULL << (index & 63)))
		add_bare_signal(walk->owner, index + 1, PENDING_NO_INFO);
	return 0;
}

static void read_queue(struct sigpending *queue, __u64 owner)
{
	struct queue_walk walk = {.head = &queue->list, .owner = owner};
	long rounds;

	walk.next = BPF_CORE_READ(queue, list.next);
	bpf_core_read(&walk.bits, sizeof(walk.bits), &queue->signal);
	if (!walk.bits && walk.next == walk.head)
		return;
	rounds = walk.next == walk.head ? 0 : bpf_loop(QUEUE_MAX, next_pending, &walk, 0);
	if (rounds == QUEUE_MAX || (rounds && went_round()))
		add_bare_signal(owner, 0, PENDING_INCOMPLETE);
	if (walk.bits)
		bpf_loop(SIGNALS, next_bare_signal, &walk, 0);
}

struct action_walk {
	struct sighand_struct *sighand;
};

static long next_action(__u64 index, struct action_walk *walk)
{
	const struct k_sigaction *action =
		(const void *)&walk->sighand->action + index * bpf_core_type_size(struct k_sigaction);
	struct sigaction_record *record;
	__u64 handler = (__u64)BPF_CORE_READ(action, sa.sa_handler);
	__u64 flags = BPF_CORE_READ(action, sa.sa_flags);

	if (!handler && !flags)
		return 0;
	record = NEXT_RECORD(actions);
	if (!record)
		return 0;
	record->sighand = (__u64)walk->sighand;
	record->handler = handler;
	record->flags = flags;
	record->restorer = (__u64)BPF_CORE_READ(action, sa.sa_restorer);
	bpf_core_read(&record->mask, sizeof(record->mask), &action->sa.sa_mask);
	record->signal = index + 1;
	record->reserved = 0;
	return 0;
}

/* --- a thread ---------------------------------------------------------------------------------------------------- */

static void read_namespaces(struct task_namespaces *to, const struct task_struct *task)
{
	const struct pid *pid = BPF_CORE_READ(task, thread_pid);
	__u32 level = BPF_CORE_READ(pid, level);
	struct pid_namespace *pid_ns;
	const struct nsproxy *proxy = BPF_CORE_READ(task, nsproxy);

	__builtin_memset(to, 0, sizeof(*to));
	to->user = BPF_CORE_READ(task, real_cred, user_ns, ns.inum);
	pid_ns = upid_at(pid, level).ns;
	to->pid = BPF_CORE_READ(pid_ns, ns.inum);
	if (!proxy)
		return;
	to->uts = BPF_CORE_READ(proxy, uts_ns, ns.inum);
	to->ipc = BPF_CORE_READ(proxy, ipc_ns, ns.inum);
	to->mnt = BPF_CORE_READ(proxy, mnt_ns, ns.inum);
	to->pid_for_children = BPF_CORE_READ(proxy, pid_ns_for_children, ns.inum);
	to->net = BPF_CORE_READ(proxy, net_ns, ns.inum);
	to->time = BPF_CORE_READ(proxy, time_ns, ns.inum);
	to->time_for_children = BPF_CORE_READ(proxy, time_ns_for_children, ns.inum);
	to->cgroup = BPF_CORE_READ(proxy, cgroup_ns, ns.inum);
}

static void read_numbers(struct task_record *record, const struct own_pidns *own, const struct task_struct *task)
{
	const struct pid *pid = BPF_CORE_READ(task, thread_pid);
	__u32 level = BPF_CORE_READ(pid, level);

	record->tid = own_pid_nr(own, pid);
	record->pid = own_pid_nr(own, BPF_CORE_READ(task, group_leader, thread_pid));
	record->parent_tid = own_pid_nr(own, BPF_CORE_READ(task, real_parent, thread_pid));
	record->tracer = record->flags & TASK_PTRACED ? own_pid_nr(own, BPF_CORE_READ(task, parent, thread_pid)) : 0;
	record->nested_count = level > own->level ? level - own->level : 0;
	for (int i = 0; i < TASK_NESTED_MAX; i++)
		record->nested[i] = i < record->nested_count ? pid_nr_at((__u64)pid, own->level + 1 + i, 0) : 0;
}

struct cpu_walk {
	__u64 mask; /* cpus_mask */
};

static long next_cpu_word(__u64 index, struct cpu_walk *walk)
{
	struct cpu_word_record *record = NEXT_RECORD(cpu_words);

	if (record)
		bpf_probe_read_kernel(&record->word, sizeof(record->word),
				      (void *)(walk->mask + index * sizeof(__u64)));
	return 0;
}

static void read_scheduling(struct task_record *record, const struct task_struct *task)
{
	/* From the record: to the verifier, `task` is a pointer that an index must not move. */
	struct cpu_walk walk = {.mask = *(volatile __u64 *)&record->task + bpf_core_field_offset(task->cpus_mask)};

	record->policy = task->policy;
	record->nice = task->static_prio - 120; /* PRIO_TO_NICE */
	record->rt_priority = task->rt_priority;
	record->dl_runtime = task->dl.dl_runtime;
	record->dl_deadline = task->dl.dl_deadline;
	record->dl_period = task->dl.dl_period;
	record->dl_flags = task->dl.flags;
	record->timer_slack_ns = task->timer_slack_ns;
	record->ioprio = 0;
	if (bpf_core_field_exists(task->io_context))
		record->ioprio = BPF_CORE_READ(task, io_context, ioprio);
	if (BPF_CORE_READ_BITFIELD(task, sched_reset_on_fork))
		record->flags |= TASK_RESET_ON_FORK;
	record->first_cpu_word = cpu_words_count;
	bpf_loop(words_of_cpus, next_cpu_word, &walk, 0);
}

static void read_user_pointers(struct task_record *record, const struct task_struct *task)
{
	const struct task_struct___v70 *task_v70 = (const void *)task;
	const struct task_struct___v72 *task_v72 = (const void *)task;

	record->altstack_sp = task->sas_ss_sp;
	record->altstack_size = task->sas_ss_size;
	record->altstack_flags = task->sas_ss_flags;
	record->clear_child_tid = (__u64)BPF_CORE_READ(task, clear_child_tid);
	record->robust_list = 0;
	record->compat_robust_list = 0;
	record->rseq = 0;
	record->rseq_length = 0;
	record->rseq_signature = 0;
	if (bpf_core_field_exists(task_v72->futex)) {
		record->robust_list = (__u64)BPF_CORE_READ(task_v72, futex.robust_list);
		record->compat_robust_list = (__u64)BPF_CORE_READ(task_v72, futex.compat_robust_list);
	}
	if (bpf_core_field_exists(task->robust_list))
		record->robust_list = (__u64)BPF_CORE_READ(task, robust_list);
	if (bpf_core_field_exists(task->compat_robust_list))
		record->compat_robust_list = (__u64)BPF_CORE_READ(task, compat_robust_list);
	if (bpf_core_field_exists(task_v70->rseq)) {
		record->rseq = (__u64)BPF_CORE_READ(task_v70, rseq.usrptr);
		record->rseq_length = task_v70->rseq.len;
		record->rseq_signature = task_v70->rseq.sig;
	} else if (bpf_core_field_exists(task->rseq)) {
		record->rseq = (__u64)BPF_CORE_READ(task, rseq);
		/* v6.3 (ee3e3ac05c26); before, there was one length */
		record->rseq_length = bpf_core_field_exists(task->rseq_len) ? task->rseq_len : 32;
		record->rseq_signature = task->rseq_sig;
	}
}

static void read_security(struct task_record *record, const struct task_struct *task)
{
	record->seccomp_mode = 0;
	record->seccomp_filters = 0;
	record->loginuid = 0;
	if (task->atomic_flags & (1UL << PFA_NO_NEW_PRIVS))
		record->flags |= TASK_NO_NEW_PRIVS;
	if (BPF_CORE_READ_BITFIELD(task, in_execve))
		record->flags |= TASK_IN_EXECVE;
	if (bpf_core_field_exists(task->seccomp)) {
		record->seccomp_mode = task->seccomp.mode;
		record->seccomp_filters = task->seccomp.filter_count.counter;
	}
	if (bpf_core_field_exists(task->loginuid)) {
		record->loginuid = task->loginuid.val;
		record->flags |= TASK_LOGINUID;
	}
	if (bpf_core_enum_value_exists(enum syscall_work_bit, SYSCALL_WORK_BIT_SYSCALL_USER_DISPATCH) &&
	    task->thread_info.syscall_work &
		    (1UL << bpf_core_enum_value(enum syscall_work_bit, SYSCALL_WORK_BIT_SYSCALL_USER_DISPATCH)))
		record->flags |= TASK_DISPATCH;
}

static void read_identities(struct task_record *record, const struct task_struct *task)
{
	record->task = (__u64)task;
	record->mm = (__u64)BPF_CORE_READ(task, mm);
	record->files = (__u64)BPF_CORE_READ(task, files);
	record->fs = (__u64)BPF_CORE_READ(task, fs);
	record->sighand = (__u64)BPF_CORE_READ(task, sighand);
	record->signal = (__u64)BPF_CORE_READ(task, signal);
	record->subjective_cred = (__u64)BPF_CORE_READ(task, cred);
	record->vfork_done = (__u64)BPF_CORE_READ(task, vfork_done);
	record->io_uring = (__u64)BPF_CORE_READ(task, io_uring);
}

static __u32 read_common(const struct task_struct *task)
{
	const struct io_uring_task *io_uring = BPF_CORE_READ(task, io_uring);
	struct task_common_record *record = NEXT_RECORD(commons);

	if (!record)
		return 0;
	if (bpf_core_read(record->registered_rings, sizeof(record->registered_rings), &io_uring->registered_rings))
		__builtin_memset(record->registered_rings, 0, sizeof(record->registered_rings));
	read_attributes(&record->attributes, task);
	read_namespaces(&record->namespaces, task);
	read_credentials(&record->credentials, BPF_CORE_READ(task, real_cred));
	return commons_count;
}

static void read_thread(struct task_record *record, const struct own_pidns *own, const struct task_struct *task)
{
	record->flags = flags_of(task);
	record->state = task->__state;
	record->exit_state = task->exit_state;
	record->exit_code = task->exit_code;
	record->stop_signal = task->jobctl & JOBCTL_STOP_SIGMASK;
	record->pdeath_signal = task->pdeath_signal;
	record->personality = task->personality;
	record->start_boottime = task->start_boottime;
	record->umask = BPF_CORE_READ(task, fs, umask);
	record->switches = task->nvcsw;
	record->restart_function = (__u64)BPF_CORE_READ(task, restart_block.fn);
	record->restart_rmtp = (__u64)BPF_CORE_READ(task, restart_block.nanosleep.rmtp);
	record->restart_clock = BPF_CORE_READ(task, restart_block.nanosleep.clockid);
	record->restart_expires = BPF_CORE_READ(task, restart_block.nanosleep.expires);
	/* Waiting with a temporary mask; stale otherwise (kernel/signal.c: set_user_sigmask()). */
	if (BPF_CORE_READ_BITFIELD(task, restore_sigmask))
		record->blocked = task->saved_sigmask.sig[0];
	else
		record->blocked = task->blocked.sig[0];
	bpf_core_read(record->comm, sizeof(record->comm), &task->comm);
	read_numbers(record, own, task);
}

/* --- a process --------------------------------------------------------------------------------------------------- */

static __u64 mm_flags_of(const struct task_struct *task)
{
	const struct task_struct___v72 *task_v72 = (const void *)task;
	const struct mm_struct *mm = BPF_CORE_READ(task, mm);
	const struct mm_struct___v617 *mm_v617 = (const void *)mm;
	__u64 flags = 0;

	if (bpf_core_field_exists(mm->flags.__mm_flags))
		bpf_core_read(&flags, sizeof(flags), &mm->flags.__mm_flags);
	else
		flags = BPF_CORE_READ(mm_v617, flags);
	if (bpf_core_field_exists(task_v72->exec_state))
		flags = (flags & ~MMF_DUMPABLE_MASK) | BPF_CORE_READ(task_v72, exec_state, dumpable);
	return flags;
}

struct living_walk {
	const struct list_head *head; /* signal->thread_head */
	const struct list_head *next;
	const struct task_struct *found;
};

static long next_living(__u64 index, struct living_walk *walk)
{
	const struct list_head *next = walk->next;
	const struct task_struct *task = (const void *)next - bpf_core_field_offset(struct task_struct, thread_node);

	if (!next || next == walk->head)
		return 1;
	if (BPF_CORE_READ(task, mm)) {
		walk->found = task;
		return 1;
	}
	walk->next = BPF_CORE_READ(next, next);
	return 0;
}

/* A thread that has the memory of its process still: the leader, unless it has exited before the others. */
static const struct task_struct *living_thread(const struct task_struct *leader)
{
	struct living_walk walk = {
		.head = &BPF_CORE_READ(leader, signal)->thread_head,
		.next = BPF_CORE_READ(leader, signal, thread_head.next),
		.found = leader,
	};

	if (!BPF_CORE_READ(leader, mm))
		bpf_loop(THREADS_MAX, next_living, &walk, 0);
	return walk.found;
}

static __u32 read_limits(const struct signal_struct *signal)
{
	struct process_limits_record *record = NEXT_RECORD(limits);

	if (!record)
		return 0;
	record->count = bpf_core_field_size(signal->rlim) / sizeof(struct process_limit);
	record->reserved = 0;
	bpf_core_read(record->limits, sizeof(record->limits), &signal->rlim);
	return limits_count;
}

static void read_process(struct process_record *record, const struct own_pidns *own, const struct task_struct *leader)
{
	const struct task_struct *living = living_thread(leader);
	const struct signal_struct *signal = BPF_CORE_READ(leader, signal);

	record->signal = (__u64)signal;
	record->mm = (__u64)BPF_CORE_READ(living, mm);
	record->pid = own_pid_nr(own, BPF_CORE_READ(leader, thread_pid));
	record->ppid = own_pid_nr(own, BPF_CORE_READ(leader, real_parent, group_leader, thread_pid));
	record->pgid = own_pid_nr(own, BPF_CORE_READ(signal, pids[PIDTYPE_PGID]));
	record->sid = own_pid_nr(own, BPF_CORE_READ(signal, pids[PIDTYPE_SID]));
	record->exit_signal = leader->exit_signal;
	record->live_threads = BPF_CORE_READ(signal, live.counter);
	record->signal_flags = BPF_CORE_READ(signal, flags);
	record->group_exit_code = BPF_CORE_READ(signal, group_exit_code);
	record->child_subreaper = BPF_CORE_READ_BITFIELD_PROBED(signal, is_child_subreaper);
	record->oom_score_adj = BPF_CORE_READ(signal, oom_score_adj);
	record->limits = read_limits(signal);
	record->exe_file = (__u64)BPF_CORE_READ(living, mm, exe_file);
	record->mm_flags = mm_flags_of(living);
	record->has_terminal = BPF_CORE_READ(signal, tty) != NULL;
	record->restores_timer_ids = 0;
	if (bpf_core_field_exists(signal->timer_create_restore_ids))
		record->restores_timer_ids = BPF_CORE_READ_BITFIELD_PROBED(signal, timer_create_restore_ids);
}

SEC("iter/task")
int detail(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct own_pidns own = own_pidns();
	struct task_record *record;
	struct process_record *process;
	struct signal_struct *signal;
	struct action_walk walk = {};

	if (!task)
		return 0;
	record = NEXT_RECORD(tasks);
	if (record) {
		read_identities(record, task);
		read_thread(record, &own, task);
		read_scheduling(record, task);
		read_user_pointers(record, task);
		read_security(record, task);
		record->common = read_common(task);
		record->reserved = 0;
	}
	read_queue(&task->pending, (__u64)task);
	if (task != BPF_CORE_READ(task, group_leader))
		return 0;
	process = NEXT_RECORD(processes);
	if (process)
		read_process(process, &own, task);
	signal = BPF_CORE_READ(task, signal);
	read_queue(&signal->shared_pending, (__u64)signal);
	walk.sighand = BPF_CORE_READ(task, sighand);
	if (walk.sighand)
		bpf_loop(SIGNALS, next_action, &walk, 0);
	return 0;
}

/*
 * Of the thread that runs this: TIF_*, whose numbers differ between kernels, and what security modules keep in its
 * credentials, which lies where the order of the modules puts it.
 */
SEC("syscall")
int own_thread(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	thread_flags = BPF_CORE_READ(task, thread_info.flags);
	__builtin_memset(security_words, 0, sizeof(security_words));
	if (bpf_core_field_exists(task->real_cred->security))
		bpf_probe_read_kernel(security_words, sizeof(security_words), BPF_CORE_READ(task, real_cred, security));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
