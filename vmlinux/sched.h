/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Tasks (include/linux/sched.h). */
#pragma once

#include "vmlinux/cred.h"
#include "vmlinux/mm_types.h"
#include "vmlinux/pid.h"
#include "vmlinux/signal.h"
#include "vmlinux/types.h"

#define PF_IO_WORKER   0x00000010
#define PF_EXITING     0x00000004
#define PF_USER_WORKER 0x00004000 /* v6.4, 54e6842d0775; io-wq and SQPOLL threads */
#define PF_KTHREAD     0x00200000

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct files_struct;
struct io_uring_task;
struct completion;
struct seccomp_filter;

struct vfsmount;
struct dentry;

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct fs_struct {
	int users;
	int umask;
	struct path root;
	struct path pwd;
};

struct sched_dl_entity {
	__u64 dl_runtime;
	__u64 dl_deadline;
	__u64 dl_period;
	unsigned int flags;
};

struct cpumask {
	unsigned long bits[1]; /* NR_CPUS bits: take the size from BTF */
};

typedef struct cpumask cpumask_t;

struct seccomp {
	int mode;
	atomic_t filter_count;
	struct seccomp_filter *filter;
};

struct io_context {
	unsigned short ioprio;
};

struct restart_block {
	void *fn;
	struct {
		int clockid;
		void *rmtp;
		__u64 expires;
	} nanosleep;
};

struct thread_info {
	unsigned long flags;
	unsigned long syscall_work;
};

enum syscall_work_bit {
	SYSCALL_WORK_BIT_SYSCALL_USER_DISPATCH = 5,
};

struct sched_entity {
	unsigned char sched_delayed; /* v6.12, 152e11f6df29: asleep, and on its queue still */
	unsigned char custom_slice;  /* v6.12, 857b158dc5e8 */
	__u64 sum_exec_runtime;
	__u64 slice; /* v6.6 */
};

struct uclamp_se {
	unsigned int value : 11;
	unsigned int bucket_id : 5;
	unsigned int active : 1;
	unsigned int user_defined : 1;
};

struct sem_undo_list {
	refcount_t refcnt;
	struct list_head list_proc;
};

struct sysv_sem {
	struct sem_undo_list *undo_list;
};

typedef struct {
	unsigned long bits[1]; /* MAX_NUMNODES bits: take the size from BTF */
} nodemask_t;

/* What set_mempolicy(2) was given: w.user_nodemask with MPOL_F_STATIC_NODES or _RELATIVE_NODES, else `nodes`. */
struct mempolicy {
	unsigned short mode;
	unsigned short flags;
	nodemask_t nodes;
	union {
		nodemask_t cpuset_mems_allowed;
		nodemask_t user_nodemask;
	} w;
};

struct css_set;
struct io_bitmap;

struct desc_struct {
	__u64 descriptor; /* never read by name: fields of 16 and 4 bits */
};

struct thread_struct {
	unsigned long sp; /* of the kernel stack, while the task is not running (arch/x86) */
	struct desc_struct tls_array[3];
	unsigned long ptrace_dr7;
	struct io_bitmap *io_bitmap;
	unsigned long iopl_emul;
};

struct task_struct {
	struct thread_info thread_info;
	unsigned int __state;
	unsigned int flags;
	unsigned int ptrace;
	int on_cpu;
	int on_rq; /* 0: it sleeps, and its queue has let go of it */
	int prio;
	int static_prio;
	unsigned int rt_priority;
	struct sched_entity se;
	struct sched_dl_entity dl;
	unsigned int policy;
	cpumask_t cpus_mask;
	struct mm_struct *mm;
	int exit_state;
	int exit_code;
	int exit_signal;
	int pdeath_signal;
	unsigned long jobctl;
	unsigned int personality;
	unsigned int sched_reset_on_fork : 1;
	unsigned int in_execve : 1;
	unsigned int restore_sigmask : 1;
	unsigned long atomic_flags;
	struct restart_block restart_block;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct task_struct *parent;
	struct list_head children;
	struct list_head sibling;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	struct hlist_node pid_links[PIDTYPE_MAX];
	struct list_head thread_node;
	struct completion *vfork_done;
	int *set_child_tid;
	int *clear_child_tid;
	void *worker_private;
	__u64 utime;
	__u64 stime;
	unsigned long nvcsw;
	unsigned long nivcsw;
	__u64 start_time;
	__u64 start_boottime;
	const struct cred *real_cred;
	const struct cred *cred;
	char comm[16];
	struct fs_struct *fs;
	struct files_struct *files;
	struct io_uring_task *io_uring;
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
	struct sighand_struct *sighand;
	sigset_t blocked;
	sigset_t saved_sigmask;
	struct sigpending pending;
	unsigned long sas_ss_sp;
	unsigned long sas_ss_size;
	unsigned int sas_ss_flags;
	kuid_t loginuid;        /* AUDIT */
	struct seccomp seccomp; /* SECCOMP */
	void *robust_list;
	void *compat_robust_list;
	void *rseq;
	__u32 rseq_len;
	__u32 rseq_sig;
	__u64 timer_slack_ns;
	__u64 default_timer_slack_ns;
	struct io_context *io_context;
	unsigned long core_cookie;      /* SCHED_CORE */
	struct uclamp_se uclamp_req[2]; /* UCLAMP_TASK */
	struct sysv_sem sysvsem;        /* SYSVIPC */
	struct mempolicy *mempolicy;    /* NUMA */
	struct css_set *cgroups;        /* CGROUPS */
	struct thread_struct thread;
};

/* v7.0: the time slice extension. */
union rseq_slice_state {
	__u16 state;
};

struct rseq_slice {
	union rseq_slice_state state;
};

/* v7.0: struct rseq_data holds what were three fields. */
struct rseq_data {
	void *usrptr;
	__u32 len;
	__u32 sig;
	struct rseq_slice slice;
};

struct task_struct___v70 {
	struct rseq_data rseq;
};

/* v7.2 (BTF of Debian's 7.2.13): the robust lists, and what the first bits of mm->flags were before. */
struct futex_sched_data {
	void *robust_list;
	void *compat_robust_list;
};

enum task_dumpable {
	TASK_DUMPABLE_OFF,
	TASK_DUMPABLE_OWNER,
	TASK_DUMPABLE_ROOT,
};

struct task_exec_state {
	enum task_dumpable dumpable; /* the values of prctl(PR_GET_DUMPABLE) */
};

struct task_struct___v72 {
	struct futex_sched_data futex;
	struct task_exec_state *exec_state;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#pragma clang attribute pop
