/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tasks (struct task_struct) and what a process has once (struct signal_struct), as bpf/task.bpf.c reports
 * them. Numbers of processes are those of the tool's own PID namespace; 0 is a task that is not visible there. Fields
 * named after a kernel type hold its address: identities, never shown.
 */
#pragma once

#include "iterators/cred_record.h"
#include "iterators/record.h"

#define TASK_COMM_SIZE    16
#define TASK_NESTED_MAX   8  /* PID namespaces below the tool's own that are reported */
#define TASK_RINGS        16 /* IO_RINGFD_REG_MAX */
#define TASK_LIMITS       16 /* RLIM_NLIMITS */
#define TASK_NODE_WORDS   16 /* 1024 NUMA nodes */
#define TASK_SIGINFO_SIZE 48 /* sizeof(struct kernel_siginfo): what user space sees is zero beyond it */

enum task_flag {
	TASK_KERNEL_THREAD = 1 << 0,
	TASK_IO_WORKER = 1 << 1,    /* iou-wrk-* */
	TASK_IO_SQ_THREAD = 1 << 2, /* iou-sqp-* */
	TASK_USER_WORKER = 1 << 3,  /* any thread that the kernel made for a process, these two among them */
	TASK_EXITING = 1 << 4,
	TASK_PTRACED = 1 << 5, /* by a process other than the tool */
	TASK_IN_EXECVE = 1 << 6,
	TASK_NO_NEW_PRIVS = 1 << 7,
	TASK_RESET_ON_FORK = 1 << 8, /* SCHED_FLAG_RESET_ON_FORK */
	TASK_LOGINUID = 1 << 9,      /* `loginuid` is there (CONFIG_AUDIT) */
	TASK_DISPATCH = 1 << 10,     /* PR_SET_SYSCALL_USER_DISPATCH */
};

/* What a thread can have that hardly any has, and that a dump refuses. */
enum task_oddity {
	TASK_IO_PORTS = 1 << 0,     /* iopl(2), ioperm(2) */
	TASK_TLS_SEGMENTS = 1 << 1, /* set_thread_area(2) */
	TASK_BREAKPOINTS = 1 << 2,  /* debug registers that a debugger has left */
	TASK_CORE_COOKIE = 1 << 3,  /* PR_SCHED_CORE */
	TASK_UCLAMP = 1 << 4,       /* SCHED_FLAG_UTIL_CLAMP */
	TASK_KEYRING = 1 << 5,      /* a keyring of the thread or the process (keyctl) */
	TASK_SEM_UNDO = 1 << 6,     /* SEM_UNDO operations of System V semaphores */
	TASK_RSEQ_SLICE = 1 << 7,   /* PR_RSEQ_SLICE_EXTENSION */
	TASK_LANDLOCK = 1 << 8,     /* landlock_restrict_self(2) */
};

#define TASK_SECURITY_WORDS 32 /* of cred.security, as far as it is looked at */

/* Every task of the PID namespace, with what finds a tree's members and what they share. */
struct tree_record {
	__u64 task;
	__u64 real_parent;
	__u64 mm;
	__u64 files;
	__u64 fs;
	__u64 sighand;
	__u64 nsproxy;
	__u64 signal;
	__u32 tid;
	__u32 pid;
	__u32 ppid;
	__u32 flags;      /* enum task_flag */
	__u32 exit_state; /* 0: alive */
	__u32 reserved;
	char comm[TASK_COMM_SIZE];
};

RECORD_LAYOUT(tree_record, 104, comm, 88);

struct task_namespaces {
	__u32 uts;
	__u32 ipc;
	__u32 mnt;
	__u32 pid; /* of the task itself */
	__u32 pid_for_children;
	__u32 net;
	__u32 time;
	__u32 time_for_children;
	__u32 cgroup;
	__u32 user;
};

/* What prctl(2) and its kin set for a thread. */
struct task_attributes {
	__u64 css_set;                /* struct css_set: tasks of the same cgroups share it */
	__u64 slice_ns;               /* sched_setattr(2) of a fair policy; 0: the kernel's choice */
	__u64 nodes[TASK_NODE_WORDS]; /* of the memory policy, as the program gave them */
	__u32 oddities;               /* enum task_oddity */
	__u32 thread_flags;           /* TIF_*, whose numbers are learned: iterators/thread_flags.h */
	__u32 atomic_flags;           /* PFA_* */
	__u32 task_flags;             /* PF_* */
	__u16 memory_policy;          /* set_mempolicy(2): MPOL_*; 0: none */
	__u16 memory_policy_flags;
	__u32 reserved;
};

