// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * fd tables (struct files_struct) and open file descriptions (struct file).
 *
 * list_fds names the struct file behind each fd of a process. describe_files then reads any list of struct files, so
 * that those which only an io_uring slot, a mapping or an epoll item holds are read by the same code. Walks without
 * locks: what runs meanwhile may give stale answers, never a fault. Objects that every file has are copied whole and
 * then read with relocated loads: one helper call in place of twenty.
 */
#include "bpf/pidns.bpf.h"
#include "bpf/records.bpf.h"
#include "iterators/file_record.h"
#include "vmlinux/anon_files.h"
#include "vmlinux/fs.h"
#include "vmlinux/socket.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define NAME_MAX_SIZE  256
#define MAX_COMPONENTS 1024
#define MAX_MESSAGES   65536
#define MAX_LIST       (1 << 20)
#define MAX_TREE_DEPTH 48

#define PIPEFS_MAGIC 0x50495045
#define NSFS_MAGIC   0x6e736673

RECORD_MAP(fds, fd_record);
RECORD_MAP(files, file_record);
RECORD_MAP(epoll_items, epoll_item_record);
RECORD_MAP(inotify_marks, inotify_mark_record);
RECORD_MAP(pipe_buffers, pipe_buffer_record);
RECORD_MAP(locks, lock_record);
RECORD_MAP(sockets, socket_record);
RECORD_MAP(messages, socket_message_record);
RECORD_MAP(holders, holder_record);

/* The struct files to describe. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} wanted_files SEC(".maps");
__u32 wanted_files_count;

/* The objects whose holders are looked for. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u32);
} wanted_objects SEC(".maps");

/* names_size bytes (a power of two) and room for one name more. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, 4096 + NAME_MAX_SIZE);
} names SEC(".maps");
const volatile __u64 names_size = 4096;
__u64 names_count; /* bytes */

/* By learn_kinds: one fd of the tool per kind, -1 where the kernel has none, and what the kernel uses for it. */
__s32 kind_fd[FILE_KIND_COUNT];
__u64 kind_f_op[FILE_KIND_COUNT];
__u64 learned_receive_timeo;
/* The PID namespace of the tool. */
struct pid_namespace *own_pid_namespace;
__u32 own_pid_level;

/* Copies of the object at hand. */
__u64 file_copy[64];
__u64 inode_copy[192];
__u64 inode_copied;
__u64 sock_copy[192];

static __always_inline __u32 pid_nr(const struct pid *pid)
{
	struct own_pidns own = {.ns = own_pid_namespace, .level = own_pid_level};

	return own_pid_nr(&own, pid);
}

/* --- fd tables --- */

__u64 last_task;
__u32 last_pid;
__u32 last_tid;

SEC("iter/task_file")
int list_fds(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct fd_record *record;
	unsigned long cloexec = 0;
	struct fdtable *fdt;
	__u32 fd = ctx->fd;

	if (!task || !file)
		return 0;
	record = NEXT_RECORD(fds);
	if (!record)
		return 0;
	if ((__u64)task != last_task) {
		last_task = (__u64)task;
		last_tid = pid_nr(task->thread_pid);
		last_pid = pid_nr(task->group_leader->thread_pid);
	}
	fdt = task->files->fdt;
	bpf_probe_read_kernel(&cloexec, sizeof(cloexec), fdt->close_on_exec + fd / 64);
	record->file = (__u64)file;
	record->files = (__u64)task->files;
	record->pid = last_pid;
	record->tid = last_tid;
	record->fd = fd;
	record->cloexec = (cloexec >> (fd % 64)) & 1;
	return 0;
}

/* --- paths --- */

/* Appends one name; false if there was none. */
static __always_inline char *put_name(const unsigned char *name)
{
	__u32 zero = 0;
	char *base = bpf_map_lookup_elem(&names, &zero);
	__u64 offset = names_count;
	long length;

	if (!base || offset >= names_size) {
		names_count += 64; /* an estimate of what would be needed */
		return NULL;
	}
	base += offset & (names_size - 1);
	length = bpf_probe_read_kernel_str(base, NAME_MAX_SIZE, name);
	if (length <= 0)
		return NULL;
	names_count += length;
	return base;
}

struct path_walk {
	struct dentry *dentry;
	struct dentry *root;
	struct mount *mount; /* NULL: stay within the file system */
	__u32 count;
	__u32 flags;
};

static long path_step(__u32 index, struct path_walk *walk)
{
	struct dentry *dentry = walk->dentry;
	struct dentry *parent;

	if (dentry == walk->root) {
		struct mount *mount = walk->mount;
		struct mount *above;

		if (!mount)
			return 1;
		above = BPF_CORE_READ(mount, mnt_parent);
		if (above == mount) {
			if (!BPF_CORE_READ(mount, mnt_ns))
				walk->flags |= FILE_PATH_DETACHED;
			return 1;
		}
		walk->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
		walk->root = BPF_CORE_READ(above, mnt.mnt_root);
		walk->mount = above;
		return 0;
	}
	parent = BPF_CORE_READ(dentry, d_parent);
	if (parent == dentry) {
		walk->flags |= FILE_PATH_DETACHED;
		return 1;
	}
	if (index == MAX_COMPONENTS - 1)
		walk->flags |= FILE_PATH_TRUNCATED;
	put_name(BPF_CORE_READ(dentry, d_name.name));
	walk->count++;
	walk->dentry = parent;
	return 0;
}

