/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sockets of all families, and the message boundaries in the queues of unix sockets. */
#pragma once

#include "bpf/file_learn.bpf.h"
#include "bpf/records.bpf.h"
#include "vmlinux/socket.h"

#define MAX_MESSAGES 65536

RECORD_MAP(sockets, socket_record);
RECORD_MAP(messages, socket_message_record);

__u64 sock_copy[192];

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

/* SO_PEERCRED and SO_PEERGROUPS: the caller of socketpair(2) or connect(2) at that time (net/unix/af_unix.c). */
static __always_inline void describe_peer(struct socket_record *record, const struct sock *copy)
{
	const struct cred *cred = copy->sk_peer_cred;
	const struct group_info *groups;
	__u32 count, bytes;

	if (!cred)
		return;
	groups = BPF_CORE_READ(cred, group_info);
	count = BPF_CORE_READ(groups, ngroups);
	record->options |= SOCKET_PEER_KNOWN;
	record->peer_pid = pid_nr(copy->sk_peer_pid);
	record->peer_uid = BPF_CORE_READ(cred, euid.val);
	record->peer_gid = BPF_CORE_READ(cred, egid.val);
	record->peer_group_count = count;
	/* The verifier of v6.1 forgets the bound of `count` in the product. */
	bytes = (count < SOCKET_PEER_GROUPS ? count : SOCKET_PEER_GROUPS) * sizeof(__u32);
	barrier_var(bytes);
	if (bytes > sizeof(record->peer_groups))
		bytes = sizeof(record->peer_groups);
	bpf_probe_read_kernel(record->peer_groups, bytes, &groups->gid);
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
	if (sk->sk_err)
		options |= SOCKET_ERROR_PENDING;
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
	record->locks = BPF_CORE_READ_BITFIELD(copy, sk_userlocks); /* four bits in v6.1 */
	record->accept_queue = copy->sk_ack_backlog;
	record->backlog = copy->sk_max_ack_backlog;
	record->send_queue = copy->sk_wmem_alloc.refs.counter ? copy->sk_wmem_alloc.refs.counter - 1 : 0;
	if (record->family == AF_UNIX) {
		describe_peer(record, copy);
		describe_unix(record);
		return 0;
	}
	record->receive_queue = copy->sk_backlog.rmem_alloc.counter;
	if (record->family == AF_INET || record->family == AF_INET6)
		describe_inet(record, sk, copy);
	return 0;
}
