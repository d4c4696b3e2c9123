/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sockets (include/net/sock.h, af_unix.h, inet_sock.h, include/linux/net.h, tcp.h, skbuff.h). */
#pragma once

#include "vmlinux/fs.h"

#define AF_UNIX     1
#define AF_INET     2
#define AF_INET6    10
#define TCP_LISTEN  10
#define IPPROTO_TCP 6

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct socket {
	unsigned long flags;
	struct sock *sk;
};

struct socket_alloc {
	struct socket socket;
	struct inode vfs_inode;
};

struct in6_addr {
	__u8 bytes[16];
};

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	unsigned char skc_reuse : 4;
	unsigned char skc_reuseport : 1;
	unsigned char skc_ipv6only : 1;
	int skc_bound_dev_if;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	unsigned long skc_flags;
};

struct sk_buff_head {
	struct sk_buff *next;
	__u32 qlen;
};

struct sk_buff {
	struct sk_buff *next;
	char cb[48];
	unsigned int len;
	unsigned int data_len; /* of it in pages */
	unsigned int end;
	unsigned char *head;
	unsigned char *data;
};

enum sock_flags {
	SOCK_DEAD = 0,
	SOCK_DONE = 1,
	SOCK_KEEPOPEN = 3,
	SOCK_LINGER = 4,
	SOCK_BROADCAST = 6,
};

struct sock {
	struct sock_common __sk_common;
	__s32 sk_peek_off;
	struct sk_buff_head sk_receive_queue;
	struct {
		atomic_t rmem_alloc;
	} sk_backlog;
	__u8 sk_userlocks;
	int sk_err;
	int sk_rcvbuf;
	long sk_rcvtimeo;
	int sk_rcvlowat;
	struct socket *sk_socket;
	refcount_t sk_wmem_alloc;
	long sk_sndtimeo;
	__u32 sk_priority;
	__u32 sk_mark;
	__u16 sk_protocol;
	__u16 sk_type;
	struct pid *sk_peer_pid;
	const struct cred *sk_peer_cred;
	int sk_sndbuf;
	__u8 sk_shutdown;
	unsigned long sk_lingertime;
	__u32 sk_ack_backlog;
	__u32 sk_max_ack_backlog;
	__u8 sk_scm_credentials : 1; /* v6.16, 0e81cfd971dc; before: bits of socket.flags */
	__u8 sk_scm_security : 1;
};

struct sockaddr_un {
	unsigned short sun_family;
	char sun_path[108];
};

struct unix_address {
	int len;
	struct sockaddr_un name[];
};

struct unix_sock {
	struct unix_address *addr;
	struct path path;
	struct sock *peer;
	struct sk_buff *oob_skb; /* AF_UNIX_OOB */
};

struct scm_fp_list {
	short count;
};

struct unix_skb_parms {
	struct pid *pid;
	kuid_t uid;
	kgid_t gid;
	struct scm_fp_list *fp;
	__u32 consumed;
};

struct tcp_sock {
	__u32 copied_seq;
	__u32 rcv_nxt;
	__u32 write_seq;
	__u32 snd_una;
	__u8 nonagle : 4;
	__u8 keepalive_probes;
	unsigned int keepalive_time;
	unsigned int keepalive_intvl;
};

#pragma clang attribute pop
