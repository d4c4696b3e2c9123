/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What private_data of the small file kinds points to (fs/eventfd.c, timerfd.c, signalfd.c, eventpoll.c, pipe.c,
 * notify/). */
#pragma once

#include "vmlinux/fs.h"
#include "vmlinux/hrtimer.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kref {
	refcount_t refcount;
};

struct eventfd_ctx {
	struct kref kref;
	__u64 count;
	unsigned int flags;
};

struct alarm {
	struct timerqueue_node node;
	int state;
};

struct timerfd_ctx {
	union {
		struct hrtimer tmr;
		struct alarm alarm;
	} t;
	ktime_t tintv;
	__u64 ticks;
	int clockid;
	short unsigned int expired;
	short unsigned int settime_flags;
};

struct signalfd_ctx {
	sigset_t sigmask; /* inverted */
};

struct epoll_filefd {
	struct file *file;
	int fd;
} __attribute__((packed));

struct epoll_event {
	__u32 events;
	__u64 data;
} __attribute__((packed));

struct epitem {
	struct rb_node rbn;
	struct list_head rdllink;
	struct epitem *ovflist_next;
	struct epoll_filefd ffd;
	struct epoll_event event;
};

/* v6.1 and v6.12: ovflist_next by another name. */
struct epitem___v612 {
	struct epitem *next;
};

struct eventpoll {
	struct rb_root_cached rbr;
	unsigned int busy_poll_usecs; /* v6.9 */
	unsigned short busy_poll_budget;
	_Bool prefer_busy_poll;
};

struct pipe_buf_operations {
	void *confirm;
};

struct pipe_buffer {
	struct page *page;
	unsigned int offset;
	unsigned int len;
	const struct pipe_buf_operations *ops;
	unsigned int flags;
};

struct pipe_inode_info {
	struct mutex mutex;
	unsigned int head;
	unsigned int tail;
	unsigned int max_usage;
	unsigned int ring_size;
	unsigned int readers;
	unsigned int writers;
	unsigned int w_counter;
	struct pipe_buffer *bufs;
};

struct idr {
	unsigned int idr_next;
};

struct inotify_group_private_data {
	struct idr idr;
};

struct fsnotify_event {
	struct list_head list;
};

struct fsnotify_group {
	struct list_head notification_list;
	unsigned int q_len;
	struct fsnotify_event *overflow_event;
	struct list_head marks_list;
	struct inotify_group_private_data inotify_data;
};

struct fsnotify_mark_connector {
	void *obj; /* the inode; up to v6.9 its i_fsnotify_marks */
};

struct fsnotify_mark {
	__u32 mask;
	struct list_head g_list;
	struct fsnotify_mark_connector *connector;
	unsigned int flags;
};

struct inotify_inode_mark {
	struct fsnotify_mark fsn_mark;
	int wd;
};

#pragma clang attribute pop
