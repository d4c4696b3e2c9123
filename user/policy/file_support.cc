// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/policy/file_support.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <fmt/core.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "images/descriptors.h"
#include "user/policy/opener.h"
#include "user/uring/inexact.h"

namespace bpfckpt::policy {

namespace {

struct Refusal {
	std::string message;
	std::string hint;
};
using Refusals = std::vector<Refusal>;

struct Descriptor {
	const images::Process *process;
	uint32_t fd;
};

struct Tree {
	std::unordered_map<uint32_t, const images::Process *> processes; // by pid
	std::unordered_set<uint32_t> pids;                               // and tids
	std::unordered_set<uint32_t>
		groups; // of processes, but for that of the root: if it is from outside, it changes
	std::unordered_map<uint32_t, Descriptor> open_files; // those that an fd names, and the first of them
	std::unordered_set<uint64_t> own_namespaces;         // bpfckpt's, by inode
};

} // namespace

static Tree index_tree(const images::Document &document)
{
	Tree tree;
	tree.open_files.reserve(static_cast<size_t>(document.files_size()));
	for (const images::Process &process : document.processes()) {
		tree.processes.emplace(process.pid(), &process);
		tree.pids.insert(process.pid());
		if (process.pgid() != document.processes(0).pgid())
			tree.groups.insert(process.pgid());
		for (const images::Thread &thread : process.threads())
			tree.pids.insert(thread.tid());
		for (const images::FdEntry &entry : process.files())
			tree.open_files.try_emplace(entry.file(), Descriptor{&process, entry.fd()});
		for (const images::Namespace &ns : process.namespaces())
			if (ns.own())
				tree.own_namespaces.insert(ns.inode());
	}
	return tree;
}

// Character devices whose struct file has no state: null, zero, full, random, urandom (drivers/char/mem.c).
static bool is_stateless_device(uint32_t rdev)
{
	static constexpr std::array<unsigned, 5> kMinors = {3, 5, 7, 8, 9};
	return major(rdev) == 1 && std::ranges::find(kMinors, minor(rdev)) != kMinors.end();
}

static void refuse_kind(const images::File &file, const Tree &tree, Refusals &refusals)
{
	static constexpr struct {
		std::string_view kind;
		const char *what;
		const char *hint;
	} kRefused[] = {
		{"tty", "a terminal", "run the program without a terminal (setsid, input and output to files)"},
		{"blockdev", "a block device", "close it before the dump"},
		{"fanotify", "fanotify", "close it before the dump"},
		{"userfaultfd", "userfaultfd", "close it before the dump"},
		{"perf", "a performance counter", "close it before the dump"},
		{"bpf", "a BPF object", "pin it, and close it before the dump"},
		{"aio", "the ring of an AIO context (io_setup)", "io_destroy it before the dump"},
		{"hugetlb", "huge page memory", "unmap it before the dump"},
		{"secretmem", "secret memory (memfd_secret)", "close it before the dump"},
		{"unknown", "a kind of file that bpfckpt does not know", "close it before the dump, and report it"},
	};
	static constexpr std::array<std::string_view, 17> kKnown = {
		"regular", "directory", "path",  "chardev", "pipe",  "fifo",     "eventfd", "timerfd",   "signalfd",
		"epoll",   "inotify",   "memfd", "shm",     "pidfd", "io_uring", "socket",  "namespace",
	};
	std::string_view kind = file.kind(); // compared by length first: there may be thousands of files
	if (kind == "unknown" && file.filesystem() == "mqueue") {
		refusals.push_back(
			{fmt::format("{} is a POSIX message queue", file.path()), "close it before the dump"});
		return;
	}
	bool named = std::ranges::find(kKnown, kind) != kKnown.end();
	for (const auto &refused : kRefused) {
		if (kind != refused.kind)
			continue;
		refusals.push_back({fmt::format("{} is {}", file.path(), refused.what), refused.hint});
		named = true;
	}
	if (!named)
		refusals.push_back({fmt::format("{} is a file of kind {}", file.path(), file.kind()),
				    "use the version of bpfckpt that wrote it"});
	if (kind == "namespace" && !tree.own_namespaces.contains(file.inode()))
		refusals.push_back({fmt::format("{} is a namespace other than bpfckpt's own", file.path()),
				    "close it before the dump"});
	if (kind == "shm" && file.path() != "/dev/zero" && !file.hidden())
		refusals.push_back({fmt::format("{} is a System V segment that is open through map_files", file.path()),
				    "close it before the dump"});
	if (kind == "chardev" && !is_stateless_device(file.rdev()))
		refusals.push_back({fmt::format("device {} ({}:{}) has state in its driver", file.path(),
						major(file.rdev()), minor(file.rdev())),
				    "close it before the dump"});
	if (kind == "memfd" && file.memfd().hugetlb())
		refusals.push_back({"a memfd of huge pages", "use ordinary pages (no MFD_HUGETLB)"});
}

static void refuse_deleted(const images::File &file, const Options &options, Refusals &refusals)
{
	if (!file.deleted())
		return;
	// Nobody but the kernel makes files there.
	static constexpr std::array<std::string_view, 6> kFixed = {"proc",    "sysfs",   "cgroup",
								   "cgroup2", "debugfs", "tracefs"};
	bool fixed = std::ranges::find(kFixed, file.filesystem()) != kFixed.end();
	if (fixed || S_ISSOCK(file.mode()))
		refusals.push_back(
			{fmt::format("{} {} is deleted", file.kind(), file.path()), "close it before the dump"});
	else if (file.links() && !S_ISDIR(file.mode()) && !file.has_handle())
		refusals.push_back({fmt::format("{} is deleted, but the file has {} other name{}", file.path(),
						file.links(), file.links() == 1 ? "" : "s"),
				    "open it by a name that exists"});
	if (uint64_t bytes = file.ghost().allocated(); bytes > options.ghost_limit)
		refusals.push_back({fmt::format("{} is deleted, and its content of {} bytes is more than the images "
						"shall take in ({})",
						file.path(), bytes, options.ghost_limit),
				    fmt::format("--ghost-limit {}", bytes)});
}

// The inode is made anew: what cannot be taken over is named.
static void refuse_attributes(const images::File &file, Refusals &refusals)
{
	static constexpr std::pair<uint32_t, const char *> kFlags[] = {
		{FS_IMMUTABLE_FL, "immutable"},
		{FS_APPEND_FL, "append-only"},
		{FS_ENCRYPT_FL, "encrypted"},
		{FS_VERITY_FL, "verity"},
	};
	for (auto [flag, name] : kFlags)
		if (file.attributes().flags() & flag)
			refusals.push_back({fmt::format("{} is deleted, and has the inode flag {}", file.path(), name),
					    "close it, or take the flag away (chattr), before the dump"});
	if (file.attributes().unreadable())
		refusals.push_back({fmt::format("{} has extended attributes that cannot be read", file.path()),
				    "close it before the dump"});
}

// What has a name only as long as some process, or a descriptor of it, is there.
static void refuse_passing(const images::File &file, const Tree &tree, Refusals &refusals)
{
	static constexpr std::array<std::string_view, 3> kNameless = {"pipefs", "sockfs", "anon_inodefs"};
	bool nameless = std::ranges::find(kNameless, file.filesystem()) != kNameless.end() ||
			file.path().find("memfd:") != std::string::npos;
	if (file.kind() == "path" && nameless)
		refusals.push_back({fmt::format("{} is open by O_PATH, and has no name",
						file.path().empty() ? file.filesystem() : file.path()),
				    "close it before the dump"});
	constexpr uint32_t kInit = 1; // is there always
	auto [pid, rest] = proc_path_of(file);
	if (pid > kInit && !tree.pids.contains(pid))
		refusals.push_back({fmt::format("{} tells of a process outside of the tree", file.path()),
				    "close it before the dump"});
	for (std::string_view directory : {"/fd/", "/fdinfo/", "/map_files/"})
		if (pid && rest.find(directory) != rest.npos)
			refusals.push_back({fmt::format("{} tells of one descriptor or mapping", file.path()),
					    "close it before the dump"});
}

static bool has_open(const Tree &tree, uint32_t pid, uint32_t file)
{
	auto it = tree.processes.find(pid);
	return it != tree.processes.end() && images::descriptor_of(*it->second, file);
}

static void refuse_locks(const images::File &file, const Tree &tree, Refusals &refusals)
{
	for (const images::FileLock &lock : file.locks()) {
		std::string what = fmt::format("{} {} lock on {}", lock.kind(), lock.type(), file.path());
		if (lock.kind() == "LEASE")
			refusals.push_back({std::move(what), "give it up before the dump (F_SETLEASE, F_UNLCK)"});
		else if (lock.kind() == "POSIX" && !has_open(tree, lock.pid(), file.id()))
			refusals.push_back(
				{what + fmt::format(", taken through a descriptor that pid {} has no more", lock.pid()),
				 "unlock it before the dump"});
	}
	const images::FileOwner &owner = file.owner();
	bool is_group = owner.type() == 2; // F_OWNER_PGRP
	if (owner.pid() && !tree.pids.contains(owner.pid()) && !(is_group && tree.groups.contains(owner.pid())))
		refusals.push_back({fmt::format("F_SETOWN names {} {}, outside of the tree",
						is_group ? "process group" : "pid", owner.pid()),
				    "F_SETOWN 0 before the dump"});
}

// They tell of what happened in file systems, which cannot happen again; that some were lost can be told again.
static void refuse_events(const images::Inotify &inotify, Refusals &refusals)
{
	const uring::InexactKind *kind = uring::inexact_kind("inotify");
	if (inotify.pending_events() && !inotify.only_overflow() && inotify.accepted() != kind->name)
		refusals.push_back({fmt::format("inotify has {} unread events", inotify.pending_events()),
				    "try again when they are read; " + uring::hint_of(*kind)});
}

static void refuse_watches(const images::File &file, const Tree &tree, Refusals &refusals)
{
	for (const images::EpollItem &item : file.epoll().items())
		if (!tree.open_files.contains(item.file()))
			refusals.push_back(
				{fmt::format("epoll watches fd {}, a file that no process of the tree has open",
					     item.fd()),
				 "EPOLL_CTL_DEL before the file is closed"});
	if (file.epoll().busy_poll())
		refusals.push_back({"epoll polls network devices (EPIOCSPARAMS)", "start the program without"});
	if (file.kind() == "directory" && file.owner().pid())
		refusals.push_back({fmt::format("dnotify watches {} (F_NOTIFY)", file.path()), "use inotify"});
	for (const images::InotifyWatch &watch : file.inotify().watches())
		if (watch.path().empty())
			refusals.push_back(
				{fmt::format("inotify watch {}: inode {} has no path", watch.wd(), watch.inode()),
				 "remove the watch before the dump"});
	refuse_events(file.inotify(), refusals);
}

static void refuse_pidfd(const images::File &file, const Tree &tree, Refusals &refusals)
{
	if (file.kind() != "pidfd")
		return;
	if (file.pidfd().pid() && !tree.pids.contains(file.pidfd().pid()))
		refusals.push_back({fmt::format("a pidfd of pid {}, outside of the tree", file.pidfd().pid()),
				    "close it, or dump the tree that holds both"});
}

static std::string connection_of(const images::Socket &socket)
{
	return fmt::format("{} -> {} ({})", socket.local(), socket.remote(), socket.state());
}

// Whom nobody waits for to be accepted.
static bool is_idle_listener(const images::Socket &socket)
{
	return socket.state() == "LISTEN" && !socket.accept_queue();
}

static bool is_link_local(const images::Socket &socket)
{
	return socket.local().starts_with("[fe") ||
	       socket.remote().starts_with("[fe"); // the scope is not in the images
}

// Never connected, or as if it had not been.
static bool is_unconnected(const images::Socket &socket)
{
	return socket.state() == "CLOSE" && socket.remote().empty() && !socket.shutdown();
}

static void refuse_inet(const images::Socket &socket, const Options &options, Refusals &refusals)
{
	constexpr uint32_t kTcp = 6;
	if (socket.protocol() == kTcp && socket.state() == "SYN_SENT" && !is_link_local(socket)) {
		const uring::InexactKind *kind = uring::inexact_kind("connect");
		if (socket.accepted() != kind->name)
			refusals.push_back({"TCP connection " + connection_of(socket), uring::hint_of(*kind)});
		return;
	}
	bool tcp = socket.type() == "SOCK_STREAM" && (socket.protocol() == kTcp || socket.protocol() == 0);
	if (tcp && !socket.remote().empty() && !options.tcp_established) {
		refusals.push_back({"TCP connection " + connection_of(socket), "--tcp-established"});
		return;
	}
	if (socket.protocol() == kTcp && (is_idle_listener(socket) || is_unconnected(socket)) && !is_link_local(socket))
		return;
	std::string what = tcp && !socket.remote().empty() ? "TCP connection " + connection_of(socket)
			   : tcp ? fmt::format("TCP socket {} ({})", socket.local(), socket.state())
				 : fmt::format("{} {} socket{}{}", socket.family(), socket.type(),
					       socket.local().empty() ? "" : " ", socket.local());
	refusals.push_back({what + " cannot be restored yet", "--forensic dumps it all the same, for inspection only"});
}

// Who made a pair is its peer for all time: only that process can make it again.
static void refuse_peer_credentials(const images::Socket &socket, const Tree &tree, Refusals &refusals)
{
	const images::PeerCredentials &peer = socket.peer_credentials();
	if (!tree.processes.contains(peer.pid()))
		refusals.push_back(
			{fmt::format("SO_PEERCRED of a unix socket names pid {} (uid {}), which is not in the tree",
				     peer.pid(), peer.uid()),
			 "dump the tree that this process is in, or let one of the tree make the pair"});
	if (peer.groups_truncated())
		refusals.push_back(
			{fmt::format("SO_PEERGROUPS of a unix socket has more than {} groups", peer.groups_size()),
			 "make the pair with fewer supplementary groups"});
}

// Names are told in a way that people can read: with a backslash it is not the name itself.
static bool is_restored_listener(const images::Socket &socket)
{
	const std::string &name = socket.local();
	bool named = name.starts_with('@') || (name.starts_with('/') && socket.has_name());
	return is_idle_listener(socket) && named && name.find('\\') == std::string::npos;
}

static void refuse_unix_name(const images::Socket &socket, Refusals &refusals)
{
	const char *hint = "pairs within the tree are restored, and listeners with an abstract name or an absolute "
			   "path that is still "
			   "there; --forensic dumps it for inspection";
	if (is_restored_listener(socket))
		return;
	if (socket.accept_queue())
		refusals.push_back({fmt::format("unix socket listens on {}, and {} wait to be accepted", socket.local(),
						socket.accept_queue()),
				    "try again when they are accepted"});
	else if (socket.state() == "LISTEN")
		refusals.push_back({fmt::format("unix socket listens on {}", socket.local()), hint});
	else if (!socket.local().empty())
		refusals.push_back({fmt::format("unix socket is bound to {}", socket.local()), hint});
	else if (!socket.remote().empty())
		refusals.push_back({fmt::format("unix socket is connected to {}", socket.remote()), hint});
}

static void refuse_unix(const images::Socket &socket, const Tree &tree, Refusals &refusals)
{
	if (socket.has_peer_credentials() && (socket.state() != "LISTEN" || is_restored_listener(socket)))
		refuse_peer_credentials(socket, tree, refusals);
	refuse_unix_name(socket, refusals);
	uint32_t fds = 0;
	bool credentials = false;
	for (const images::SocketMessage &message : socket.messages()) {
		fds += message.fds();
		credentials |= message.has_credentials();
	}
	if (fds)
		refusals.push_back({fmt::format("{} file descriptors are in flight in a unix socket (SCM_RIGHTS)", fds),
				    "try again when they are received"});
	if (credentials)
		refusals.push_back({"credentials are in flight in a unix socket (SCM_CREDENTIALS)",
				    "try again when they are received"});
	if (socket.urgent_data())
		refusals.push_back({"urgent data is in a unix socket (MSG_OOB)", "try again when it is received"});
}

static void refuse_socket(const images::File &file, const Tree &tree, const Options &options, Refusals &refusals)
{
	if (!file.has_socket())
		return;
	const images::Socket &socket = file.socket();
	if (socket.family() == "AF_UNIX")
		refuse_unix(socket, tree, refusals);
	else if (socket.family() == "AF_INET" || socket.family() == "AF_INET6")
		refuse_inet(socket, options, refusals);
	else
		refusals.push_back({fmt::format("{} socket", socket.family()), "close it before the dump"});
}

// For people: "fd 7 of pid 12 (nginx)".
static std::string object_of(const images::File &file, const Tree &tree)
{
	auto it = tree.open_files.find(file.id());
	if (it == tree.open_files.end())
		return fmt::format("file {}", file.id());
	const images::Process &process = *it->second.process;
	return fmt::format("fd {} of pid {} ({})", it->second.fd, process.pid(), process.comm());
}

void refuse_unsupported_files(const images::Document &document, const Options &options, Findings &findings)
{
	Tree tree = index_tree(document);
	for (const images::File &file : document.files()) {
		Refusals refusals;
		refuse_kind(file, tree, refusals);
		refuse_deleted(file, options, refusals);
		refuse_attributes(file, refusals);
		refuse_passing(file, tree, refusals);
		refuse_locks(file, tree, refusals);
		refuse_watches(file, tree, refusals);
		refuse_pidfd(file, tree, refusals);
		refuse_socket(file, tree, options, refusals);
		for (Refusal &refusal : refusals)
			findings.push_back(Error(Code::kUnsupported, std::move(refusal.message))
						   .on(object_of(file, tree))
						   .with_hint(std::move(refusal.hint)));
	}
}

} // namespace bpfckpt::policy