static __always_inline int is_error(const void *pointer)
{
	return (unsigned long)pointer >= (unsigned long)-4095;
}

/* A file of a kernel-internal mount has one name, if any; that of a namespace is its type. */
static __always_inline void describe_pseudo(struct file_record *record, struct dentry *dentry, struct inode *inode)
{
	const unsigned char *name;
	char *text;

	if (record->s_magic == NSFS_MAGIC) {
		struct ns_common___ops *ns = inode->i_private;

		name = (const unsigned char *)BPF_CORE_READ(ns, ops, name);
	} else {
		name = BPF_CORE_READ(dentry, d_name.name);
	}
	text = put_name(name);
	record->path_flags = FILE_PATH_PSEUDO;
	record->name_count = text ? 1 : 0;
	if (text && text[0] == 'm' && text[1] == 'e' && text[2] == 'm' && text[3] == 'f' && text[4] == 'd' &&
	    text[5] == ':')
		record->path_flags |= FILE_PATH_MEMFD;
}

static __noinline int describe_path(struct file_record *record, struct path *path, struct inode *inode)
{
	struct path_walk walk = {};
	struct dentry *dentry;
	struct mount *mount;

	if (!record || !path || !inode)
		return 0;
	dentry = path->dentry;
	mount = (void *)path->mnt - bpf_core_field_offset(struct mount, mnt);
	record->mount_id = BPF_CORE_READ(mount, mnt_id);
	record->names = names_count;
	if (is_error(BPF_CORE_READ(mount, mnt_ns))) {
		describe_pseudo(record, dentry, inode);
		return 0;
	}
	record->mount_namespace = BPF_CORE_READ(mount, mnt_ns, ns.inum);
	walk.dentry = dentry;
	walk.mount = mount;
	walk.root = BPF_CORE_READ(mount, mnt.mnt_root);
	if (!BPF_CORE_READ(dentry, d_hash.pprev) && dentry != walk.root)
		walk.flags |= FILE_PATH_UNLINKED;
	bpf_loop(MAX_COMPONENTS, path_step, &walk, 0);
	record->name_count = walk.count;
	record->path_flags = walk.flags;
	return 0;
}

/* --- kinds --- */

static __always_inline void describe_eventfd(struct file_record *record)
{
	struct eventfd_ctx *ctx = (void *)record->private_data;

	record->eventfd.count = BPF_CORE_READ(ctx, count);
	record->eventfd.flags = BPF_CORE_READ(ctx, flags);
}

static __always_inline int hrtimer_is_armed(struct hrtimer *timer)
{
	struct hrtimer___v71 *newer = (void *)timer;

	if (bpf_core_field_exists(newer->is_queued))
		return BPF_CORE_READ(newer, is_queued);
	return BPF_CORE_READ(timer, state) & 1;
}

static __always_inline void describe_timerfd(struct file_record *record)
{
	struct timerfd_ctx *ctx = (void *)record->private_data;
	int clock = BPF_CORE_READ(ctx, clockid);

	if (clock == 8 || clock == 9) { /* the ALARM clocks have queues of their own (kernel/time/alarmtimer.c) */
		record->timerfd.expires = BPF_CORE_READ(ctx, t.alarm.node.expires);
		record->timerfd.armed = BPF_CORE_READ(ctx, t.alarm.state) & 1;
		record->timerfd.base_clock = clock;
	} else {
		record->timerfd.expires = BPF_CORE_READ(ctx, t.tmr._softexpires);
		record->timerfd.armed = hrtimer_is_armed(&ctx->t.tmr);
		record->timerfd.base_clock = BPF_CORE_READ(ctx, t.tmr.base, clockid);
	}
	record->timerfd.interval = BPF_CORE_READ(ctx, tintv);
	record->timerfd.ticks = BPF_CORE_READ(ctx, ticks);
	record->timerfd.clock_id = clock;
	record->timerfd.expired = BPF_CORE_READ(ctx, expired);
	record->timerfd.settime_flags = BPF_CORE_READ(ctx, settime_flags);
}

static __always_inline void describe_signalfd(struct file_record *record)
{
	struct signalfd_ctx *ctx = (void *)record->private_data;

	record->signalfd.mask = ~BPF_CORE_READ(ctx, sigmask.sig[0]);
}

struct epoll_walk {
	struct rb_node *node;
	struct file_record *record;
};

