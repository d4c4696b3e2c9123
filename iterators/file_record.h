/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What bpf/file.bpf.c says about fd tables and struct file (include/linux/fs.h, include/linux/fdtable.h).
 *
 * Addresses in records identify kernel objects and are never dereferenced here. Two records with the same `file` are
 * one open file description, two with the same `inode` one object (both ends of a pipe).
 */
#pragma once

#include "iterators/cred_record.h"
#include "iterators/record.h"

enum file_kind {
	FILE_KIND_UNKNOWN,
	/* By f_mode, i_mode and the file system. */
	FILE_KIND_REGULAR,
	FILE_KIND_DIRECTORY,
	FILE_KIND_PATH, /* O_PATH */
	FILE_KIND_CHARDEV,
	FILE_KIND_BLOCKDEV,
	FILE_KIND_TTY,
	FILE_KIND_FIFO,
	FILE_KIND_MEMFD,
	FILE_KIND_SHM, /* shared anonymous memory, SysV segment: has no fd, only mappings */
	FILE_KIND_NAMESPACE,
	/* By f_op, learned from a file of our own. */
	FILE_KIND_PIPE,
	FILE_KIND_SOCKET,
	FILE_KIND_EVENTFD,
	FILE_KIND_TIMERFD,
	FILE_KIND_SIGNALFD,
	FILE_KIND_EPOLL,
	FILE_KIND_INOTIFY,
	FILE_KIND_PIDFD,
	FILE_KIND_IO_URING,
	FILE_KIND_COUNT,
};

/* One slot of an fd table. */
struct fd_record {
	__u64 file;
	__u64 files; /* struct files_struct: equal for threads and processes that share the table */
	__u32 pid;   /* thread group and thread, in our PID namespace */
	__u32 tid;
	__u32 fd;
	__u32 cloexec;
};
RECORD_LAYOUT(fd_record, 32, cloexec, 28);

#define FILE_PATH_UNLINKED  1u /* the dentry is unhashed */
#define FILE_PATH_DETACHED  2u /* the walk ended at a root that is not that of a mount namespace */
#define FILE_PATH_TRUNCATED 4u /* deeper than the walk goes */
#define FILE_PATH_PSEUDO    8u /* a single name, of a mount that only the kernel has */
#define FILE_PATH_MEMFD     16u
#define FILE_PATH_LINKABLE  32u /* linkat(2) can give the inode a name though it has none */
#define FILE_LISTS_CUT      64u /* nothing of the path: not all locks or watches were found */

#define FILE_MAGIC_TMPFS 0x01021994u

struct file_eventfd {
	__u64 count;
	__u32 flags; /* EFD_SEMAPHORE */
	__u32 padding;
};

struct file_timerfd {
	__s64 expires; /* on base_clock */
	__s64 interval;
	__u64 ticks;
	__u32 clock_id;
	__u16 expired;
	__u16 settime_flags;
	__u32 armed;
	__u32 base_clock; /* relative timers of CLOCK_REALTIME run on CLOCK_MONOTONIC */
};

struct file_signalfd {
	__u64 mask;
};

struct file_epoll {
	__u64 items;     /* epoll_item_records that name this file */
	__u32 busy_poll; /* EPIOCSPARAMS has set something (v6.9) */
	__u32 padding;
};

struct file_inotify {
	__u32 queued;
	__u32 watches;
	__u32 next_wd;
	__u32 only_overflow; /* the one unread event is IN_Q_OVERFLOW */
};

struct file_pipe {
	__u32 slots; /* max_usage: F_GETPIPE_SZ / page size */
	__u32 used;  /* pipe_buffer_records that name this file */
	__u32 readers;
	__u32 writers;
	__u64 queued;        /* bytes */
	__u32 locked;        /* pipe_inode_info.mutex: by a splice that waits for the other file */
	__u32 no_writer_yet; /* of a FIFO that was opened for reading: poll(2) does not tell POLLHUP */
};

struct file_memfd {
	__u32 seals;
	__u32 padding;
};

