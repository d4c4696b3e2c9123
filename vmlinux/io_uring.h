/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Kernel types of io_uring (include/linux/io_uring_types.h, io_uring/), only the fields that are read, as in v6.18.
 * Older and newer layouts are flavours; each says which version it is from. Code chooses by field existence.
 */
#pragma once

#include "vmlinux/page.h"
#include "vmlinux/sched.h"
#include "vmlinux/types.h"
#include "vmlinux/xarray.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct llist_node {
	struct llist_node *next;
};

struct llist_head {
	struct llist_node *first;
};

struct percpu_ref_data {
	atomic_long_t count;
};

struct percpu_ref {
	unsigned long percpu_count_ptr;
	struct percpu_ref_data *data;
};

struct percpu_counter {
	__s64 count;
	__s32 *counters;
};

/* kernel/bpf/arraymap.c: where the per-CPU address of an element of ours is kept. */
struct bpf_array {
	void *pptrs[0];
};

struct bio_vec {
	struct page *bv_page;
	unsigned int bv_len;
	unsigned int bv_offset;
};

enum iter_type {
	ITER_UBUF,
	ITER_IOVEC,
	ITER_BVEC,
};

struct iovec;

struct iov_iter {
	__u8 iter_type;
	const struct iovec *__iov;
	const struct bio_vec *bvec; /* shares its place with __iov */
	unsigned long nr_segs;
};

/* v6.1 */
struct iov_iter___v61 {
	const struct iovec *iov;
};

struct msghdr {
	struct iov_iter msg_iter;
};

struct filename {
	const char *name;
};

struct io_uring_cqe {
	__u64 user_data;
	__s32 res;
	__u32 flags;
	__u64 big_cqe[];
};

struct io_uring {
	__u32 head;
	__u32 tail;
};

struct io_rings {
	struct io_uring sq;
	struct io_uring cq;
	__u32 sq_dropped;
	atomic_t sq_flags;
	__u32 cq_flags;
	__u32 cq_overflow;
	struct io_uring_cqe cqes[];
};

struct io_wq_work_node {
	struct io_wq_work_node *next;
};

struct io_wq_work_list {
	struct io_wq_work_node *first;
};

struct io_wq_work {
	struct io_wq_work_node list;
	atomic_t flags;
};

/* v6.1 */
struct io_wq_work___v61 {
	unsigned int flags;
};

struct io_cqe {
	__u64 user_data;
	__s32 res;
	__u32 flags;
};

struct io_task_work {
	struct llist_node node;
	void *func;
};

struct io_poll {
	__u32 events;
};

struct async_poll {
	struct io_poll poll;
};

struct io_kiocb {
	void *file;
	__u8 opcode;
	__u16 buf_index;
	__u64 flags;
	struct io_cqe cqe;
	struct io_ring_ctx *ctx;
	struct io_uring_task *tctx;
	void *kbuf; /* shares its place with buf_node */
	struct io_wq_work_node comp_list;
	__u32 apoll_events;
	void *file_node;
	struct io_task_work io_task_work;
	struct hlist_node hash_node;
	struct async_poll *apoll;
	void *async_data;
	atomic_t poll_refs;
	struct io_kiocb *link;
	const struct cred *creds;
	struct io_wq_work work;
};

/* v6.1 and v6.12 */
struct io_kiocb___task {
	struct task_struct *task;
};

struct io_kiocb___v61 {
	unsigned int flags;
	struct io_wq_work___v61 work;
};

/* v7.2: IOPOLL requests are on a plain list */
struct io_kiocb___v72 {
	struct list_head iopoll_node;
};

struct io_rsrc_node {
	int refs;
	__u64 tag;
	unsigned long file_ptr; /* shares its place with buf, the struct io_mapped_ubuf */
};

struct io_rsrc_data {
	unsigned int nr;
	struct io_rsrc_node **nodes;
};

struct io_file_table {
	struct io_rsrc_data data;
	unsigned int alloc_hint;
};

/* v6.1 and v6.12 */
struct io_fixed_file___v612 {
	unsigned long file_ptr;
};

struct io_file_table___v612 {
	struct io_fixed_file___v612 *files;
};

struct io_rsrc_data___v612 {
	__u64 **tags;
};

struct io_rsrc_put {
	__u64 tag;
};

/* v6.4 to v6.12: what is put away when all that was submitted before has ended, one for each node */
struct io_rsrc_node___v612 {
	_Bool empty;
	struct list_head node;
	struct io_rsrc_put item;
};

/* v6.1: several */
struct io_rsrc_node___v61 {
	struct list_head node;
	struct list_head rsrc_list;
	struct llist_node llist;
};

struct io_rsrc_put___v61 {
	struct list_head list;
};

struct io_mapped_ubuf {
	__u64 ubuf;
	unsigned int len;
	unsigned int nr_bvecs;
	refcount_t refs;
	_Bool is_kbuf;
	__u8 dir;
	struct bio_vec bvec[];
};