static __always_inline struct rb_node *rb_next(struct rb_node *node)
{
	struct rb_node *next = BPF_CORE_READ(node, rb_right);
	int i;

	if (next) {
		for (i = 0; i < MAX_TREE_DEPTH; i++) {
			struct rb_node *left = BPF_CORE_READ(next, rb_left);

			if (!left)
				break;
			next = left;
		}
		return next;
	}
	for (i = 0; i < MAX_TREE_DEPTH; i++) {
		next = (struct rb_node *)(BPF_CORE_READ(node, __rb_parent_color) & ~3UL);
		if (!next || BPF_CORE_READ(next, rb_right) != node)
			return next;
		node = next;
	}
	return NULL;
}

static long epoll_step(__u32 index, struct epoll_walk *walk)
{
	struct epitem *item = (void *)walk->node - bpf_core_field_offset(struct epitem, rbn);
	struct epoll_item_record *record;

	if (!walk->node)
		return 1;
	record = NEXT_RECORD(epoll_items);
	if (record) {
		struct list_head *link = &item->rdllink;

		record->epoll = walk->record->file;
		record->file = (__u64)BPF_CORE_READ(item, ffd.file);
		record->fd = BPF_CORE_READ(item, ffd.fd);
		record->events = BPF_CORE_READ(item, event.events);
		record->data = BPF_CORE_READ(item, event.data);
		/* Not on the list: an empty list_head; ovflist_next: EP_UNACTIVE_PTR, -1. */
		record->ready = BPF_CORE_READ(link, next) != link || (long)BPF_CORE_READ(item, ovflist_next) != -1;
		record->padding = 0;
	}
	walk->record->epoll.items++;
	walk->node = rb_next(&item->rbn);
	return 0;
}

static __noinline int describe_epoll(struct file_record *record)
{
	struct epoll_walk walk = {.record = record};
	struct eventpoll *ep;

	if (!record)
		return 0;
	ep = (void *)record->private_data;
	walk.node = BPF_CORE_READ(ep, rbr.rb_leftmost);
	record->epoll.items = 0;
	bpf_loop(MAX_LIST, epoll_step, &walk, 0);
	return 0;
}

struct inotify_walk {
	struct list_head *node;
	struct list_head *head;
	struct file_record *record;
};

/* obj is the inode itself since v6.10, its i_fsnotify_marks before; an inode's i_fsnotify_marks points back here. */
static __always_inline struct inode *marked_inode(struct fsnotify_mark_connector *connector)
{
	struct inode *inode = BPF_CORE_READ(connector, obj);

	if (BPF_CORE_READ(inode, i_fsnotify_marks) == connector)
		return inode;
	return (void *)inode - bpf_core_field_offset(struct inode, i_fsnotify_marks);
}

static __always_inline struct dentry *any_dentry(struct inode *inode)
{
	struct hlist_node *alias = BPF_CORE_READ(inode, i_dentry.first);

	if (!alias)
		return NULL;
	if (bpf_core_field_exists(struct dentry___flat, d_alias))
		return (void *)alias - bpf_core_field_offset(struct dentry___flat, d_alias);
	return (void *)alias - bpf_core_field_offset(struct dentry, d_u.d_alias);
}

static long inotify_step(__u32 index, struct inotify_walk *walk)
{
	struct inotify_inode_mark *mark = (void *)walk->node -
					  bpf_core_field_offset(struct inotify_inode_mark, fsn_mark) -
					  bpf_core_field_offset(struct fsnotify_mark, g_list);
	struct list_head *node = walk->node;
	struct inotify_mark_record *record;
	struct path_walk path = {};
	struct dentry *dentry;
	struct inode *inode;

	if (!node || node == walk->head)
		return 1;
	walk->record->inotify.watches++;
	walk->node = BPF_CORE_READ(node, next);
	record = NEXT_RECORD(inotify_marks);
	if (!record)
		return 0;
	inode = marked_inode(BPF_CORE_READ(mark, fsn_mark.connector));
	record->file = walk->record->file;
	record->inode = (__u64)inode;
	record->ino = BPF_CORE_READ(inode, i_ino);
	record->s_dev = BPF_CORE_READ(inode, i_sb, s_dev);
	record->wd = BPF_CORE_READ(mark, wd);
	record->mask = BPF_CORE_READ(mark, fsn_mark.mask);
	record->flags = BPF_CORE_READ(mark, fsn_mark.flags);
	record->names = names_count;
	dentry = any_dentry(inode);
	path.dentry = dentry;
	path.root = BPF_CORE_READ(inode, i_sb, s_root);
	if (dentry && !BPF_CORE_READ(dentry, d_hash.pprev) && dentry != path.root)
		path.flags |= FILE_PATH_UNLINKED;
	if (dentry)
		bpf_loop(MAX_COMPONENTS, path_step, &path, 0);
	else
		path.flags |= FILE_PATH_DETACHED;
	record->name_count = path.count;
	record->path_flags = path.flags;
	return 0;
}

static __noinline int describe_inotify(struct file_record *record)
{
	struct inotify_walk walk = {.record = record};
	struct fsnotify_group *group;

	if (!record)
		return 0;
	group = (void *)record->private_data;
	record->inotify.queued = BPF_CORE_READ(group, q_len);
	record->inotify.next_wd = BPF_CORE_READ(group, inotify_data.idr.idr_next);
	record->inotify.watches = 0;
	walk.head = &group->marks_list;
	walk.node = BPF_CORE_READ(group, marks_list.next);
	bpf_loop(MAX_LIST, inotify_step, &walk, 0);
	return 0;
}

