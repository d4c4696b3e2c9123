/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One request (struct io_kiocb): its record, and the memory that it points to and that the program may no longer have.
 */
#pragma once

#include "bpf/uring.bpf.h"
#include "iterators/uring_record.h"

RECORD_MAP(uring_requests, uring_request_record);
RECORD_MAP(uring_blobs, uring_blob_record);

/* --- memory of a request -------------------------------------------------------------------------------------------
 */

struct {
	__u64 request;
	__u64 address;
	__u32 kind;
	__u32 total;
} blob;

static long blob_step(__u32 index, void *unused)
{
	__u32 offset = index * URING_BLOB_BYTES, length = blob.total - offset;
	struct uring_blob_record *record;

	if (offset >= blob.total)
		return 1;
	if (length > URING_BLOB_BYTES)
		length = URING_BLOB_BYTES;
	record = NEXT_RECORD(uring_blobs);
	if (!record)
		return 0;
	record->request = blob.request;
	record->kind = blob.kind;
	record->offset = offset;
	record->length = length;
	record->total = blob.total;
	record->pad = 0;
	/* A slab object is seldom a whole number of blobs; what lies behind it is mapped all the same. */
	bpf_probe_read_kernel(record->data, URING_BLOB_BYTES, (void *)(blob.address + offset));
	return 0;
}

#define MAX_BLOB (64 << 10)

static __always_inline void copy_blob(__u64 request, __u32 kind, __u64 address, __u32 total)
{
	if (!address || !total)
		return;
	blob.request = request;
	blob.kind = kind;
	blob.address = address;
	blob.total = total > MAX_BLOB ? MAX_BLOB : total;
	bpf_loop(MAX_BLOB / URING_BLOB_BYTES + 1, blob_step, NULL, 0);
}

static __always_inline void copy_iovecs(__u64 request, __u64 iter_address)
{
	struct iov_iter *iter = (void *)iter_address;
	__u64 vector;

	if (BPF_CORE_READ(iter, iter_type) != bpf_core_enum_value(enum iter_type, ITER_IOVEC))
		return;
	if (bpf_core_field_exists(iter->__iov))
		vector = (__u64)BPF_CORE_READ(iter, __iov);
	else
		vector = (__u64)BPF_CORE_READ((struct iov_iter___v61 *)iter, iov);
	copy_blob(request, URING_BLOB_IOVECS, vector, BPF_CORE_READ(iter, nr_segs) * 16);
}

/* The fresh copy of the request being emitted: one probe read for all of its fields. */
#define KIOCB_WORDS 64
__u64 kiocb_words[KIOCB_WORDS];

/* enum io_uring_op, include/uapi/linux/io_uring.h */
enum {
	OP_READV = 1,
	OP_WRITEV = 2,
	OP_SENDMSG = 9,
	OP_RECVMSG = 10,
	OP_TIMEOUT = 11,
	OP_LINK_TIMEOUT = 15,
	OP_OPENAT = 18,
	OP_STATX = 21,
	OP_READ = 22,
	OP_SEND = 26,
	OP_RECV = 27,
	OP_OPENAT2 = 28,
	OP_RENAMEAT = 35,
	OP_UNLINKAT = 36,
	OP_MKDIRAT = 37,
	OP_SYMLINKAT = 38,
	OP_LINKAT = 39,
	OP_FSETXATTR = 41,
	OP_SETXATTR = 42,
	OP_FGETXATTR = 43,
	OP_GETXATTR = 44,
	OP_URING_CMD = 46,
	OP_SEND_ZC = 47,
	OP_SENDMSG_ZC = 48,
	OP_WAITID = 50,
	OP_FUTEX_WAITV = 53,
	OP_READV_FIXED = 60,
	OP_WRITEV_FIXED = 61,
};

static __always_inline __u64 iter_of_message(__u64 async)
{
	return async + bpf_core_field_offset(struct io_async_msghdr, msg) +
	       bpf_core_field_offset(struct msghdr, msg_iter);
}

