/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * io_uring instances (struct io_ring_ctx), what is registered with them, and every request that they know (struct
 * io_kiocb), as bpf/uring.bpf.c and bpf/uring_request.bpf.c read them: addresses as identities, the command of a
 * request as raw bytes. Raw bytes are decoded in user space with the kernel's own BTF (iterators/kernel_layout.h),
 * after the thaw.
 */
#pragma once

#include "iterators/cred_record.h"
#include "iterators/record.h"

/* Counters that stand still while nothing of the ring moves: taken before and after the walk. */
struct uring_counters {
	__u32 cached_sq_head;
	__u32 cached_cq_tail;
	__u32 sq_head; /* in the shared ring */
	__u32 sq_tail;
	__u32 cq_head;
	__u32 cq_tail;
	__u32 allocated;   /* requests that exist: nr_req_allocated; where the kernel has none: references less one */
	__u32 free;        /* of those, waiting for reuse in submit_state.free_list */
	__u64 mutex_owner; /* uring_lock: 0 when free */
};
RECORD_LAYOUT(uring_counters, 40, mutex_owner, 32);

/* One taking of the counters. */
struct uring_count_record {
	__u64 ring;
	struct uring_counters counters;
	__u32 unknown; /* counters.allocated could not be taken: the ring is being torn down */
	__u32 pad;
};
RECORD_LAYOUT(uring_count_record, 56, pad, 52);

/* uring_ring_record.state */
enum {
	URING_DRAIN_NEXT = 1 << 0,
	URING_RESTRICTED = 1 << 1,
	URING_DRAIN_ACTIVE = 1 << 2,
	URING_DRAIN_DISABLED = 1 << 3,
	URING_COMPAT = 1 << 4,
	URING_IOWQ_LIMITS = 1 << 5,
	URING_OFF_TIMEOUT = 1 << 6,
	URING_SUBMITTER_DEAD = 1 << 7,
	URING_ZCRX = 1 << 9,
	URING_BPF = 1 << 10,       /* BPF filters or loop operations */
	URING_TRUNCATED = 1 << 11, /* a list was longer than the walk goes: counts are lower bounds */
	URING_REG_RESTRICTED = 1 << 12,
	URING_CQ_WAIT_ARG = 1 << 13,
	URING_TAG_WAITS = 1 << 14, /* the tag of something that is no longer registered, on v6.12 and older */
};

struct uring_ring_record {
	__u64 ring;
	__u64 submitter_task;
	__u64 eventfd_ctx; /* struct eventfd_ctx: private_data of the eventfd's struct file */
	__u64 sq_data;     /* equal: shared SQ thread */
	__u64 sq_thread_task;
	__u64 sq_creds;
	__u64 queues_page; /* struct page of the first of region 0; 0: not known */
	__u64 sqes_page;
	__u64 restrict_register[2]; /* bit n: register operation n is allowed */
	__u64 restrict_sqe[2];
	__u64 napi_busy_poll_ns;
	__u32 flags; /* IORING_SETUP_* */
	__u32 state; /* URING_* */
	__u32 sq_entries;
	__u32 cq_entries;
	__u32 sq_dropped;
	__u32 cq_overflow;
	__u32 sq_flags;
	__u32 cq_flags;
	__u32 check_cq;
	__u32 submitter_tid;
	__u32 sq_thread_tid;
	__u32 sq_thread_idle; /* jiffies */
	__u32 sq_thread_cpu;
	__u32 sq_thread_state; /* task state: 0 runs */
	__u32 file_slots;
	__u32 file_alloc_start;
	__u32 file_alloc_end;
	__u32 file_alloc_hint;
	__u32 buffer_slots;
	__u32 next_personality;
	__u32 clock_id;
	__u32 eventfd_async;
	__u32 eventfd_refs; /* of eventfd_ctx; each ring has one, its struct files together one */
	__u32 iowq_limits[2];
	__u32 napi_mode; /* 255: off */
	__u32 napi_prefer;
	__u32 drained; /* requests held back by a drain */
	__u32 cq_timeouts;
	__u32 ring_bytes;      /* of the ring memory: header, CQEs, SQ array; in uring_page_record, region 0 */
	__u32 sqe_bytes;       /* region 1 */
	__u32 sq_array_offset; /* 0: NO_SQARRAY */
	__u32 cqes_offset;
	__u32 region_flags; /* of ring_region and, shifted by 8, sq_region and, by 16, param_region: IO_REGION_F_* */
	__u32 param_region_npages;
	__u8 sqe_flags_allowed;
	__u8 sqe_flags_required;
	__u8 pad[2];
};
RECORD_LAYOUT(uring_ring_record, 248, pad, 246);