struct pipe_walk {
	struct pipe_buffer *bufs;
	__u32 tail;
	__u32 head;
	__u32 mask;
	struct file_record *record;
};

static long pipe_step(__u32 index, struct pipe_walk *walk)
{
	struct pipe_buffer_record *record;
	struct pipe_buffer *buffer;
	__u64 slot;
	__u32 length;

	if (walk->tail == walk->head)
		return 1;
	slot = walk->tail++ & walk->mask;
	buffer = (void *)walk->bufs + slot * bpf_core_type_size(struct pipe_buffer);
	length = BPF_CORE_READ(buffer, len);
	walk->record->pipe.used++;
	walk->record->pipe.queued += length;
	record = NEXT_RECORD(pipe_buffers);
	if (record) {
		record->file = walk->record->file;
		record->length = length;
		record->flags = BPF_CORE_READ(buffer, flags);
	}
	return 0;
}

static __noinline int describe_pipe(struct file_record *record)
{
	struct pipe_walk walk = {.record = record};
	struct pipe_inode_info *pipe;

	if (!record)
		return 0;
	pipe = (void *)record->private_data;
	walk.bufs = BPF_CORE_READ(pipe, bufs);
	walk.head = BPF_CORE_READ(pipe, head);
	walk.tail = BPF_CORE_READ(pipe, tail);
	walk.mask = BPF_CORE_READ(pipe, ring_size) - 1;
	record->pipe.slots = BPF_CORE_READ(pipe, max_usage);
	record->pipe.readers = BPF_CORE_READ(pipe, readers);
	record->pipe.writers = BPF_CORE_READ(pipe, writers);
	record->pipe.used = 0;
	record->pipe.queued = 0;
	bpf_loop(MAX_LIST, pipe_step, &walk, 0);
	return 0;
}

static __always_inline void describe_memfd(struct file_record *record)
{
	struct inode *inode = (void *)record->inode;

	record->memfd.seals = 0;
	if (record->s_magic == FILE_MAGIC_TMPFS) {
		struct shmem_inode_info *info =
			(void *)inode - bpf_core_field_offset(struct shmem_inode_info, vfs_inode);

		record->memfd.seals = BPF_CORE_READ(info, seals);
	} else if (bpf_core_type_exists(struct hugetlbfs_inode_info)) {
		struct hugetlbfs_inode_info *info =
			(void *)inode - bpf_core_field_offset(struct hugetlbfs_inode_info, vfs_inode);

		record->memfd.seals = BPF_CORE_READ(info, seals);
	}
}

/* pidfs (v6.9) keeps the pid in the inode as well; private_data has it in all versions. */
static __always_inline void describe_pidfd(struct file_record *record)
{
	struct pid *pid = (void *)record->private_data;

	if (!pid)
		pid = ((struct inode *)inode_copy)->i_private;
	record->pidfd.pid_object = (__u64)pid;
	record->pidfd.pid = pid_nr(pid);
	record->pidfd.gone = !BPF_CORE_READ(pid, tasks[PIDTYPE_PID].first);
}

/* --- sockets --- */

static __always_inline __u64 socket_ino(struct socket *socket)
{
	struct socket_alloc *alloc = (void *)socket - bpf_core_field_offset(struct socket_alloc, socket);

	return socket ? BPF_CORE_READ(alloc, vfs_inode.i_ino) : 0;
}

static __always_inline __u32 flag_if(unsigned long flags, unsigned long bit, __u32 option)
{
	return (flags >> bit) & 1 ? option : 0;
}

struct message_walk {
	struct sk_buff *skb;
	struct sk_buff *head;
	struct socket_record *record;
};

static long message_step(__u32 index, struct message_walk *walk)
{
	struct socket_message_record *record;
	struct unix_skb_parms *cb;
	struct sk_buff *skb = walk->skb;
	__u32 length, consumed;

	if (skb == walk->head || !skb)
		return 1;
	if (index == MAX_MESSAGES - 1)
		walk->record->options |= SOCKET_QUEUE_TRUNCATED;
	cb = (void *)skb->cb;
	length = BPF_CORE_READ(skb, len);
	consumed = BPF_CORE_READ(cb, consumed);
	walk->record->messages++;
	walk->record->receive_queue += length - consumed;
	walk->skb = BPF_CORE_READ(skb, next);
	record = NEXT_RECORD(messages);
	if (!record)
		return 0;
	record->file = walk->record->file;
	record->length = length - consumed;
	record->consumed = consumed;
	record->fds = BPF_CORE_READ(cb, fp) ? BPF_CORE_READ(cb, fp, count) : 0;
	record->pid = pid_nr(BPF_CORE_READ(cb, pid));
	record->uid = BPF_CORE_READ(cb, uid.val);
	record->gid = BPF_CORE_READ(cb, gid.val);
	return 0;
}