/* A thread. */
struct task_record {
	__u64 task;
	__u64 mm;
	__u64 files;
	__u64 fs;
	__u64 sighand;
	__u64 signal;
	__u64 subjective_cred; /* differs from credentials.cred while a kernel service acts for the task */
	__u64 vfork_done;      /* set: the parent is inside vfork(2), until this task lets go of its mm */
	__u64 io_uring;
	__u32 tid;
	__u32 pid;
	__u32 tracer; /* TASK_PTRACED only */
	__u32 flags;  /* enum task_flag */
	__u32 state;  /* __state */
	__u32 exit_state;
	__u32 exit_code;
	__u32 stop_signal; /* of the last group stop */
	__u32 nested_count;
	__u32 nested[TASK_NESTED_MAX]; /* numbers in the namespaces below the tool's, outermost first */
	__u32 pdeath_signal;
	__u64 blocked;
	__u64 altstack_sp;
	__u64 altstack_size;
	__u32 altstack_flags;
	__u32 personality;
	__u64 clear_child_tid;
	__u64 robust_list;
	__u64 compat_robust_list;
	__u64 rseq;
	__u32 rseq_length;
	__u32 rseq_signature;
	__u64 timer_slack_ns;
	__u64 start_boottime;
	__u32 policy;
	__s32 nice;
	__u32 rt_priority;
	__u32 ioprio;
	__u64 dl_runtime;
	__u64 dl_deadline;
	__u64 dl_period;
	__u32 dl_flags;
	__u32 seccomp_mode;
	__u32 seccomp_filters;
	__u32 umask;
	__u32 loginuid;
	__u32 first_cpu_word;   /* index of a cpu_word_record; as many as CPUs need */
	__u64 switches;         /* nvcsw */
	__u64 restart_function; /* these four: meaningful when a system call was stopped with ERESTART_RESTARTBLOCK */
	__u64 restart_rmtp;     /* nanosleep: where what remains is written */
	__u64 restart_expires;  /* nanosleep: when it ends, on restart_clock */
	__s32 restart_clock;    /* nanosleep */
	__u32 parent_tid;       /* real_parent, which may be any thread */
	__u32 common;           /* number of a task_common_record, from 1; 0: none */
	__u32 reserved;
	char comm[TASK_COMM_SIZE];
};

RECORD_LAYOUT(task_record, 360, comm, 344);

/* What most threads of a tree have alike. */
struct task_common_record {
	__u64 registered_rings[TASK_RINGS]; /* struct file */
	struct task_credentials credentials;
	struct task_namespaces namespaces;
	struct task_attributes attributes;
};

RECORD_LAYOUT(task_common_record, 432, attributes, 264);

/* cpus_mask of a task, as far as there are CPUs: a kernel has room for many more than the machine has. */
struct cpu_word_record {
	__u64 word;
};

RECORD_LAYOUT(cpu_word_record, 8, word, 0);

struct process_limit {
	__u64 soft;
	__u64 hard;
};

/* A process: comes with its leader, also a dead one. */
struct process_record {
	__u64 signal;
	__u64 mm;       /* 0: zombie */
	__u64 exe_file; /* struct file */
	__u32 pid;
	__u32 ppid;
	__u32 pgid;
	__u32 sid;
	__u32 exit_signal;
	__u32 live_threads;
	__u32 signal_flags;    /* SIGNAL_STOP_STOPPED ... (include/linux/sched/signal.h) */
	__u32 group_exit_code; /* stopped: the signal, until the parent has taken the report */
	__u32 child_subreaper;
	__s32 oom_score_adj;
	__u32 limits;             /* number of a process_limits_record, from 1; 0: none */
	__u16 has_terminal;       /* signal->tty: the session's controlling terminal */
	__u16 restores_timer_ids; /* PR_TIMER_CREATE_RESTORE_IDS is on */
	__u64 mm_flags;           /* the first word of MMF_*: dumpable is bits 0 and 1 */
};

RECORD_LAYOUT(process_record, 80, mm_flags, 72);

struct process_limits_record {
	struct process_limit limits[TASK_LIMITS];
	__u32 count;
	__u32 reserved;
};

RECORD_LAYOUT(process_limits_record, 264, count, 256);

struct sigaction_record {
	__u64 sighand;
	__u64 handler;
	__u64 flags;
	__u64 restorer;
	__u64 mask;
	__u32 signal;
	__u32 reserved;
};

RECORD_LAYOUT(sigaction_record, 48, reserved, 44);

enum pending_flag {
	PENDING_TIMER = 1 << 0,      /* the queue entry belongs to a POSIX timer */
	PENDING_NO_INFO = 1 << 1,    /* the bit is set without a queue entry */
	PENDING_INCOMPLETE = 1 << 2, /* the walk reached its bound */
};

/* A pending signal; records of one queue are in the queue's order. */
struct pending_record {
	__u64 owner; /* struct task_struct for a thread's queue, struct signal_struct for the process's */
	__u32 signal;
	__u32 flags; /* enum pending_flag */
	__u8 siginfo[TASK_SIGINFO_SIZE];
};

RECORD_LAYOUT(pending_record, 64, siginfo, 16);