static __always_inline __u64 iter_of_rw(__u64 async)
{
	if (bpf_core_field_exists(struct io_async_rw, iter))
		return async + bpf_core_field_offset(struct io_async_rw, iter);
	return async + bpf_core_field_offset(struct io_async_rw___v61, s.iter);
}

/*
 * A vector of parts of a registered buffer. Until it is issued it is a copy of the program's, at the end of its memory
 * (io_uring/rsrc.c: io_prep_reg_iovec()); then these are pages (io_vec_fill_bvec()). The request's flags tell which.
 */
static __always_inline void copy_fixed_vector(__u64 request, __u64 async)
{
	struct iov_iter *iter = (void *)iter_of_rw(async);
	struct io_async_rw *rw = (void *)async;
	__u32 count = ((struct io_rw *)kiocb_words)->len, room;

	if (!bpf_core_field_exists(rw->vec))
		return;
	room = BPF_CORE_READ(rw, vec.nr);
	if (count <= room)
		copy_blob(request, URING_BLOB_IOVECS, (__u64)BPF_CORE_READ(rw, vec.iovec) + (room - count) * 16,
			  count * 16);
	if (BPF_CORE_READ(iter, iter_type) == bpf_core_enum_value(enum iter_type, ITER_BVEC))
		copy_blob(request, URING_BLOB_BVECS, (__u64)BPF_CORE_READ(iter, bvec),
			  BPF_CORE_READ(iter, nr_segs) * 16);
}

/* What only the kernel's copies tell: the argument structures of the program may be gone by now. */
static __always_inline void copy_async(__u64 request, __u64 async, __u8 opcode)
{
	__u32 bytes = URING_BLOB_BYTES;

	if (bpf_core_field_exists(struct io_futex, futex_nr) && bpf_core_type_exists(struct futex_vector) &&
	    opcode == OP_FUTEX_WAITV)
		bytes = (((struct io_futex *)kiocb_words)->futex_nr & 0xff) * bpf_core_type_size(struct futex_vector) +
			16;
	copy_blob(request, URING_BLOB_ASYNC, async, bytes);
	switch (opcode) {
	case OP_READV:
	case OP_WRITEV:
		copy_iovecs(request, iter_of_rw(async));
		break;
	case OP_READV_FIXED:
	case OP_WRITEV_FIXED:
		copy_fixed_vector(request, async);
		break;
	case OP_SENDMSG:
	case OP_RECVMSG:
	case OP_SENDMSG_ZC:
	case OP_SEND:
	case OP_SEND_ZC:
	case OP_RECV:
		copy_iovecs(request, iter_of_message(async));
		break;
	}
}

/*
 * PATH_MAX in pieces; each is read with room for the NUL that bpf_probe_read_kernel_str() puts behind it. Only the one
 * at the end of the name counts: that it was read is what an empty name tells.
 */
#define NAME_PIECE (URING_BLOB_BYTES - 1)

static long name_step(__u32 index, void *unused)
{
	struct uring_blob_record *record = NEXT_RECORD(uring_blobs);
	__u32 offset = index * NAME_PIECE;
	long length;

	if (!record)
		return 0;
	length = bpf_probe_read_kernel_str(record->data, URING_BLOB_BYTES, (void *)(blob.address + offset));
	record->request = blob.request;
	record->kind = blob.kind;
	record->offset = offset;
	record->length = length <= 0 ? 0 : length < URING_BLOB_BYTES ? length : NAME_PIECE;
	record->total = offset + record->length;
	record->pad = 0;
	return length < URING_BLOB_BYTES;
}

static __always_inline void copy_name(__u64 request, __u32 kind, const void *name)
{
	if (!name)
		return;
	blob.request = request;
	blob.kind = kind;
	blob.address = (__u64)name;
	bpf_loop(4096 / NAME_PIECE + 1, name_step, NULL, 0);
}

/* The struct filename in a field of the command of the request being emitted; NULL: there is none. */
#define FILENAME_IN(type, field)                                              \
	({                                                                    \
		struct type *is_ = (void *)kiocb_words;                       \
		struct type##___v72 *v72_ = (void *)kiocb_words;              \
		struct filename *name_ = NULL;                                \
		if (bpf_core_field_exists(v72_->field.__incomplete_filename)) \
			name_ = v72_->field.__incomplete_filename;            \
		else if (bpf_core_field_exists(is_->field))                   \
			name_ = is_->field;                                   \
		name_;                                                        \
	})