struct io_mapped_ubuf___v61 {
	__u64 ubuf_end;
};

struct io_mapped_ubuf___v72 {
	unsigned long len;
	__u8 flags; /* IO_REGBUF_F_KBUF 1 */
};

struct io_mapped_region {
	struct page **pages;
	void *ptr;
	unsigned int nr_pages;
	unsigned int flags; /* 1 mapped by the kernel, 2 user memory, 4 one reference */
};

struct io_buffer {
	struct list_head list;
	__u64 addr;
	__u32 len;
	__u16 bid;
	__u16 bgid;
};

struct io_uring_buf_ring {
	__u64 resv1;
	__u32 resv2;
	__u16 resv3;
	__u16 tail;
};

struct io_buffer_list {
	struct list_head buf_list; /* shares its place with buf_ring */
	struct io_uring_buf_ring *buf_ring;
	int nbufs;
	__u16 bgid;
	__u16 head;
	__u16 mask;
	__u16 flags; /* v6.18: 1 ring, 2 incremental */
	__u32 min_left_sub_one;
	struct io_mapped_region region;
};

/* v6.12 has IOBL_MMAP 2 and IOBL_INC 4 in a byte, v6.1 no flags: buf_nr_pages != 0 is a ring. */
struct io_buffer_list___v612 {
	__u8 flags;
	__u16 buf_nr_pages;
	struct page **buf_pages;
};

struct io_overflow_cqe {
	struct list_head list;
	struct io_uring_cqe cqe;
};

struct io_ev_fd {
	struct eventfd_ctx *cq_ev_fd;
	unsigned int eventfd_async : 1; /* since v6.13 a whole word */
};

struct io_sq_data {
	struct task_struct *thread;
	unsigned int sq_thread_idle;
	int sq_cpu;
};

struct io_restriction {
	unsigned long register_op[1];
	unsigned long sqe_op[1];
	__u8 sqe_flags_allowed;
	__u8 sqe_flags_required;
};

struct io_tctx_node {
	struct list_head ctx_node;
	struct task_struct *task;
};

struct io_defer_entry {
	struct list_head list;
	struct io_kiocb *req;
};

struct io_submit_link {
	struct io_kiocb *head;
};

struct io_submit_state {
	struct io_wq_work_node free_list;
	struct io_wq_work_list compl_reqs;
	struct io_submit_link link;
};

struct io_hash_bucket {
	struct hlist_head list;
};

struct io_hash_table {
	struct io_hash_bucket *hbs;
	unsigned int hash_bits;
};

struct io_ring_ctx {
	unsigned int flags;
	unsigned int drain_next : 1;
	unsigned int restricted : 1;
	unsigned int off_timeout_used : 1;
	unsigned int drain_active : 1;
	unsigned int drain_disabled : 1;
	unsigned int compat : 1;
	unsigned int iowq_limits_set : 1;
	struct task_struct *submitter_task;
	struct io_rings *rings;
	struct percpu_ref refs;
	int clockid;
	unsigned int sq_thread_idle;
	struct mutex uring_lock;
	__u32 *sq_array;
	void *sq_sqes;
	unsigned int cached_sq_head;
	unsigned int sq_entries;
	struct io_wq_work_list iopoll_list;
	struct io_file_table file_table;
	struct io_rsrc_data buf_table;
	struct io_submit_state submit_state;
	struct xarray io_bl_xa;
	struct io_hash_table cancel_table;
	struct hlist_head cancelable_uring_cmd;
	unsigned int cached_cq_tail;
	unsigned int cq_entries;
	struct io_ev_fd *io_ev_fd;
	unsigned long cq_wait_size;
	struct llist_head work_llist;
	struct llist_head retry_llist;
	unsigned long check_cq;
	atomic_t cq_timeouts;
	struct list_head timeout_list;
	struct list_head ltimeout_list;
	struct list_head cq_overflow_list;
	struct hlist_head waitid_list;
	struct hlist_head futex_list;
	const struct cred *sq_creds;
	struct io_sq_data *sq_data;
	unsigned int file_alloc_start;
	unsigned int file_alloc_end;
	struct io_restriction restrictions;
	struct xarray zcrx_ctxs;
	__u32 pers_next;
	struct xarray personalities;
	struct llist_head fallback_llist;
	struct list_head tctx_list;
	__u32 iowq_limits[2];
	struct list_head defer_list;
	unsigned int nr_drained;
	unsigned int nr_req_allocated;
	__s64 napi_busy_poll_dt;
	_Bool napi_prefer_busy_poll;
	__u8 napi_track_mode;
	struct io_mapped_region sq_region;
	struct io_mapped_region ring_region;
	struct io_mapped_region param_region;
};