struct file_pidfd {
	__u64 pid_object; /* struct pid */
	__u32 pid;        /* in our PID namespace; 0: not in it */
	__u32 gone;       /* no task has it any more */
};

/* One struct file. */
struct file_record {
	__u64 file;
	__u64 f_op;
	__u64 private_data; /* io_uring: struct io_ring_ctx */
	__u64 inode;
	__u64 count; /* references, by the kernel's own count */
	__u64 position;
	__u64 size;
	__u64 blocks; /* of 512 bytes, on disk or in memory */
	__u64 ino;
	__s64 mtime_ns;
	__u64 s_magic;
	__u64 names;      /* offset of the first name in FileReader::names(), leaf first, each ended by NUL */
	__u32 name_count; /* path components; 0: none was read */
	__u32 path_flags; /* FILE_PATH_*, FILE_LISTS_CUT */
	__u32 kind;       /* enum file_kind by f_op alone; kind_of() is the whole answer */
	__u32 f_flags;
	__u32 f_mode;
	__u32 i_mode;
	__u32 nlink;
	__u32 rdev;
	__u32 s_dev;
	__u32 i_uid;
	__u32 i_gid;
	__u32 mount_id;
	__u32 mount_namespace; /* inode number */
	__u32 owner_pid;       /* F_SETOWN, in our PID namespace */
	__u32 owner_type;      /* enum pid_type */
	__u32 owner_uid;
	__u32 owner_euid;
	__u32 owner_signal;
	__u32 owned; /* f_owner has a pid or a signal */
	__u32 locks; /* lock_records that name this file */
	char filesystem[16];
	union {
		struct file_eventfd eventfd;
		struct file_timerfd timerfd;
		struct file_signalfd signalfd;
		struct file_epoll epoll;
		struct file_inotify inotify;
		struct file_pipe pipe;
		struct file_memfd memfd;
		struct file_pidfd pidfd;
	};
};
RECORD_LAYOUT(file_record, 232, eventfd, 192);

/* One struct epitem, in the order of the tree (fs/eventpoll.c: ep_cmp_ffd()). */
struct epoll_item_record {
	__u64 epoll; /* struct file of the epoll instance */
	__u64 file;
	__u64 data;
	__s32 fd;
	__u32 events;
	__u32 ready; /* on the ready list */
	__u32 padding;
};
RECORD_LAYOUT(epoll_item_record, 40, padding, 36);

/* One struct fsnotify_mark of an inotify instance. */
struct inotify_mark_record {
	__u64 file;
	__u64 inode;
	__u64 ino;
	__u64 names; /* path within the file system, as in file_record */
	__u32 name_count;
	__u32 path_flags;
	__u32 s_dev;
	__u32 wd;
	__u32 mask;
	__u32 flags; /* FSNOTIFY_MARK_FLAG_* */
};
RECORD_LAYOUT(inotify_mark_record, 56, flags, 52);

/* One struct pipe_buffer, oldest first. */
struct pipe_buffer_record {
	__u64 file;
	__u32 length;
	__u32 flags; /* PIPE_BUF_FLAG_* */
};
RECORD_LAYOUT(pipe_buffer_record, 16, flags, 12);

#define LOCK_POSIX 0u
#define LOCK_FLOCK 1u
#define LOCK_LEASE 2u

/* One struct file_lock that was taken through `file`. */
struct lock_record {
	__u64 file;
	__u64 owner; /* POSIX: struct files_struct; OFD, FLOCK: struct file */
	__u64 start;
	__u64 end;
	__u32 kind; /* LOCK_* */
	__u32 type; /* F_RDLCK, F_WRLCK */
	__u32 flags;
	__u32 pid; /* thread group, global */
};
RECORD_LAYOUT(lock_record, 48, pid, 44);

/* Who has opened a file of /proc, /sys and the like (file->f_cred); its groups are not listed. */
struct opener_record {
	__u64 file;
	struct task_credentials credentials;
	__u32 user_ns; /* inode number */
	__u32 reserved;
};
RECORD_LAYOUT(opener_record, 112, reserved, 108);

