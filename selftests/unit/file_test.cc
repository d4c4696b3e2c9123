// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Open files: the pure parts of collect and policy.
#include <cstring>

#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

#include "iterators/address_set.h"
#include "iterators/file_reader.h"
#include "user/collect/fd_index.h"
#include "user/collect/file_detail.h"
#include "user/collect/mount_table.h"
#include "user/collect/socket_name.h"
#include "user/policy/file_support.h"
#include "user/uring/inexact.h"

namespace bpfckpt {

constexpr int64_t kSecond = 1'000'000'000;

static file_timerfd timer(int64_t expires, int64_t interval, bool armed, bool expired)
{
	file_timerfd result = {};
	result.expires = expires;
	result.interval = interval;
	result.ticks = expired ? 1 : 0;
	result.armed = armed;
	result.expired = expired;
	return result;
}

TEST(TimerfdTest, armed_timer_has_time_left)
{
	auto state = collect::timerfd_at(timer(30 * kSecond, 0, true, false), 10 * kSecond);
	EXPECT_TRUE(state.armed());
	EXPECT_EQ(state.remaining_ns(), 20 * kSecond);
	EXPECT_EQ(state.ticks(), 0u);
	EXPECT_EQ(collect::timerfd_at(timer(30 * kSecond, 0, true, false), 40 * kSecond).remaining_ns(), 0);
}

TEST(TimerfdTest, unread_periods_are_ticks)
{
	// Expired at 30 s, period 4 s, now 41 s: 30, 34, 38 have passed and 42 is next.
	auto state = collect::timerfd_at(timer(30 * kSecond, 4 * kSecond, false, true), 41 * kSecond);
	EXPECT_TRUE(state.armed());
	EXPECT_EQ(state.ticks(), 3u);
	EXPECT_EQ(state.remaining_ns(), kSecond);
}

TEST(TimerfdTest, one_shot_and_disarmed)
{
	auto fired = collect::timerfd_at(timer(30 * kSecond, 0, false, true), 41 * kSecond);
	EXPECT_FALSE(fired.armed());
	EXPECT_EQ(fired.ticks(), 1u);
	EXPECT_EQ(fired.remaining_ns(), 0);
	EXPECT_FALSE(collect::timerfd_at(timer(0, 0, false, false), kSecond).armed());
}

TEST(MountTableTest, nearest_mount_comes_first)
{
	auto table = collect::MountTable::parse("21 1 254:0 / / rw - ext4 /dev/vda rw\n"
						"30 21 254:0 /srv/data /mnt\\040a rw - ext4 /dev/vda rw\n"
						"31 21 0:20 / /proc rw - proc proc rw\n");
	uint64_t device = makedev(254, 0);
	EXPECT_EQ(table.paths_of(device, "/srv/data/file"),
		  (std::vector<std::string>{"/mnt a/file", "/srv/data/file"}));
	EXPECT_EQ(table.paths_of(device, "/srv/data"), (std::vector<std::string>{"/mnt a", "/srv/data"}));
	EXPECT_EQ(table.paths_of(device, "/srv/database"), (std::vector<std::string>{"/srv/database"}));
	EXPECT_EQ(table.paths_of(makedev(0, 20), "/"), (std::vector<std::string>{"/proc"}));
	EXPECT_TRUE(table.paths_of(makedev(9, 9), "/").empty());
}

TEST(MountTableTest, way_to_a_path)
{
	auto table = collect::MountTable::parse("21 1 254:0 / / rw - ext4 /dev/vda rw\n"
						"30 21 0:40 / /net rw shared:1 master:2 - fuse.sshfs host: rw\n"
						"31 30 254:0 /x /net/disk rw - ext4 /dev/vda rw\n"
						"32 21 0:41 / /mnt rw - tmpfs none rw\n"
						"33 32 0:42 / /mnt/hidden rw - nfs4 host:/ rw\n"
						"34 32 0:43 / /mnt rw - tmpfs none rw\n");
	auto expect = [&table](const char *path, uint64_t mount, bool local) {
		auto way = table.way_to(path);
		EXPECT_EQ(way.mount, mount) << path;
		EXPECT_EQ(way.local, local) << path;
		EXPECT_EQ(table.is_local(path), local) << path;
	};
	expect("/", 21, true);
	expect("/network", 21, true);
	expect("/net", 30, false);
	expect("/net/a", 30, false);
	expect("/net/disk/a", 31, false);
	expect("/mnt/hidden/a", 34, true);
	EXPECT_EQ(table.way_to("/net/a").filesystem, "fuse.sshfs");
}

TEST(MountTableTest, who_serves_the_root_is_asked)
{
	auto table = collect::MountTable::parse("21 1 0:30 / / rw - 9p host rw\n"
						"30 21 254:0 / /tmp rw - ext4 /dev/vda rw\n"
						"31 21 0:31 / /share rw - 9p share rw\n");
	EXPECT_TRUE(table.is_local("/a"));
	EXPECT_TRUE(table.is_local("/tmp/a"));
	EXPECT_FALSE(table.is_local("/share/a"));
}

TEST(MountTableTest, of_a_root_that_is_no_mount_nothing_is_known)
{
	auto table = collect::MountTable::parse("30 21 0:40 / /net rw - nfs4 host: rw\n");
	EXPECT_TRUE(table.is_local("/a"));
	EXPECT_EQ(table.way_to("/a").mount, 0u);
	EXPECT_FALSE(table.is_local("/net/a"));
	EXPECT_EQ(collect::MountTable::parse("0 0 0:1 / / rw - ext4 a rw\n0 0 0:1 / / rw\n").way_to("/").mount, 0u);
}

TEST(MountTableTest, garbage_is_no_mount)
{
	EXPECT_TRUE(collect::MountTable::parse("\n x\n1 2 3 4 5\n1 2 a:b / /\n").paths_of(0, "/").empty());
}

TEST(SocketNameTest, addresses)
{
	socket_record record = {};
	record.family = AF_INET;
	record.local_port = 80;
	memcpy(record.local_address, "\x7f\0\0\1", 4);
	EXPECT_EQ(collect::local_address(record), "127.0.0.1:80");
	EXPECT_EQ(collect::remote_address(record), "");
	record.family = AF_INET6;
	memset(record.local_address, 0, 16);
	record.local_address[15] = 1;
	EXPECT_EQ(collect::local_address(record), "[::1]:80");
	record.family = AF_UNIX;
	record.unix_address_len = 5;
	memcpy(record.unix_address, "\0a\xff\\b", 5);
	EXPECT_EQ(collect::local_address(record), "@a\\xff\\x5cb");
	memcpy(record.unix_address, "/run\0", 5);
	EXPECT_EQ(collect::local_address(record), "/run");
	EXPECT_EQ(collect::socket_state_name(10), "LISTEN");
	EXPECT_EQ(collect::socket_state_name(99), "99");
}

static fd_record slot(uint64_t file, uint64_t files, unsigned pid, unsigned tid, unsigned fd)
{
	return {.file = file, .files = files, .pid = pid, .tid = tid, .fd = fd, .cloexec = 0};
}

TEST(FdIndexTest, shared_and_private_tables)
{
	images::Document document;
	document.add_processes()->set_pid(1);
	document.mutable_processes(0)->set_comm("one");
	// Processes 1 and 2 share a table; a thread of 1 has one of its own.
	std::vector<fd_record> fds = {slot(0xa, 0x10, 1, 1, 0), slot(0xb, 0x10, 1, 1, 7), slot(0xc, 0x20, 1, 3, 0),
				      slot(0xa, 0x10, 2, 2, 0), slot(0xb, 0x10, 2, 2, 7)};
	collect::FdIndex index(fds, document);
	EXPECT_EQ(index.table_of(1).size(), 2u);
	EXPECT_EQ(index.table_of(9).size(), 0u);
	EXPECT_EQ(index.holders_of(0xb).size(), 2u);
	EXPECT_EQ(index.slots_of(0xb), 1u);
	EXPECT_EQ(index.slots_of(0xc), 1u);
	EXPECT_TRUE(index.names(0xa, 7, 0xb));
	EXPECT_FALSE(index.names(0xa, 8, 0xb));
	EXPECT_EQ(index.describe(0xb, 5), "fd 7 of pid 1 (one)");
	EXPECT_EQ(index.describe(0xd, 5), "file 5");
	EXPECT_EQ(index.owner_of(0x20), 0u);
}

TEST(FdIndexTest, threads_of_a_dead_leader_tell_one_table)
{
	std::vector<fd_record> fds = {slot(0xa, 0x10, 1, 3, 0), slot(0xa, 0x10, 1, 4, 0)};
	collect::FdIndex index(fds, {});
	EXPECT_EQ(index.table_of(1).size(), 1u);
}

class FileSupportTest : public testing::Test {
protected:
	FileSupportTest()
	{
		images::Process *process = document_.add_processes();
		process->set_pid(12);
		process->set_comm("x");
		file_ = document_.add_files();
		file_->set_id(1);
		images::FdEntry *entry = process->add_files();
		entry->set_fd(3);
		entry->set_file(1);
	}

