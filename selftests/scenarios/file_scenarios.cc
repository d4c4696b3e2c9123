// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Open files of every kind: what inspect and show say of them against what the program did.
#include <iostream>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>

#include <fmt/format.h>

#include "selftests/scenarios/file_json.h"
#include "user/util/unique_fd.h"

namespace bpfckpt::selftests {

void run_with_facts(const std::string &program, const std::function<void(const Json &, const Facts &)> &verify)
{
	Scenario s;
	SCENARIO_START(s, program);
	Facts fact = [&](const char *key) { return std::stoi(s.fact(key)); };
	verify(s.inspect(), fact);
	if (s.dump({"-R"}).exit != 0)
		return;
	verify(s.show(), fact);
	EXPECT_TRUE(s.check_target());
	EXPECT_TRUE(s.go());
	if (!restore_obstacle().empty()) {
		std::cout << "note: restore not tried: " << restore_obstacle() << "\n";
		return;
	}
	for (int round = 0; round < 2; round++) {
		SCOPED_TRACE("restore " + std::to_string(round + 1));
		if (s.dump({}).exit != 0 || !s.restore() || !s.go())
			return;
		verify(s.inspect(), fact);
	}
}

TEST(File, eventfd_counts_and_modes)
{
	run_with_facts("file_eventfd", [](const Json &document, const Facts &fact) {
		Json counter = file_at(document, fact("counter"));
		EXPECT_EQ(counter["kind"], "eventfd");
		EXPECT_EQ(counter["path"], "anon_inode:[eventfd]");
		EXPECT_EQ(number(counter["eventfd"]["count"]), 1ULL << 40);
		Json semaphore = file_at(document, fact("semaphore"));
		EXPECT_EQ(number(semaphore["eventfd"]["count"]), 3u);
		EXPECT_EQ(semaphore["eventfd"]["semaphore"], true);
		EXPECT_EQ(number_at(semaphore, "flags") & O_NONBLOCK, static_cast<unsigned>(O_NONBLOCK));
		Json entry = where(document["processes"][0]["files"], "fd", fact("empty"));
		ASSERT_EQ(entry.size(), 1u);
		EXPECT_EQ(entry[0].value("cloexec", false), true);
		EXPECT_EQ(number_at(file_at(document, fact("empty"))["eventfd"], "count"), 0u);
	});
}

TEST(File, signalfd_masks_and_signals_that_wait)
{
	run_with_facts("file_signalfd", [](const Json &document, const Facts &fact) {
		Json queued = file_at(document, fact("queued"));
		EXPECT_EQ(queued["kind"], "signalfd");
		EXPECT_EQ(number_at(queued["signalfd"], "mask"), 1ULL << (SIGRTMIN - 1));
		EXPECT_EQ(number_at(file_at(document, fact("changed"))["signalfd"], "mask"), 1ULL << SIGRTMIN);
	});
}

TEST(File, timerfd_remaining_interval_and_ticks)
{
	run_with_facts("file_timerfd", [](const Json &document, const Facts &fact) {
		Json periodic = file_at(document, fact("periodic"))["timerfd"];
		EXPECT_EQ(number_at(periodic, "interval_ns"), 20'000'000u);
		EXPECT_GE(number_at(periodic, "ticks"), 1u);
		EXPECT_LE(number_at(periodic, "remaining_ns"), 20'000'000u);
		Json hour = file_at(document, fact("hour"))["timerfd"];
		EXPECT_EQ(number_at(hour, "clock_id"), static_cast<unsigned>(CLOCK_BOOTTIME));
		EXPECT_GT(number_at(hour, "remaining_ns"), 3'000'000'000'000u);
		EXPECT_LE(number_at(hour, "remaining_ns"), 3'600'000'000'000u);
		Json absolute = file_at(document, fact("absolute"))["timerfd"];
		EXPECT_EQ(number_at(absolute, "settime_flags"), 3u);
		EXPECT_GT(number_at(absolute, "remaining_ns"), 6'000'000'000'000u);
		EXPECT_LE(number_at(absolute, "remaining_ns"), 7'200'000'000'000u);
		Json disarmed = file_at(document, fact("disarmed"))["timerfd"];
		EXPECT_EQ(disarmed.value("armed", false), false);
		EXPECT_EQ(number_at(disarmed, "remaining_ns"), 0u);
	});
}

static Json item_of(const Json &epoll, uint64_t data)
{
	for (const Json &item : epoll["epoll"]["items"])
		if (number_at(item, "data") == data)
			return item;
	return Json::object();
}

TEST(File, epoll_items_of_closed_and_nested_files)
{
	run_with_facts("file_epoll", [](const Json &document, const Facts &fact) {
		Json outer = file_at(document, fact("outer"));
		ASSERT_EQ(outer["epoll"]["items"].size(), 5u);
		Json level = item_of(outer, 0x1111222233334444);
		EXPECT_EQ(number_at(level, "fd"), static_cast<unsigned>(fact("level")));
		EXPECT_EQ(level.value("ready", false), true);
		EXPECT_EQ(level["file"], file_at(document, fact("level"))["id"]);
		EXPECT_TRUE(number_at(item_of(outer, 2), "events") & EPOLLET);
		Json closed = item_of(outer, 4);
		EXPECT_EQ(number_at(closed, "fd"), static_cast<unsigned>(fact("closed")));
		EXPECT_EQ(closed.value("fd_closed", false), true);
		EXPECT_EQ(closed["file"], file_at(document, fact("survivor"))["id"]);
		EXPECT_EQ(item_of(outer, 5)["file"], file_at(document, fact("inner"))["id"]);
		// A one-shot item that has fired keeps only its private bits (fs/eventpoll.c: ep_send_events()).
		EXPECT_EQ(number_at(item_of(outer, 3), "events") & EPOLLIN, 0u);
	});
}

TEST(File, fifos_without_writers_and_of_packets)
{
	run_scenario("file_fifo");
}

TEST(File, epoll_tells_what_it_has_not_told)
{
	run_scenario("file_ready");
}

TEST(File, epoll_items_that_have_fired_stay_silent_on_idle_files)
{
	run_scenario("file_oneshot");
}

TEST(File, eleven_thousand_edges_that_an_epoll_instance_waits_for)
{
	run_scenario("file_epoll_many");
}

TEST(File, inotify_watches_by_path)
{
	run_with_facts("file_inotify", [](const Json &document, const Facts &fact) {
		Json inotify = file_at(document, fact("inotify"))["inotify"];
		ASSERT_EQ(inotify["watches"].size(), 4u);
		EXPECT_EQ(number_at(inotify, "pending_events"), 0u);
		Json directory = where(inotify["watches"], "wd", fact("directory_wd"));
		Json file = where(inotify["watches"], "wd", fact("file_wd"));
		ASSERT_EQ(directory.size(), 1u);
		ASSERT_EQ(file.size(), 1u);
		EXPECT_TRUE(directory[0]["path"].get<std::string>().ends_with("/watched"));
		EXPECT_TRUE(file[0]["path"].get<std::string>().ends_with("/watched/file"));
		EXPECT_TRUE(number_at(directory[0], "mask") & IN_CREATE);
	});
}

// "/tmp" is another directory there, which programs outside use.
TEST(File, inotify_watches_below_a_root_directory)
{
	if (!enter_private_mounts())
		GTEST_SKIP() << "no mount namespace of its own";
	Tmpfs jail("/tmp/bpfckpt-jail." + std::to_string(getpid()));
	std::string root = "/tmp/bpfckpt-jail." + std::to_string(getpid());
	std::filesystem::create_directory(root + "/tmp");
	run_scenario("file_inotify_root", {.args = {root}, .verify = [&](const Json &document) {
						   Json files = where(document["files"], "kind", "inotify");
						   ASSERT_EQ(files.size(), 1u);
						   EXPECT_EQ(files[0]["inotify"]["watches"][0]["path"], root + "/tmp");
					   }});
}

TEST(File, a_watched_directory_that_is_gone_is_named)
{
	Scenario s;
	SCENARIO_START(s, "file_inotify");
	DumpResult dumped = s.dump({});
	ASSERT_EQ(dumped.exit, 0);
	std::string once = s.work_dir() + "/once";
	std::filesystem::rename(once, once + ".old");
	Output restored = bpfckpt({"restore", "-d", "-D", dumped.dir});
	EXPECT_EQ(restored.exit, 6) << restored.err;
	EXPECT_NE(restored.err.find(once + "  inotify watches it as"), std::string::npos) << restored.err;
}

TEST(File, unread_events_of_inotify_are_refused_by_the_name_of_the_option)
{
	run_refusal("file_inotify_events", "inotify has 2 unread events", {"--allow-inexact", "connect"}, {"events"});
	run_refusal("file_inotify_events", "--allow-inexact inotify", {}, {"more"});
}

TEST(File, unread_events_of_inotify_are_told_as_lost)
{
	for (const char *kind : {"events", "more"}) {
		SCOPED_TRACE(kind);
		run_scenario("file_inotify_events", {.args = {kind}, .dump_args = {"--allow-inexact", "inotify"}});
	}
}

TEST(File, lost_events_of_inotify_stay_lost)
{
	run_scenario("file_inotify_events", {.args = {"overflow"}, .verify = [](const Json &document) {
						     Json files = where(document["files"], "kind", "inotify");
						     ASSERT_EQ(files.size(), 1u);
						     Json inotify = files[0]["inotify"];
						     EXPECT_EQ(number_at(inotify, "pending_events"), 1u);
						     EXPECT_EQ(inotify["only_overflow"], true);
					     }});
}

TEST(File, pipe_sizes_and_contents)
{
	run_with_facts("file_pipe", [](const Json &document, const Facts &fact) {
		Json big = file_at(document, fact("read_end"));
		EXPECT_EQ(number_at(big["pipe"], "size"), 256u * 1024);
		EXPECT_EQ(number_at(big["pipe"], "queued"), 100'000u);
		EXPECT_EQ(big["object"], file_at(document, fact("write_end"))["object"]);
		EXPECT_NE(big["id"], file_at(document, fact("write_end"))["id"]);
		Json packets = file_at(document, fact("packets"))["pipe"];
		EXPECT_EQ(packets["packets"], Json({5, 6}));
		EXPECT_EQ(packets["packet"], Json({true, true}));
		Json fifo = file_at(document, fact("fifo"));
		EXPECT_EQ(fifo["kind"], "fifo");
		EXPECT_EQ(number_at(fifo["pipe"], "queued"), 4u);
	});
}

TEST(File, pipes_and_memory_of_a_user)
{
	run_scenario("file_unprivileged");
}

TEST(File, names_positions_and_seals)
{
	run_with_facts("file_named", [](const Json &document, const Facts &fact) {
		Json regular = file_at(document, fact("regular"));
		EXPECT_EQ(regular["kind"], "regular");
		EXPECT_TRUE(regular["path"].get<std::string>().ends_with("/regular"));
		EXPECT_EQ(number_at(regular, "position"), 3u);
		EXPECT_EQ(number_at(regular, "size"), 6u);
		Json append = file_at(document, fact("append"));
		EXPECT_TRUE(number_at(append, "flags") & O_APPEND);
		EXPECT_EQ(append["object"], regular["object"]);
		Json deleted = file_at(document, fact("deleted"));
		EXPECT_EQ(deleted.value("deleted", false), true);
		EXPECT_EQ(number_at(deleted, "links"), 0u);
		EXPECT_EQ(file_at(document, fact("directory"))["kind"], "directory");
		EXPECT_EQ(file_at(document, fact("path"))["kind"], "path");
		Json null = file_at(document, fact("null"));
		EXPECT_EQ(null["kind"], "chardev");
		EXPECT_EQ(null["path"], "/dev/null");
		Json memory = file_at(document, fact("memory"));
		EXPECT_EQ(memory["kind"], "memfd");
		EXPECT_EQ(memory["memfd"]["name"], "a name");
		EXPECT_EQ(number_at(memory["memfd"], "seals"), static_cast<unsigned>(F_SEAL_GROW | F_SEAL_SHRINK));
	});
}

TEST(File, a_deleted_file_that_is_nearly_all_hole_stays_one)
{
	run_scenario("file_ghost");
}

TEST(File, a_large_deleted_file_wants_a_limit)
{
	run_refusal("file_ghost", "--ghost-limit", {}, {"2048"});
	run_scenario("file_ghost", {.args = {"2048"}, .dump_args = {"--ghost-limit", "4M"}});
}

TEST(File, deleted_files_directories_and_devices)
{
	run_with_facts("file_deleted", [](const Json &document, const Facts &fact) {
		Json linked = file_at(document, fact("linked"));
		EXPECT_EQ(linked.value("deleted", false), true);
		EXPECT_EQ(number_at(linked, "links"), 1u);
		EXPECT_FALSE(linked["handle"].empty());
		EXPECT_EQ(file_at(document, fact("link"))["link_target"], "nowhere");
	});
}

TEST(File, what_only_the_kernel_has)
{
	run_with_facts("file_kernel", [](const Json &document, const Facts &fact) {
		EXPECT_EQ(file_at(document, fact("gone"))["kind"], "pidfd");
		EXPECT_EQ(file_at(document, fact("gone"))["object"], file_at(document, fact("gone_too"))["object"]);
		EXPECT_EQ(file_at(document, fact("network"))["kind"], "namespace");
		EXPECT_EQ(file_at(document, fact("memory"))["kind"], "shm");
	});
}

TEST(File, one_struct_file_is_one_file)
{
	run_with_facts("file_shared", [](const Json &document, const Facts &fact) {
		ASSERT_EQ(document["processes"].size(), 3u);
		Json file = file_at(document, fact("file"));
		EXPECT_EQ(file["id"], file_at(document, 100)["id"]);
		EXPECT_EQ(file["id"], file_at(document, fact("file"), fact("child"))["id"]);
		EXPECT_EQ(file["id"], file_at(document, 100, fact("sharer"))["id"]);
		Json parent = document["processes"][0];
		Json sharer = where(document["processes"], "pid", fact("sharer"))[0];
		Json child = where(document["processes"], "pid", fact("child"))[0];
		EXPECT_EQ(parent["fd_table"], sharer["fd_table"]);
		EXPECT_NE(parent["fd_table"], child["fd_table"]);
		Json owner = file_at(document, fact("owned"))["owner"];
		EXPECT_EQ(number_at(owner, "pid"), number(parent["pid"]));
		EXPECT_EQ(number_at(owner, "signal"), 34u);
	});
}

TEST(File, ten_thousand_eventfds)
{
	run_with_facts("file_many", [](const Json &document, const Facts &fact) {
		ASSERT_GE(document["processes"][0]["files"].size(), static_cast<size_t>(fact("count")));
		int last = fact("count") - 1;
		Json file = file_at(document, fact("first") + last);
		EXPECT_EQ(number_at(file["eventfd"], "count"), static_cast<unsigned>(last) + 1);
	});
}

TEST(File, locks_are_taken_again)
{
	run_scenario("file_lock");
	run_scenario("file_lock", {.args = {"ring"}});
}

static struct flock to_the_end_from(off_t start)
{
	struct flock lock = {};
	lock.l_type = F_WRLCK;
	lock.l_whence = SEEK_SET;
	lock.l_start = start;
	return lock;
}

TEST(File, locks_that_others_have_taken_are_named)
{
	Scenario scenario;
	SCENARIO_START(scenario, "file_lock");
	DumpResult dumped = scenario.dump({});
	ASSERT_EQ(dumped.exit, 0);
	auto refused = [&](const std::string &text) {
		Output output = bpfckpt({"restore", "-d", "-D", dumped.dir});
		EXPECT_EQ(output.exit, 6) << output.err;
		EXPECT_NE(output.err.find(text), std::string::npos) << output.err;
	};
	UniqueFd file(open((scenario.work_dir() + "/posix").c_str(), O_RDWR | O_CLOEXEC));
	struct flock lock = to_the_end_from(1 << 20);
	ASSERT_EQ(fcntl(file.get(), F_SETLK, &lock), 0);
	refused(fmt::format("its POSIX WRITE lock on all from byte 1000 on cannot be taken again: pid {} "
			    "(scenario_tests) has a lock",
			    getpid()));
	file.reset();
	file = UniqueFd(open((scenario.work_dir() + "/ofd").c_str(), O_RDWR | O_CLOEXEC));
	lock = to_the_end_from(9);
	ASSERT_EQ(fcntl(file.get(), F_OFD_SETLK, &lock), 0);
	refused("its OFD READ lock on bytes 7 to 9 cannot be taken again: somebody has a lock of an open file");
	file = UniqueFd(open((scenario.work_dir() + "/whole").c_str(), O_RDWR | O_CLOEXEC));
	ASSERT_EQ(flock(file.get(), LOCK_SH), 0);
	refused("its FLOCK WRITE lock on the whole file cannot be taken again: pid");
	file.reset();
	ASSERT_TRUE(scenario.restore());
	ASSERT_TRUE(scenario.go());
}

struct RefusedFile {
	const char *state, *message;
};

// After a restore it is another one.
TEST(File, an_owner_that_is_the_group_of_a_shell_is_refused)
{
	Scenario s;
	ASSERT_TRUE(s.start("file_refused", {"owner_group"}, SessionRole::kMember));
	EXPECT_NE(s.dump({"-R"}, 3).err.find("F_SETOWN names process group"), std::string::npos);
	EXPECT_TRUE(s.check_target());
}

class FileRefused : public testing::TestWithParam<RefusedFile> {};

TEST_P(FileRefused, by_name)
{
	run_refusal("file_refused", GetParam().message, {}, {GetParam().state});
}

INSTANTIATE_TEST_SUITE_P(
	File, FileRefused,
	testing::Values(RefusedFile{"lease", "LEASE READ lock"}, RefusedFile{"huge_memfd", "memfd of huge pages"},
			RefusedFile{"terminal", "is a terminal"}, RefusedFile{"device", "has state in its driver"},
			RefusedFile{"fanotify", "is fanotify"}, RefusedFile{"perf", "is a performance counter"},
			RefusedFile{"bpf", "is a BPF object"}, RefusedFile{"userfault", "is userfaultfd"},
			RefusedFile{"events", "unread events"}, RefusedFile{"owner", "F_SETOWN names pid 1,"},
			RefusedFile{"pidfd", "outside of the tree"}, RefusedFile{"queue", "is a POSIX message queue"},
			RefusedFile{"path_of_pipe", "open by O_PATH"}, RefusedFile{"path_of_memfd", "open by O_PATH"},
			RefusedFile{"netlink", "AF_NETLINK socket"}, RefusedFile{"packet", "AF_PACKET socket"},
			RefusedFile{"descriptor", "tells of one descriptor"},
			RefusedFile{"process", "tells of a process outside"}, RefusedFile{"dnotify", "dnotify watches"},
			RefusedFile{"busy_epoll", "EPIOCSPARAMS"}, RefusedFile{"unknown", "does not know"},
			RefusedFile{"before_user", "was opened with other credentials"},
			RefusedFile{"of_other", "with privileges that it lacks"}),
	[](const auto &test) { return std::string(test.param.state); });

} // namespace bpfckpt::selftests