#define SOCKET_KEEP_ALIVE       (1u << 0)
#define SOCKET_BROADCAST        (1u << 1)
#define SOCKET_LINGER           (1u << 2)
#define SOCKET_REUSE_ADDRESS    (1u << 3)
#define SOCKET_REUSE_PORT       (1u << 4)
#define SOCKET_PASS_CREDENTIALS (1u << 5)
#define SOCKET_PASS_SECURITY    (1u << 6)
#define SOCKET_NO_DELAY         (1u << 7)
#define SOCKET_IPV6_ONLY        (1u << 8)
#define SOCKET_OOB_PENDING      (1u << 9)  /* unix: MSG_OOB byte in the queue */
#define SOCKET_BOUND_INODE      (1u << 10) /* unix: bound to a path */
#define SOCKET_QUEUE_TRUNCATED  (1u << 11) /* more messages than were walked */
#define SOCKET_PEER_KNOWN       (1u << 12) /* SO_PEERCRED */
#define SOCKET_ERROR_PENDING    (1u << 13) /* SO_ERROR */

#define SOCKET_PEER_GROUPS 32

/* One struct sock that a file names. */
struct socket_record {
	__u64 file;
	__u64 sk;
	__u64 peer_sk; /* unix */
	__u64 ino;
	__u64 peer_ino;      /* unix; 0: none, or not accepted yet */
	__u64 receive_timeo; /* jiffies; LONG_MAX: none */
	__u64 send_timeo;
	__u64 linger;  /* jiffies */
	__u32 options; /* SOCKET_* */
	__u32 network_namespace;
	__u16 family;
	__u16 type;
	__u16 protocol;
	__u16 state; /* TCP_*, for unix too */
	__u16 local_port;
	__u16 remote_port;
	__u16 unix_address_len; /* of sun_path; 0: not bound */
	__u16 shutdown;
	__u8 local_address[16]; /* network byte order; IPv4 in the first four */
	__u8 remote_address[16];
	__u32 bound_device;
	__u32 receive_queue; /* bytes */
	__u32 send_queue;
	__u32 accept_queue;
	__u32 backlog;
	__u32 messages; /* socket_message_records that name this file */
	__u32 priority;
	__u32 mark;
	__s32 peek_offset;
	__s32 receive_buffer;
	__s32 send_buffer;
	__s32 receive_low_water;
	__u32 locks;     /* SOCK_SNDBUF_LOCK ... */
	__u32 keep_idle; /* jiffies; 0: default */
	__u32 keep_interval;
	__u32 keep_count;
	char unix_address[112]; /* sun_path: abstract names start with NUL */
	__u32 peer_pid;         /* thread group, in our PID namespace; 0: not in it */
	__u32 peer_uid;         /* effective */
	__u32 peer_gid;
	__u32 peer_group_count; /* may be more than are here */
	__u32 peer_groups[SOCKET_PEER_GROUPS];
};
RECORD_LAYOUT(socket_record, 440, peer_groups, 312);

/* One skb of a unix socket's receive queue, oldest first. */
struct socket_message_record {
	__u64 file;
	__u32 length;   /* bytes not yet read */
	__u32 consumed; /* bytes of it read already */
	__u32 fds;      /* SCM_RIGHTS */
	__u32 pid;      /* SCM_CREDENTIALS, in our PID namespace; 0: none */
	__u32 uid;
	__u32 gid;
};
RECORD_LAYOUT(socket_message_record, 32, gid, 28);

#define HOLDER_TASK (~0u)

/* Someone in the system who holds an object looked for. */
struct holder_record {
	__u64 object; /* struct file, inode, struct sock, mm_struct, files_struct, fs_struct */
	__u32 pid;    /* in our PID namespace; 0: it has no number there */
	__u32 fd;     /* HOLDER_TASK: by the task itself or a mapping */
	char comm[16];
};
RECORD_LAYOUT(holder_record, 32, comm, 16);