struct uring_file_record {
	__u64 ring;
	__u64 file;
	__u64 node; /* struct io_rsrc_node, what io_kiocb.file_node points to; 0 before 6.13 */
	__u64 tag;
	__u32 slot;
	__u32 pad;
};
RECORD_LAYOUT(uring_file_record, 40, pad, 36);

struct uring_buffer_record {
	__u64 ring;
	__u64 node;
	__u64 imu; /* struct io_mapped_ubuf: equal for cloned buffers */
	__u64 address;
	__u64 length;
	__u64 tag;
	__u32 slot;
	__u32 references;
	__u32 nr_bvecs;
	__u8 kernel_buffer;
	__u8 direction;
	__u8 pad[2];
};
RECORD_LAYOUT(uring_buffer_record, 64, pad, 62);

/* struct bio_vec: a piece of physically contiguous memory. */
struct uring_bvec {
	__u64 page; /* struct page */
	__u32 length;
	__u32 offset; /* may exceed a page: buffers of large folios */
};
RECORD_LAYOUT(uring_bvec, 16, offset, 12);

#define URING_BVEC_CHUNK 63

/* The pages of a registered buffer: consecutive records in order, URING_BVEC_CHUNK each. */
struct uring_bvecs_record {
	__u64 imu;
	__u32 first;
	__u32 count; /* 0: they could not be read */
	struct uring_bvec bvec[URING_BVEC_CHUNK];
};
RECORD_LAYOUT(uring_bvecs_record, 1024, bvec, 16);

struct uring_personality_record {
	__u64 ring;
	struct task_credentials credentials;
	__u32 id;      /* 0: that of the SQ thread */
	__u32 user_ns; /* inode number */
};
RECORD_LAYOUT(uring_personality_record, 112, user_ns, 108);

struct uring_group_record {
	__u64 ring;
	__u64 list; /* struct io_buffer_list */
	__u32 id;
	__u32 entries; /* ring: its size; classic: buffers counted by the kernel, 0 where it keeps no count */
	__u16 head;
	__u16 tail;
	__u8 is_ring;
	__u8 incremental;
	__u8 kernel_memory;
	__u8 pad;
	__u32 min_left;
	__u32 reserved;
};
RECORD_LAYOUT(uring_group_record, 40, reserved, 36);

/* A buffer of a classic group, in order. */
struct uring_provided_record {
	__u64 ring;
	__u64 list;
	__u64 address;
	__u32 length;
	__u16 id;
	__u16 group;
};
RECORD_LAYOUT(uring_provided_record, 32, group, 30);

/* A completion in the overflow list, in order. */
struct uring_overflow_record {
	__u64 ring;
	__u64 user_data;
	__s32 res;
	__u32 flags;
	__u64 extra[2];
};
RECORD_LAYOUT(uring_overflow_record, 40, extra, 24);

/* A thread that has submitted to a ring or registered it, or the ring's SQ thread. */
struct uring_attachment_record {
	__u64 ring;
	__u64 task;
	__u64 tctx; /* struct io_uring_task; 0: the thread is exiting */
	__u64 cred; /* the thread's own: what io_kiocb.creds is when io-wq has set it */
	__u32 tid;
	__u32 sq_thread;
};
RECORD_LAYOUT(uring_attachment_record, 40, sq_thread, 36);

#define URING_CPU_WORDS 16

/* struct io_uring_task and its io-wq: one per thread that uses io_uring. */
struct uring_task_record {
	__u64 tctx;
	__u64 task;
	__u64 wq;       /* struct io_wq; 0: none */
	__s64 inflight; /* requests that it has submitted, all rings */
	__u64 affinity[URING_CPU_WORDS];
	__u32 tid;
	__u32 exiting;
	__u32 max_workers[2]; /* bounded, unbounded */
	__u32 workers[2];
};
RECORD_LAYOUT(uring_task_record, 184, workers, 176);

/* Where a request was found. */
enum uring_place {
	URING_PLACE_POLL,
	URING_PLACE_TIMEOUT,
	URING_PLACE_LINK_TIMEOUT,
	URING_PLACE_LINK,
	URING_PLACE_DEFERRED,
	URING_PLACE_WQ_QUEUE,
	URING_PLACE_WQ_WORKER,
	URING_PLACE_WQ_HASHED,
	URING_PLACE_IOPOLL,
	URING_PLACE_WAITID,
	URING_PLACE_FUTEX,
	URING_PLACE_URING_CMD,
	URING_PLACE_TASK_WORK,
	URING_PLACE_FALLBACK,
	URING_PLACE_COMPLETING, /* submit_state.compl_reqs */
	URING_PLACE_SUBMITTING, /* head of a chain whose last SQE is not there yet */
	URING_PLACES,
};