	std::string refusal(const policy::Options &options = {})
	{
		Findings findings;
		policy::refuse_unsupported_files(document_, options, findings);
		std::string text;
		for (const Error &finding : findings) {
			EXPECT_EQ(finding.code, Code::kUnsupported);
			EXPECT_EQ(finding.object, "fd 3 of pid 12 (x)");
			EXPECT_NE(finding.hint, "");
			text += finding.message + "\n";
		}
		return text;
	}

	images::Document document_;
	images::File *file_;
};

TEST_F(FileSupportTest, kinds_that_can_be_rebuilt)
{
	for (const char *kind : {"regular", "directory", "path", "pipe", "fifo", "eventfd", "timerfd", "signalfd",
				 "epoll", "inotify", "memfd", "io_uring"}) {
		file_->set_kind(kind);
		EXPECT_EQ(refusal(), "") << kind;
	}
}

TEST_F(FileSupportTest, kinds_that_cannot)
{
	for (const char *kind : {"tty", "namespace", "shm", "fanotify", "userfaultfd", "perf", "bpf", "unknown"}) {
		file_->set_kind(kind);
		EXPECT_NE(refusal(), "") << kind;
	}
}

TEST_F(FileSupportTest, devices_by_number)
{
	file_->set_kind("chardev");
	file_->set_rdev(static_cast<uint32_t>(makedev(1, 3)));
	EXPECT_EQ(refusal(), "");
	file_->set_rdev(static_cast<uint32_t>(makedev(10, 200)));
	EXPECT_NE(refusal().find("10:200"), std::string::npos);
}

TEST_F(FileSupportTest, deleted_files)
{
	file_->set_kind("regular");
	file_->set_deleted(true);
	EXPECT_EQ(refusal(), "");
	file_->set_links(1);
	EXPECT_NE(refusal().find("1 other name"), std::string::npos);
	file_->mutable_handle()->set_type(1);
	EXPECT_EQ(refusal(), "");
	file_->clear_handle();
	file_->set_links(0);
	file_->set_filesystem("proc");
	EXPECT_NE(refusal().find("is deleted"), std::string::npos);
}

TEST_F(FileSupportTest, attributes_that_cannot_be_taken_over)
{
	file_->set_kind("regular");
	file_->set_deleted(true);
	file_->mutable_attributes()->set_flags(FS_EXTENT_FL | FS_NOATIME_FL);
	EXPECT_EQ(refusal(), "");
	file_->mutable_attributes()->set_flags(FS_IMMUTABLE_FL);
	EXPECT_NE(refusal().find("immutable"), std::string::npos);
	file_->mutable_attributes()->set_flags(0);
	file_->mutable_attributes()->set_unreadable(true);
	EXPECT_NE(refusal().find("cannot be read"), std::string::npos);
}

TEST_F(FileSupportTest, unread_events_unless_they_only_tell_of_lost_ones)
{
	file_->set_kind("inotify");
	images::Inotify *inotify = file_->mutable_inotify();
	inotify->set_pending_events(1);
	EXPECT_EQ(refusal(), "inotify has 1 unread events\n");
	inotify->set_only_overflow(true);
	EXPECT_EQ(refusal(), "");
	inotify->set_only_overflow(false);
	uring::accept_inexact(std::vector<std::string>{"connect"}, document_);
	EXPECT_NE(refusal(), "");
	uring::accept_inexact(std::vector<std::string>{"inotify"}, document_);
	EXPECT_EQ(inotify->accepted(), "inotify");
	EXPECT_EQ(refusal(), "");
}

TEST_F(FileSupportTest, tcp_connections_in_two_levels)
{
	file_->set_kind("socket");
	file_->mutable_socket()->set_family("AF_INET");
	file_->mutable_socket()->set_type("SOCK_STREAM");
	file_->mutable_socket()->set_protocol(6);
	file_->mutable_socket()->set_state("ESTABLISHED");
	file_->mutable_socket()->set_local("127.0.0.1:80");
	file_->mutable_socket()->set_remote("127.0.0.1:4000");
	EXPECT_EQ(refusal(), "TCP connection 127.0.0.1:80 -> 127.0.0.1:4000 (ESTABLISHED)\n");
	EXPECT_NE(refusal({.tcp_established = true}).find("cannot be restored yet"), std::string::npos);
}

TEST_F(FileSupportTest, unix_sockets)
{
	file_->set_kind("socket");
	images::Socket *socket = file_->mutable_socket();
	socket->set_family("AF_UNIX");
	socket->set_type("SOCK_STREAM");
	socket->set_state("ESTABLISHED");
	socket->add_messages()->set_length(3);
	EXPECT_EQ(refusal(), "");
	socket->mutable_messages(0)->set_fds(2);
	EXPECT_NE(refusal().find("2 file descriptors"), std::string::npos);
	socket->clear_messages();
	socket->mutable_peer_credentials()->set_pid(4711);
	EXPECT_NE(refusal().find("SO_PEERCRED of a unix socket names pid 4711"), std::string::npos);
	socket->mutable_peer_credentials()->set_pid(12);
	EXPECT_EQ(refusal(), "");
	socket->mutable_peer_credentials()->set_groups_truncated(true);
	EXPECT_NE(refusal().find("SO_PEERGROUPS"), std::string::npos);
	socket->clear_peer_credentials();
	socket->set_state("LISTEN");
	EXPECT_NE(refusal().find("listens"), std::string::npos);
}

TEST_F(FileSupportTest, sockets_that_listen)
{
	file_->set_kind("socket");
	images::Socket *socket = file_->mutable_socket();
	socket->set_family("AF_UNIX");
	socket->set_type("SOCK_STREAM");
	socket->set_state("LISTEN");
	socket->set_local("/run/path");
	EXPECT_NE(refusal().find("listens on /run/path"), std::string::npos) << "the file is not there any more";
	socket->mutable_name()->set_path("/run/path");
	EXPECT_EQ(refusal(), "");
	socket->set_local("relative");
	EXPECT_NE(refusal().find("listens on relative"), std::string::npos);
	socket->set_local("@ab\\x00stract");
	EXPECT_NE(refusal().find("listens"), std::string::npos) << "not its name, but a picture of it";
	socket->set_local("@abstract");
	EXPECT_EQ(refusal(), "");
	socket->set_accept_queue(2);
	EXPECT_NE(refusal().find("2 wait to be accepted"), std::string::npos);
	socket->set_family("AF_INET");
	socket->set_protocol(6);
	socket->set_local("127.0.0.1:80");
	EXPECT_NE(refusal().find("cannot be restored yet"), std::string::npos);
	socket->set_accept_queue(0);
	EXPECT_EQ(refusal(), "");
	socket->set_protocol(262); // MPTCP
	EXPECT_NE(refusal().find("cannot be restored yet"), std::string::npos);
}

TEST_F(FileSupportTest, owners_and_pidfds_of_the_tree)
{
	file_->set_kind("pidfd");
	file_->mutable_pidfd()->set_pid(12);
	file_->mutable_owner()->set_pid(12);
	EXPECT_EQ(refusal(), "");
	file_->mutable_pidfd()->set_pid(13);
	file_->mutable_owner()->set_pid(13);
	EXPECT_EQ(refusal(), "F_SETOWN names pid 13, outside of the tree\na pidfd of pid 13, outside of the tree\n");
}

TEST_F(FileSupportTest, owners_that_are_groups_of_the_tree)
{
	constexpr uint32_t kGroup = 2; // F_OWNER_PGRP
	file_->set_kind("eventfd");
	file_->mutable_owner()->set_type(kGroup);
	file_->mutable_owner()->set_pid(12);
	document_.mutable_processes(0)->set_pgid(11);
	images::Process *child = document_.add_processes();
	child->set_pid(14);
	child->set_pgid(13); // of a leader that is gone
	EXPECT_EQ(refusal(), "");
	file_->mutable_owner()->set_pid(13);
	EXPECT_EQ(refusal(), "");
	file_->mutable_owner()->set_pid(11);
	EXPECT_EQ(refusal(), "F_SETOWN names process group 11, outside of the tree\n");
}

TEST(AddressSetTest, tells_what_is_new)
{
	iterators::AddressSet set;
	for (int round = 0; round < 2; round++) {
		for (uint64_t i = 1; i <= 5000; i++)
			ASSERT_TRUE(set.insert(0xffff888100000000 + i * 256)) << i;
		for (uint64_t i = 1; i <= 5000; i++)
			ASSERT_FALSE(set.insert(0xffff888100000000 + i * 256)) << i;
		EXPECT_TRUE(set.contains(0xffff888100000000 + uint64_t{5000} * 256));
		EXPECT_FALSE(set.contains(0xffff888100000000 + uint64_t{5001} * 256));
		set.clear();
		EXPECT_FALSE(set.contains(0xffff888100000000 + 256));
	}
}

TEST(FileKindTest, by_mode_and_file_system)
{
	file_record record = {};
	record.i_mode = S_IFREG;
	EXPECT_EQ(iterators::kind_of(record), FILE_KIND_REGULAR);
	record.path_flags = FILE_PATH_PSEUDO | FILE_PATH_MEMFD;
	EXPECT_EQ(iterators::kind_of(record), FILE_KIND_MEMFD);
	record.path_flags = FILE_PATH_PSEUDO;
	EXPECT_EQ(iterators::kind_of(record), FILE_KIND_UNKNOWN);
	record.s_magic = FILE_MAGIC_TMPFS;
	EXPECT_EQ(iterators::kind_of(record), FILE_KIND_SHM);
	record.f_mode = 0x4000;
	EXPECT_EQ(iterators::kind_of(record), FILE_KIND_PATH);
	record = {};
	record.kind = FILE_KIND_PIPE;
	record.i_mode = S_IFIFO;
	EXPECT_EQ(iterators::kind_of(record), FILE_KIND_FIFO);
	record = {};
	record.i_mode = S_IFCHR;
	record.rdev = 136u << 20;
	EXPECT_EQ(iterators::kind_of(record), FILE_KIND_TTY);
	for (int kind = 0; kind < FILE_KIND_COUNT; kind++)
		EXPECT_NE(iterators::name_of(static_cast<file_kind>(kind)), nullptr) << kind;
}

} // namespace bpfckpt