static __always_inline struct filename *first_path(__u8 opcode)
{
	switch (opcode) {
	case OP_OPENAT:
	case OP_OPENAT2:
		return FILENAME_IN(io_open, filename);
	case OP_STATX:
		return FILENAME_IN(io_statx, filename);
	case OP_RENAMEAT:
		return FILENAME_IN(io_rename, oldpath);
	case OP_UNLINKAT:
		return FILENAME_IN(io_unlink, filename);
	case OP_MKDIRAT:
		return FILENAME_IN(io_mkdir, filename);
	case OP_SYMLINKAT:
	case OP_LINKAT:
		return FILENAME_IN(io_link, oldpath);
	case OP_SETXATTR:
	case OP_GETXATTR:
		return FILENAME_IN(io_xattr, filename);
	}
	return NULL;
}

static __always_inline struct filename *second_path(__u8 opcode)
{
	switch (opcode) {
	case OP_RENAMEAT:
		return FILENAME_IN(io_rename, newpath);
	case OP_SYMLINKAT:
	case OP_LINKAT:
		return FILENAME_IN(io_link, newpath);
	}
	return NULL;
}

/* Whoever executes the request frees these: of one that has begun they are of no use. */
static __always_inline void copy_attribute(__u64 request)
{
	struct io_xattr *xattr = (void *)kiocb_words;

	copy_name(request, URING_BLOB_ATTRIBUTE, xattr->ctx.kname);
	copy_blob(request, URING_BLOB_VALUE, (__u64)xattr->ctx.kvalue, xattr->ctx.size);
}

static __noinline int copy_names(__u64 request, __u8 opcode)
{
	struct filename *first = first_path(opcode), *second = second_path(opcode);

	if (first)
		copy_name(request, URING_BLOB_PATH, BPF_CORE_READ(first, name));
	if (second)
		copy_name(request, URING_BLOB_PATH2, BPF_CORE_READ(second, name));
	if (opcode >= OP_FSETXATTR && opcode <= OP_GETXATTR)
		copy_attribute(request);
	return 0;
}

/* --- one request ---------------------------------------------------------------------------------------------------
 */

/* What tells who submitted a request: its struct io_uring_task, before v6.13 its task. */
static __always_inline __u64 submitter_in(struct io_kiocb *request)
{
	if (bpf_core_field_exists(request->tctx))
		return (__u64)request->tctx;
	return (__u64)((struct io_kiocb___task *)request)->task;
}

/* Of the last request, as there are many of one submitter; and what is told of that. */
__u64 submitter, submitter_tctx, submitter_exited_from;

/* A task keeps its struct signal_struct until it is freed (kernel/fork.c: __put_task_struct()), and a request its task.
 */
static __always_inline void look_at_submitter(struct io_kiocb *request)
{
	__u64 address = submitter_in(request);
	struct task_struct *task = (void *)address;

	if (address && address == submitter)
		return;
	submitter = address;
	submitter_tctx = 0;
	submitter_exited_from = 0;
	if (!address)
		return;
	if (bpf_core_field_exists(request->tctx)) {
		submitter_tctx = address;
		task = BPF_CORE_READ(request->tctx, task);
	} else {
		submitter_tctx = (__u64)BPF_CORE_READ(task, io_uring);
	}
	if (task && BPF_CORE_READ(task, exit_state))
		submitter_exited_from = (__u64)BPF_CORE_READ(task, signal);
}

static __always_inline __u32 waited_for(struct io_kiocb *request)
{
	struct io_waitid_async *wait = request->async_data;

	if (!wait || !bpf_core_type_exists(struct io_waitid_async))
		return 0;
	return number_of(BPF_CORE_READ(wait, wo.wo_pid));
}