static __noinline int describe_unix(struct socket_record *record)
{
	struct message_walk walk = {.record = record};
	struct unix_address *address;
	struct unix_sock *unix_sk;
	struct sock *sk, *peer;
	int length;

	if (!record)
		return 0;
	sk = (void *)record->sk;
	unix_sk = (void *)sk;
	peer = BPF_CORE_READ(unix_sk, peer);
	/* A closed peer stays referenced (net/unix/af_unix.c: unix_release_sock()). */
	if (peer &&
	    flag_if(BPF_CORE_READ(peer, __sk_common.skc_flags), bpf_core_enum_value(enum sock_flags, SOCK_DEAD), 1))
		peer = NULL;
	record->peer_sk = (__u64)peer;
	record->peer_ino = peer ? socket_ino(BPF_CORE_READ(peer, sk_socket)) : 0;
	address = BPF_CORE_READ(unix_sk, addr);
	if (address) {
		length = BPF_CORE_READ(address, len) - 2; /* without sun_family */
		if (length < 0)
			length = 0;
		if (length > 108)
			length = 108;
		record->unix_address_len = length;
		bpf_probe_read_kernel(record->unix_address, length & 127, &address->name[0].sun_path);
	}
	if (BPF_CORE_READ(unix_sk, path.dentry))
		record->options |= SOCKET_BOUND_INODE;
	if (bpf_core_field_exists(unix_sk->oob_skb) && BPF_CORE_READ(unix_sk, oob_skb))
		record->options |= SOCKET_OOB_PENDING;
	if (record->state == TCP_LISTEN) {
		record->accept_queue = BPF_CORE_READ(sk, sk_receive_queue.qlen);
		return 0;
	}
	walk.head = (void *)&sk->sk_receive_queue;
	walk.skb = BPF_CORE_READ(sk, sk_receive_queue.next);
	bpf_loop(MAX_MESSAGES, message_step, &walk, 0);
	return 0;
}

static __always_inline void describe_tcp(struct socket_record *record, unsigned long flags)
{
	struct tcp_sock *tcp = (void *)record->sk;

	if (record->state != TCP_LISTEN) {
		record->receive_queue = BPF_CORE_READ(tcp, rcv_nxt) - BPF_CORE_READ(tcp, copied_seq);
		record->send_queue = BPF_CORE_READ(tcp, write_seq) - BPF_CORE_READ(tcp, snd_una);
		/* A FIN has a sequence number, but nobody can read it (include/net/tcp.h: tcp_inq()). */
		if (record->receive_queue && flag_if(flags, bpf_core_enum_value(enum sock_flags, SOCK_DONE), 1))
			record->receive_queue--;
	}
	record->keep_idle = BPF_CORE_READ(tcp, keepalive_time);
	record->keep_interval = BPF_CORE_READ(tcp, keepalive_intvl);
	record->keep_count = BPF_CORE_READ(tcp, keepalive_probes);
	if (BPF_CORE_READ_BITFIELD_PROBED(tcp, nonagle) & 1) /* TCP_NAGLE_OFF */
		record->options |= SOCKET_NO_DELAY;
}

static __always_inline __u32 socket_options(const struct sock *sk, struct socket *socket)
{
	unsigned long flags = sk->__sk_common.skc_flags;
	__u32 options = 0;

	options |= flag_if(flags, bpf_core_enum_value(enum sock_flags, SOCK_KEEPOPEN), SOCKET_KEEP_ALIVE);
	options |= flag_if(flags, bpf_core_enum_value(enum sock_flags, SOCK_BROADCAST), SOCKET_BROADCAST);
	options |= flag_if(flags, bpf_core_enum_value(enum sock_flags, SOCK_LINGER), SOCKET_LINGER);
	if (BPF_CORE_READ_BITFIELD(sk, __sk_common.skc_reuse))
		options |= SOCKET_REUSE_ADDRESS;
	if (BPF_CORE_READ_BITFIELD(sk, __sk_common.skc_reuseport))
		options |= SOCKET_REUSE_PORT;
	if (BPF_CORE_READ_BITFIELD(sk, __sk_common.skc_ipv6only))
		options |= SOCKET_IPV6_ONLY;
	if (sk->__sk_common.skc_family != AF_UNIX) /* there the same bits are sk_txrehash */
		return options;
	if (bpf_core_field_exists(sk->sk_scm_credentials)) {
		if (BPF_CORE_READ_BITFIELD(sk, sk_scm_credentials))
			options |= SOCKET_PASS_CREDENTIALS;
		if (BPF_CORE_READ_BITFIELD(sk, sk_scm_security))
			options |= SOCKET_PASS_SECURITY;
	} else {
		flags = BPF_CORE_READ(socket, flags); /* SOCK_PASSCRED, SOCK_PASSSEC: include/linux/net.h */
		options |= flag_if(flags, 3, SOCKET_PASS_CREDENTIALS) | flag_if(flags, 4, SOCKET_PASS_SECURITY);
	}
	return options;
}