/* v6.1 and v6.12 */
struct io_ring_ctx___v612 {
	struct io_hash_table cancel_table_locked;
	unsigned int nr_user_files;
	unsigned int nr_user_bufs;
	struct io_mapped_ubuf **user_bufs;
	struct io_rsrc_data___v612 *file_data;
	struct io_rsrc_data___v612 *buf_data;
	_Bool napi_enabled;
	struct page **ring_pages;
	struct page **sqe_pages;
	unsigned short n_ring_pages;
	unsigned short n_sqe_pages;
	struct list_head rsrc_ref_list;
};

/* v6.1: the first 64 buffer groups are an array */
struct io_ring_ctx___v61 {
	struct io_buffer_list *io_bl;
	struct llist_head rsrc_put_llist;
	unsigned int locked_free_nr;
};

/* The nodes of a queue, from the head that its consumer keeps elsewhere; the stub may be among them. */
struct mpscq {
	struct llist_node stub;
};

/* v7.2 */
struct io_ring_ctx___v72 {
	unsigned int int_flags; /* IO_RING_F_* */
	struct list_head iopoll_list;
	struct llist_node *work_head;
	struct mpscq work_list;
	void *bpf_filters;
	void *bpf_ops;
};

struct io_wq_acct {
	unsigned int nr_workers;
	unsigned int max_workers;
	struct list_head all_list;
	struct io_wq_work_list work_list;
};

struct io_wq {
	struct io_wq_acct acct[2];
	struct cpumask *cpu_mask; /* cpumask_var_t with CONFIG_CPUMASK_OFFSTACK */
};

struct io_wq___onstack {
	struct cpumask cpu_mask[1];
};

/* v6.1 (there in io_wqe) and v6.12: the workers of both kinds are on one list */
struct io_wq___v612 {
	struct list_head all_list;
};

/* v6.1: one io_wqe for each NUMA node */
struct io_wqe_acct {
	unsigned int nr_workers;
	unsigned int max_workers;
	struct io_wq_work_list work_list;
};

struct io_wqe___v61 {
	struct io_wqe_acct acct[2];
	struct io_wq *wq;
	struct list_head all_list;
	struct cpumask *cpu_mask;
};

struct io_wqe___onstack {
	struct cpumask cpu_mask[1];
};

struct io_wq___v61 {
	struct io_wqe___v61 *wqes[];
};

struct io_worker {
	struct list_head all_list;
	struct task_struct *task;
	struct io_wq_work *cur_work;
};

struct io_uring_task {
	int cached_refs;
	struct io_wq *io_wq;
	struct percpu_counter inflight;
	struct llist_head task_list;
	struct task_struct *task;
};

struct io_uring_task___v72 {
	struct llist_node *task_head;
	struct mpscq task_list;
};

/* Commands and async data whose pointers must be followed in the kernel. */

/* Since v6.15 */
struct iou_vec {
	struct iovec *iovec;
	unsigned int nr;
};

struct io_async_rw {
	struct iou_vec vec;
	struct iov_iter iter;
};

struct io_rw {
	__u32 len;
};

struct io_async_rw___v61 {
	struct {
		struct iov_iter iter;
	} s;
};

struct io_async_msghdr {
	struct msghdr msg;
};

struct io_open {
	struct filename *filename;
};

/* Seen in v7.2. What executes the request takes the name out of it (fs/namei.c: complete_getname()). */
struct delayed_filename {
	struct filename *__incomplete_filename;
};

struct io_open___v72 {
	struct delayed_filename filename;
};

struct io_statx {
	struct filename *filename;
};

struct io_statx___v72 {
	struct delayed_filename filename;
};

struct io_unlink {
	struct filename *filename;
};

struct io_unlink___v72 {
	struct delayed_filename filename;
};

struct io_mkdir {
	struct filename *filename;
};

struct io_mkdir___v72 {
	struct delayed_filename filename;
};

struct io_rename {
	struct filename *oldpath;
	struct filename *newpath;
};

struct io_rename___v72 {
	struct delayed_filename oldpath;
	struct delayed_filename newpath;
};

struct io_link {
	struct filename *oldpath;
	struct filename *newpath;
};

struct io_link___v72 {
	struct delayed_filename oldpath;
	struct delayed_filename newpath;
};

struct xattr_name {
	char name[256];
};

/* fs/internal.h; up to v6.12 struct xattr_ctx, with these members */
struct kernel_xattr_ctx {
	void *kvalue;
	unsigned long size;
	struct xattr_name *kname;
};

struct io_xattr {
	struct kernel_xattr_ctx ctx;
	struct filename *filename;
};

struct io_xattr___v72 {
	struct delayed_filename filename;
};

struct io_uring_cmd {
	const void *sqe;
};

struct io_futex {
	unsigned int futex_nr;
};

struct io_timeout {
	struct list_head list;
};

struct io_timeout_data {
	struct hrtimer timer;
};

/* v6.4 */
struct io_tw_state {
	char existence_matters;
};

/* kernel/exit.h, v6.7 */
struct wait_opts {
	struct pid *wo_pid;
};

struct io_waitid_async {
	struct wait_opts wo;
};

struct futex_vector {
	char size_matters;
};

#pragma clang attribute pop