#define URING_COMMAND_BYTES 64

/* A request may be found in several places, each time with a record of its own: `request` tells. */
struct uring_request_record {
	__u64 request;
	__u64 ring;
	__u64 file;
	__u64 file_node;
	__u64 buffer; /* kbuf or buf_node */
	__u64 tctx;   /* struct io_uring_task of the submitter; 0: gone */
	__u64 link;
	__u64 creds;
	__u64 apoll;
	__u64 async_data;
	__u64 task_work; /* the function that is queued, meaningful in URING_PLACE_TASK_WORK and _FALLBACK only */
	__u64 req_flags; /* REQ_F_*: bit positions differ between kernels */
	__u64 user_data;
	__s32 res;
	__u32 cqe_flags;
	__u32 poll_refs;
	__u32 work_flags;
	__u32 apoll_events;
	__u32 armed_events; /* apoll->poll.events */
	__u16 buf_index;
	__u8 opcode;
	__u8 place;
	__u32 sequence; /* position in its place, where the order means something; of task work the oldest has the
			   lowest */
	__u8 command[URING_COMMAND_BYTES]; /* struct io_cmd_data: struct io_sr_msg, struct io_rw ... */
	__u32 worker_asleep;               /* with a worker: it waits interruptibly, on no CPU */
	__u32 waited_for;  /* WAITID: the process or group (wait_opts.wo_pid); 0: all, or not visible here */
	__u64 exited_from; /* its thread has exited: the struct signal_struct, which it keeps from being freed */
	__u32 timer_clock; /* TIMEOUT, LINK_TIMEOUT: clockid_t that its timer runs on */
	__u32 pad;
};
RECORD_LAYOUT(uring_request_record, 224, timer_clock, 216);

/* Memory that a request points to. */
enum uring_blob_kind {
	URING_BLOB_ASYNC,     /* req->async_data, the first URING_BLOB_BYTES; what follows the object is garbage */
	URING_BLOB_IOVECS,    /* struct iovec[] of a vectored request */
	URING_BLOB_PATH,      /* path name of openat and the like, with the NUL at its end */
	URING_BLOB_COMMAND,   /* SQE of a uring_cmd */
	URING_BLOB_PATH2,     /* the other one, of renameat and the like */
	URING_BLOB_ATTRIBUTE, /* name of an extended attribute, with its NUL */
	URING_BLOB_VALUE,     /* what it is to be set to */
	URING_BLOB_BVECS,     /* struct bio_vec[] of a vector of parts of a registered buffer */
	URING_BLOB_KBUF,      /* struct io_buffer, if it has taken one of a classic group */
	URING_BLOB_KINDS,
};

#define URING_BLOB_BYTES 480

struct uring_blob_record {
	__u64 request;
	__u32 kind;
	__u32 offset; /* of data in the whole */
	__u32 length;
	__u32 total; /* of the whole */
	__u64 pad;
	__u8 data[URING_BLOB_BYTES];
};
RECORD_LAYOUT(uring_blob_record, 512, data, 32);

#define URING_PAGE_BYTES 4096

enum uring_region {
	URING_REGION_QUEUES, /* header, CQEs and SQ array */
	URING_REGION_SQES,
	URING_REGION_BUFFERS, /* of a ring of provided buffers */
	URING_REGION_PARAM,   /* IORING_REGISTER_MEM_REGION */
};

/* Memory of the kernel as large as this is taken over (256 MiB): larger regions are not read, and refused. */
#define URING_MOST_REGION_PAGES (1 << 16)

/* Memory as found: `index` counts within the region. */
struct uring_page_record {
	__u64 owner;  /* struct io_ring_ctx; of URING_REGION_BUFFERS struct io_buffer_list */
	__u32 region; /* enum uring_region */
	__u32 index;
	__u8 data[URING_PAGE_BYTES];
};
RECORD_LAYOUT(uring_page_record, 4112, data, 16);

#define URING_REGION_CHUNK 123

/* The pages of a region that is memory of the program: consecutive records in order, URING_REGION_CHUNK each. */
struct uring_region_record {
	__u64 ring;
	__u64 owner;       /* as in uring_page_record */
	__u64 first_index; /* of the first page's folio: which page of its mapping it is */
	__u32 region;      /* enum uring_region */
	__u32 first;
	__u32 count; /* 0: they could not be read */
	__u32 pad;
	__u64 page[URING_REGION_CHUNK]; /* struct page */
};
RECORD_LAYOUT(uring_region_record, 1024, page, 40);