static __always_inline void describe_inet(struct socket_record *record, struct sock *sk, const struct sock *copy)
{
	record->local_port = copy->__sk_common.skc_num;
	record->remote_port = __builtin_bswap16(copy->__sk_common.skc_dport);
	if (record->family == AF_INET) {
		*(__u32 *)record->local_address = copy->__sk_common.skc_rcv_saddr;
		*(__u32 *)record->remote_address = copy->__sk_common.skc_daddr;
	} else if (bpf_core_field_exists(copy->__sk_common.skc_v6_daddr)) {
		bpf_core_read(record->local_address, 16, &sk->__sk_common.skc_v6_rcv_saddr);
		bpf_core_read(record->remote_address, 16, &sk->__sk_common.skc_v6_daddr);
	}
	if (record->protocol == IPPROTO_TCP && record->type == 1 /* SOCK_STREAM */)
		describe_tcp(record, copy->__sk_common.skc_flags);
}

static __noinline int describe_socket(struct file_record *file)
{
	const struct sock *copy = (void *)sock_copy;
	struct socket_record *record;
	struct socket *socket;
	struct sock *sk;

	if (!file)
		return 0;
	record = NEXT_RECORD(sockets);
	if (!record)
		return 0;
	__builtin_memset(record, 0, sizeof(*record));
	socket = (void *)file->private_data;
	sk = BPF_CORE_READ(socket, sk);
	bpf_probe_read_kernel(sock_copy, bpf_core_type_size(struct sock), sk);
	record->file = file->file;
	record->sk = (__u64)sk;
	record->ino = socket_ino(socket);
	record->family = copy->__sk_common.skc_family;
	record->type = copy->sk_type;
	record->protocol = copy->sk_protocol;
	record->state = copy->__sk_common.skc_state;
	record->shutdown = copy->sk_shutdown;
	record->options = socket_options(copy, socket);
	record->network_namespace = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	record->bound_device = copy->__sk_common.skc_bound_dev_if;
	record->receive_timeo = copy->sk_rcvtimeo;
	record->send_timeo = copy->sk_sndtimeo;
	record->linger = copy->sk_lingertime;
	record->priority = copy->sk_priority;
	record->mark = copy->sk_mark;
	record->peek_offset = copy->sk_peek_off;
	record->receive_buffer = copy->sk_rcvbuf;
	record->send_buffer = copy->sk_sndbuf;
	record->receive_low_water = copy->sk_rcvlowat;
	record->locks = copy->sk_userlocks;
	record->accept_queue = copy->sk_ack_backlog;
	record->backlog = copy->sk_max_ack_backlog;
	record->send_queue = copy->sk_wmem_alloc.refs.counter ? copy->sk_wmem_alloc.refs.counter - 1 : 0;
	if (record->family == AF_UNIX) {
		describe_unix(record);
		return 0;
	}
	record->receive_queue = copy->sk_backlog.rmem_alloc.counter;
	if (record->family == AF_INET || record->family == AF_INET6)
		describe_inet(record, sk, copy);
	return 0;
}

/* --- locks --- */

struct lock_walk {
	struct list_head *node;
	struct list_head *head;
	struct file_record *record;
	__u32 kind;
};

static __always_inline void describe_lock(struct lock_record *record, struct list_head *node)
{
	struct file_lock *lock = (void *)node - bpf_core_field_offset(struct file_lock_core, flc_list);

	record->owner = (__u64)BPF_CORE_READ(lock, c.flc_owner);
	record->flags = BPF_CORE_READ(lock, c.flc_flags);
	record->type = BPF_CORE_READ(lock, c.flc_type);
	record->pid = BPF_CORE_READ(lock, c.flc_pid);
	/* A lease covers the whole file and has no range of its own. */
	record->start = record->kind == LOCK_LEASE ? 0 : BPF_CORE_READ(lock, fl_start);
	record->end = record->kind == LOCK_LEASE ? ~0ULL >> 1 : BPF_CORE_READ(lock, fl_end);
}

static __always_inline void describe_lock_v68(struct lock_record *record, struct list_head *node)
{
	struct file_lock___v68 *lock = (void *)node - bpf_core_field_offset(struct file_lock___v68, fl_list);

	record->owner = (__u64)BPF_CORE_READ(lock, fl_owner);
	record->flags = BPF_CORE_READ(lock, fl_flags);
	record->type = BPF_CORE_READ(lock, fl_type);
	record->pid = BPF_CORE_READ(lock, fl_pid);
	record->start = BPF_CORE_READ(lock, fl_start);
	record->end = BPF_CORE_READ(lock, fl_end);
}

static __always_inline struct file *file_of_lock(struct list_head *node)
{
	struct file_lock *lock = (void *)node - bpf_core_field_offset(struct file_lock_core, flc_list);

	return BPF_CORE_READ(lock, c.flc_file);
}

static __always_inline struct file *file_of_lock_v68(struct list_head *node)
{
	struct file_lock___v68 *lock = (void *)node - bpf_core_field_offset(struct file_lock___v68, fl_list);

	return BPF_CORE_READ(lock, fl_file);
}