static __always_inline __u32 timer_clock(struct io_kiocb *request)
{
	struct io_timeout_data *data = request->async_data;

	if (!data || (request->opcode != OP_TIMEOUT && request->opcode != OP_LINK_TIMEOUT))
		return 0;
	return BPF_CORE_READ(data, timer.base, clockid);
}

/* The kiocb starts with its command, and that with the file: include/linux/io_uring_types.h, struct io_cmd_data. */
static __always_inline void emit_fields(struct uring_request_record *record, struct io_kiocb *request)
{
	__builtin_memcpy(record->command, kiocb_words, URING_COMMAND_BYTES);
	record->file = (__u64)request->file;
	record->ring = (__u64)request->ctx;
	record->file_node = bpf_core_field_exists(request->file_node) ? (__u64)request->file_node : 0;
	record->buffer = (__u64)request->kbuf;
	record->tctx = submitter_tctx;
	record->link = (__u64)request->link;
	record->creds = (__u64)request->creds;
	record->apoll = (__u64)request->apoll;
	record->async_data = (__u64)request->async_data;
	record->task_work = (__u64)request->io_task_work.func;
	record->user_data = request->cqe.user_data;
	record->res = request->cqe.res;
	record->cqe_flags = request->cqe.flags;
	record->poll_refs = request->poll_refs.counter;
	if (bpf_core_field_exists(request->work.flags.counter))
		record->work_flags = request->work.flags.counter;
	else
		record->work_flags = ((struct io_kiocb___v61 *)request)->work.flags;
	record->apoll_events = request->apoll_events;
	record->buf_index = request->buf_index;
	record->opcode = request->opcode;
	if (bpf_core_field_size(request->flags) == 8)
		record->req_flags = request->flags;
	else
		record->req_flags = ((struct io_kiocb___v61 *)request)->flags;
}

#define BUFFER_SELECT (1 << 5) /* IOSQE_BUFFER_SELECT, and of io_kiocb.flags, too */

/* A read that has taken a buffer of a classic group keeps it while it waits (seen on v6.12 and v6.18). Its flags tell
 * whether. */
static __always_inline void copy_taken_buffer(const struct uring_request_record *record)
{
	if (record->opcode == OP_READ && record->req_flags & BUFFER_SELECT)
		copy_blob(record->request, URING_BLOB_KBUF, record->buffer, bpf_core_type_size(struct io_buffer));
}

/* Of the worker that executes the request being emitted; 0: none does, or it runs. */
__u32 worker_asleep;

/* Other requests hang on one that was emitted since this was last cleared. */
__u32 leads_on;

__noinline int emit_request(__u64 address, __u32 place, __u32 sequence)
{
	struct io_kiocb *request = (void *)kiocb_words;
	struct uring_request_record *record;
	struct async_poll *apoll;
	__u32 bytes = bpf_core_type_size(struct io_kiocb);

	if (bytes > sizeof(kiocb_words) || bpf_probe_read_kernel(kiocb_words, bytes, (void *)address)) {
		truncated = 1;
		return 1;
	}
	record = NEXT_RECORD(uring_requests);
	if (!record)
		return 0;
	record->request = address;
	record->place = place;
	record->sequence = sequence;
	record->worker_asleep = worker_asleep;
	look_at_submitter(request);
	record->exited_from = submitter_exited_from;
	record->waited_for = request->opcode == OP_WAITID ? waited_for(request) : 0;
	record->timer_clock = timer_clock(request);
	record->pad = 0;
	emit_fields(record, request);
	if (record->link || place == URING_PLACE_WQ_WORKER)
		leads_on = 1;
	apoll = request->apoll;
	record->armed_events = apoll ? BPF_CORE_READ(apoll, poll.events) : 0;
	if (record->async_data)
		copy_async(address, record->async_data, record->opcode);
	copy_names(address, record->opcode);
	copy_taken_buffer(record);
	if (record->opcode == OP_URING_CMD && bpf_core_field_exists(struct io_uring_cmd, sqe))
		copy_blob(address, URING_BLOB_COMMAND, (__u64)((struct io_uring_cmd *)kiocb_words)->sqe, 128);
	return 0;
}