/* An inode's lists hold the locks of all its files; each belongs to the file that it was taken through. */
static long lock_step(__u32 index, struct lock_walk *walk)
{
	int split = bpf_core_type_exists(struct file_lock_core);
	struct list_head *node = walk->node;
	struct lock_record *record;
	struct file *file;

	if (!node || node == walk->head)
		return 1;
	walk->node = BPF_CORE_READ(node, next);
	file = split ? file_of_lock(node) : file_of_lock_v68(node);
	if ((__u64)file != walk->record->file)
		return 0;
	walk->record->locks++;
	record = NEXT_RECORD(locks);
	if (!record)
		return 0;
	record->file = (__u64)file;
	record->kind = walk->kind;
	if (split)
		describe_lock(record, node);
	else
		describe_lock_v68(record, node);
	return 0;
}

static __always_inline void walk_locks(struct file_record *record, struct list_head *head, __u32 kind)
{
	struct lock_walk walk = {.head = head, .record = record, .kind = kind};

	walk.node = BPF_CORE_READ(head, next);
	bpf_loop(MAX_LIST, lock_step, &walk, 0);
}

static __noinline int describe_locks(struct file_record *record, struct file_lock_context *context)
{
	if (!record || !context)
		return 0;
	walk_locks(record, &context->flc_posix, LOCK_POSIX);
	walk_locks(record, &context->flc_flock, LOCK_FLOCK);
	walk_locks(record, &context->flc_lease, LOCK_LEASE);
	return 0;
}

/* --- struct file --- */

static __always_inline __u32 kind_by_f_op(__u64 f_op)
{
	__u32 kind;

	for (kind = FILE_KIND_PIPE; kind < FILE_KIND_COUNT; kind++)
		if (f_op == kind_f_op[kind])
			return kind;
	return FILE_KIND_UNKNOWN;
}

static __always_inline __u64 file_references(struct file *copy)
{
	struct file___v612 *older = (void *)copy;

	if (bpf_core_field_exists(copy->f_ref))
		return copy->f_ref.refcnt.counter + 1;
	return older->f_count.counter;
}

static __always_inline void describe_owner(struct file_record *record, struct fown_struct *owner)
{
	struct pid *pid = BPF_CORE_READ(owner, pid);

	record->owner_signal = BPF_CORE_READ(owner, signum);
	if (!pid && !record->owner_signal)
		return;
	record->owned = 1;
	record->owner_pid = pid_nr(pid);
	record->owner_type = BPF_CORE_READ(owner, pid_type);
	record->owner_uid = BPF_CORE_READ(owner, uid.val);
	record->owner_euid = BPF_CORE_READ(owner, euid.val);
}

static __always_inline __s64 inode_mtime(struct inode *inode)
{
	struct inode___v610 *v610 = (void *)inode;
	struct inode___v66 *v66 = (void *)inode;

	if (bpf_core_field_exists(inode->i_mtime_sec))
		return inode->i_mtime_sec * 1000000000LL + inode->i_mtime_nsec;
	if (bpf_core_field_exists(v610->__i_mtime))
		return v610->__i_mtime.tv_sec * 1000000000LL + v610->__i_mtime.tv_nsec;
	return v66->i_mtime.tv_sec * 1000000000LL + v66->i_mtime.tv_nsec;
}

static __always_inline void describe_inode(struct file_record *record, struct inode *inode)
{
	struct super_block *sb = inode->i_sb;

	record->size = inode->i_size;
	record->ino = inode->i_ino;
	record->mtime_ns = inode_mtime(inode);
	record->i_mode = inode->i_mode;
	record->nlink = inode->i_nlink;
	record->rdev = inode->i_rdev;
	record->s_magic = BPF_CORE_READ(sb, s_magic);
	record->s_dev = BPF_CORE_READ(sb, s_dev);
	bpf_probe_read_kernel_str(record->filesystem, sizeof(record->filesystem), BPF_CORE_READ(sb, s_type, name));
}

static __always_inline void describe_detail(struct file_record *record)
{
	switch (record->kind) {
	case FILE_KIND_EVENTFD:
		describe_eventfd(record);
		break;
	case FILE_KIND_TIMERFD:
		describe_timerfd(record);
		break;
	case FILE_KIND_SIGNALFD:
		describe_signalfd(record);
		break;
	case FILE_KIND_EPOLL:
		describe_epoll(record);
		break;
	case FILE_KIND_INOTIFY:
		describe_inotify(record);
		break;
	case FILE_KIND_PIPE:
		describe_pipe(record);
		break;
	case FILE_KIND_SOCKET:
		describe_socket(record);
		break;
	case FILE_KIND_PIDFD:
		describe_pidfd(record);
		break;
	case FILE_KIND_UNKNOWN:
		if (record->path_flags & FILE_PATH_MEMFD)
			describe_memfd(record);
		break;
	}
}

/* The inode of anonymous files is one for the whole system: it is copied once for all of them. */
static __always_inline struct inode *copy_inode(struct inode *inode)
{
	if ((__u64)inode != inode_copied) {
		bpf_probe_read_kernel(inode_copy, bpf_core_type_size(struct inode), inode);
		inode_copied = (__u64)inode;
	}
	return (struct inode *)inode_copy;
}

static long describe_one(__u32 index, void *unused)
{
	__u64 *address = bpf_map_lookup_elem(&wanted_files, &index);
	struct file *copy = (void *)file_copy;
	struct file_record *record;
	struct inode *inode;
	struct path path;

	if (!address)
		return 1;
	record = NEXT_RECORD(files);
	if (!record)
		return 0;
	bpf_probe_read_kernel(file_copy, bpf_core_type_size(struct file), (void *)*address);
	__builtin_memset(record, 0, sizeof(*record));
	record->file = *address;
	record->f_op = (__u64)copy->f_op;
	record->private_data = (__u64)copy->private_data;
	record->inode = (__u64)copy->f_inode;
	record->position = copy->f_pos;
	record->f_flags = copy->f_flags;
	record->f_mode = copy->f_mode;
	record->count = file_references(copy);
	record->kind = kind_by_f_op(record->f_op);
	inode = copy_inode(copy->f_inode);
	describe_inode(record, inode);
	/* A FIFO has other file_operations than a pipe since v6.15 (fs/pipe.c: pipeanon_fops). */
	if ((inode->i_mode & S_IFMT) == S_IFIFO && !(record->f_mode & FMODE_PATH))
		record->kind = FILE_KIND_PIPE;
	if (bpf_core_field_size(copy->f_owner) == sizeof(void *)) {
		if (copy->f_owner)
			describe_owner(record, copy->f_owner);
	} else {
		struct file___v611 *older = (void *)*address;

		describe_owner(record, &older->f_owner);
	}
	if (record->kind == FILE_KIND_UNKNOWN || record->kind == FILE_KIND_PIPE) {
		path.dentry = copy->f_path.dentry;
		path.mnt = copy->f_path.mnt;
		describe_path(record, &path, inode);
		if (inode->i_flctx)
			describe_locks(record, inode->i_flctx);
	}
	describe_detail(record);
	return 0;
}

SEC("syscall")
int describe_files(void *ctx)
{
	inode_copied = 0;
	bpf_loop(wanted_files_count, describe_one, NULL, 0);
	return 0;
}

/* --- learning --- */

SEC("syscall")
int learn_kinds(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct file **table = BPF_CORE_READ(task, files, fdt, fd);
	struct own_pidns own = own_pidns();
	__u32 kind;

	own_pid_namespace = own.ns;
	own_pid_level = own.level;
	for (kind = FILE_KIND_PIPE; kind < FILE_KIND_COUNT; kind++) {
		struct file *file = NULL;
		__s32 fd = kind_fd[kind];

		if (fd < 0)
			continue;
		bpf_probe_read_kernel(&file, sizeof(file), table + fd);
		kind_f_op[kind] = (__u64)BPF_CORE_READ(file, f_op);
		if (kind == FILE_KIND_SOCKET) {
			struct socket *socket = BPF_CORE_READ(file, private_data);

			learned_receive_timeo = BPF_CORE_READ(socket, sk, sk_rcvtimeo);
		}
	}
	return 0;
}

/* --- who else --- */

static __always_inline void put_holder(__u64 object, struct task_struct *task, __u32 fd)
{
	struct holder_record *record;

	if (!object || !bpf_map_lookup_elem(&wanted_objects, &object))
		return;
	record = NEXT_RECORD(holders);
	if (!record)
		return;
	record->object = object;
	record->pid = pid_nr(BPF_CORE_READ(task, group_leader, thread_pid));
	record->fd = fd;
	bpf_probe_read_kernel(record->comm, sizeof(record->comm), task->comm);
}

SEC("iter/task_file")
int find_file_holders(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;

	if (!task || !file)
		return 0;
	put_holder((__u64)file, task, ctx->fd);
	put_holder((__u64)file->f_inode, task, ctx->fd);
	if ((__u64)file->f_op == kind_f_op[FILE_KIND_SOCKET]) {
		struct socket *socket = file->private_data;

		put_holder((__u64)BPF_CORE_READ(socket, sk), task, ctx->fd);
	}
	return 0;
}

/* Only memory objects are looked for by mapping. */
SEC("iter/task_vma")
int find_mapping_holders(struct bpf_iter__task_vma___file *ctx)
{
	struct task_struct *task = ctx->task;
	struct vm_area_struct___file *vma = ctx->vma;

	if (!task || !vma || !vma->vm_file)
		return 0;
	put_holder((__u64)BPF_CORE_READ(vma, vm_file, f_inode), task, HOLDER_TASK);
	return 0;
}

SEC("iter/task")
int find_task_holders(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;
	put_holder((__u64)task->mm, task, HOLDER_TASK);
	put_holder((__u64)task->files, task, HOLDER_TASK);
	put_holder((__u64)task->fs, task, HOLDER_TASK);
	return 0;
}
