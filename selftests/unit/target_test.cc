// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// FrozenTree on real processes: what it finds, what it refuses, and that nobody is left disturbed.
#include "user/target/frozen_tree.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <functional>
#include <set>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftests/unit/child.h"
#include "user/target/tree_scan.h"
#include "user/util/io.h"

namespace bpfckpt::target {

namespace {

using namespace std::chrono_literals;

using selftests::Child;
using selftests::eventually;
using selftests::Shared;

bool asleep(const Child &child)
{
	return child.asleep();
}

Result<FrozenTree> prepare(pid_t pid, std::chrono::nanoseconds timeout = 5s)
{
	FreezeOptions options;
	options.root = pid;
	options.timeout = timeout;
	return FrozenTree::prepare(std::move(options));
}

void sleep_for_ever(Shared &shared)
{
	shared.ready = true;
	for (;;)
		::pause();
}

void count_handled(int);
Shared *handler_shared;

void count_handled(int)
{
	handler_shared->handled++;
}

// Waits in epoll_wait for 20 s, and says what came of it.
void epoll_with_handler(Shared &shared)
{
	handler_shared = &shared;
	struct sigaction action = {};
	action.sa_handler = count_handled;
	action.sa_flags = SA_RESTART;
	::sigaction(SIGUSR1, &action, nullptr);
	int epoll = ::epoll_create1(0);
	epoll_event event;
	shared.ready = true;
	int result = ::epoll_wait(epoll, &event, 1, 20000);
	shared.errors = result < 0 ? errno : 0;
	shared.rounds = 1;
	for (;;)
		::pause();
}

void expect_refused(pid_t pid, Code code, const std::string &words)
{
	auto tree = prepare(pid);
	ASSERT_FALSE(tree);
	EXPECT_EQ(tree.error().code, code) << tree.error().message;
	EXPECT_NE(tree.error().message.find(words), std::string::npos) << tree.error().message;
}

} // namespace

TEST(TargetTest, registers_are_those_of_the_wait)
{
	Child child(sleep_for_ever);
	ASSERT_TRUE(asleep(child));
	auto tree = prepare(child.pid());
	ASSERT_OK(tree);
	ASSERT_OK(tree->freeze());
	ASSERT_EQ(tree->processes().size(), 1u);
	const FrozenThread &thread = tree->processes()[0].threads.at(0);
	EXPECT_EQ(thread.tid, child.pid());
	EXPECT_EQ(thread.stop, FrozenThread::Stop::kTrapped);
	EXPECT_EQ(static_cast<long>(thread.regs.orig_rax), SYS_pause);
	EXPECT_EQ(static_cast<long>(thread.regs.rax), -514);
	EXPECT_GE(thread.xstate.size(), 576u);
	EXPECT_EQ(child.state(), 't');
	images::Thread message;
	tree->describe(thread, &message);
	EXPECT_EQ(message.prstatus().size(), sizeof(user_regs_struct));
	EXPECT_TRUE(message.xstate().empty());
	FrozenTree::add_extended_registers(thread, &message);
	EXPECT_GE(message.xstate().size(), 576u);
	EXPECT_LE(message.xstate().size(), thread.xstate.size());
	EXPECT_EQ(message.syscall().nr(), static_cast<uint32_t>(SYS_pause));
	EXPECT_EQ(message.syscall().resume(), images::InterruptedSyscall::RESTART);
	ASSERT_OK(tree->thaw());
	EXPECT_TRUE(asleep(child));
}

TEST(TargetTest, the_destructor_thaws)
{
	Child child(sleep_for_ever);
	ASSERT_TRUE(asleep(child));
	{
		auto tree = prepare(child.pid());
		ASSERT_OK(tree);
		ASSERT_OK(tree->freeze());
	}
	EXPECT_TRUE(asleep(child));
	EXPECT_EQ(tracer_of(child.pid()).value_or(-1), 0);
}

TEST(TargetTest, grandchildren_threads_and_zombies_belong_to_the_tree)
{
	Child child([](Shared &shared) {
		if (::fork() == 0) {
			std::thread([] { ::pause(); }).detach();
			pid_t zombie = ::fork();
			if (zombie == 0)
				::_exit(7);
			siginfo_t info;
			::waitid(P_PID, static_cast<id_t>(zombie), &info, WEXITED | WNOWAIT);
			shared.ready = true;
			::pause();
		}
		::pause();
	});
	ASSERT_TRUE(eventually([&] { return child->ready.load(); }));
	ASSERT_TRUE(asleep(child));
	auto tree = prepare(child.pid());
	ASSERT_OK(tree);
	ASSERT_OK(tree->freeze());
	ASSERT_EQ(tree->processes().size(), 3u);
	EXPECT_EQ(tree->processes()[1].ppid, child.pid());
	EXPECT_EQ(tree->processes()[1].threads.size(), 2u);
	EXPECT_EQ(tree->processes()[2].ppid, tree->processes()[1].pid);
	EXPECT_TRUE(tree->processes()[2].zombie);
	ASSERT_OK(tree->kill());
	EXPECT_TRUE(eventually([&] { return child.state() == 'Z' || child.state() == '?'; }));
}

TEST(TargetTest, a_leader_that_has_exited_before_its_threads_is_no_obstacle)
{
	Child child([](Shared &shared) {
		std::thread([&] {
			shared.ready = true;
			::pause();
		}).detach();
		while (!shared.ready)
			::usleep(1000);
		::syscall(SYS_exit, 0);
	});
	ASSERT_TRUE(eventually([&] { return child->ready && child.state() == 'Z'; }));
	auto tree = prepare(child.pid());
	ASSERT_OK(tree);
	ASSERT_OK(tree->freeze());
	ASSERT_EQ(tree->processes()[0].threads.size(), 2u);
	EXPECT_EQ(tree->processes()[0].threads[0].stop, FrozenThread::Stop::kDead);
	EXPECT_EQ(tree->processes()[0].threads[1].stop, FrozenThread::Stop::kTrapped);
	ASSERT_OK(tree->kill());
}

TEST(TargetTest, threads_that_come_and_go_are_all_stopped)
{
	Child child([](Shared &shared) {
		shared.ready = true;
		auto breed = [&shared] {
			for (;;) {
				std::thread([&shared] { shared.rounds++; }).join();
			}
		};
		for (int i = 0; i < 4; i++)
			std::thread(breed).detach();
		::pause();
	});
	ASSERT_TRUE(eventually([&] { return child->rounds > 10; }));
	for (int i = 0; i < 20; i++) {
		auto tree = prepare(child.pid());
		ASSERT_OK(tree);
		ASSERT_OK(tree->freeze());
		int64_t before = child->rounds;
		auto tids = list_threads(child.pid());
		ASSERT_OK(tids);
		EXPECT_EQ(std::set(tids->begin(), tids->end()), [&] {
			auto ours = tree->tids();
			return std::set(ours.begin(), ours.end());
		}());
		std::this_thread::sleep_for(3ms);
		EXPECT_EQ(child->rounds, before);
		ASSERT_OK(tree->thaw());
		ASSERT_TRUE(eventually([&] { return child->rounds > before + 4; }));
	}
}

TEST(TargetTest, processes_that_come_and_go_are_all_stopped)
{
	Child child([](Shared &shared) {
		shared.ready = true;
		for (int i = 0; i < 3; i++) {
			if (::fork())
				continue;
			for (;;) {
				pid_t pid = ::fork();
				if (pid == 0) {
					shared.rounds++;
					::_exit(0);
				}
				if (pid > 0)
					::waitpid(pid, nullptr, 0);
			}
		}
		::pause();
	});
	ASSERT_TRUE(eventually([&] { return child->rounds > 10; }));
	for (int i = 0; i < 20; i++) {
		auto tree = prepare(child.pid());
		ASSERT_OK(tree);
		ASSERT_OK(tree->freeze());
		int64_t before = child->rounds;
		std::this_thread::sleep_for(3ms);
		EXPECT_EQ(child->rounds, before);
		ASSERT_OK(tree->thaw());
		ASSERT_TRUE(eventually([&] { return child->rounds > before + 4; }));
	}
}

TEST(TargetTest, programs_that_exec_from_a_thread_are_stopped)
{
	Child child([](Shared &shared) {
		shared.ready = true;
		// A shell that executes itself again and again.
		std::thread([] {
			::execl("/bin/sh", "sh", "-c",
				"n=$1; [ $n -gt 0 ] && exec sh -c \"$2\" sh $((n-1)) \"$2\"; sleep 100", "sh", "100000",
				"n=$1; [ $n -gt 0 ] && exec sh -c \"$2\" sh $((n-1)) \"$2\"; sleep 100", nullptr);
		}).join();
	});
	ASSERT_TRUE(eventually([&] { return child->ready.load(); }));
	for (int i = 0; i < 30; i++) {
		auto tree = prepare(child.pid());
		ASSERT_OK(tree);
		ASSERT_OK(tree->freeze());
		EXPECT_EQ(child.state(), 't');
		ASSERT_OK(tree->thaw());
	}
	EXPECT_EQ(tracer_of(child.pid()).value_or(-1), 0);
}

TEST(TargetTest, a_vfork_that_lasts_is_named_before_anything_is_stopped)
{
	Child child([](Shared &shared) {
		if (::vfork() == 0) { // NOLINT(bugprone-unsafe-functions): it is what is tested
			shared.ready = true;
			for (;;)
				::pause();
		}
	});
	ASSERT_TRUE(eventually([&] { return child->ready && child.state() == 'D'; }));
	auto tree = prepare(child.pid());
	ASSERT_FALSE(tree);
	EXPECT_EQ(tree.error().code, Code::kUnsupported);
	EXPECT_NE(tree.error().message.find("inside vfork(2)"), std::string::npos) << tree.error().message;
	EXPECT_EQ(tracer_of(child.pid()).value_or(-1), 0);
}

TEST(TargetTest, a_thread_that_cannot_stop_in_time_is_named_and_all_are_released)
{
	Child child([](Shared &shared) {
		shared.ready = true;
		while (!shared.stop)
			::usleep(1000);
		if (::vfork() == 0) { // NOLINT(bugprone-unsafe-functions): it is what is tested
			for (;;)
				::pause();
		}
	});
	ASSERT_TRUE(asleep(child));
	// A tracer is a thread: what it cannot detach is free when it ends.
	std::thread([&] {
		auto tree = prepare(child.pid(), 150ms);
		ASSERT_OK(tree);
		child->stop = true;
		ASSERT_TRUE(eventually([&] { return child.state() == 'D'; }));
		auto frozen = tree->freeze();
		ASSERT_FALSE(frozen);
		EXPECT_EQ(frozen.error().code, Code::kTimeout);
		EXPECT_NE(frozen.error().message.find(fmt::format("thread {} ", child.pid())), std::string::npos);
		EXPECT_NE(frozen.error().message.find("inside vfork(2), state D"), std::string::npos)
			<< frozen.error().message;
	}).join();
	EXPECT_TRUE(eventually([&] { return tracer_of(child.pid()).value_or(1) == 0; }));
	auto tids = list_children(std::vector{ParentTasks{child.pid(), {child.pid()}}});
	ASSERT_OK(tids);
	ASSERT_EQ(tids->size(), 1u);
	EXPECT_EQ(tracer_of(tids->at(0).pid).value_or(1), 0);
	EXPECT_EQ(read_task_stat(fmt::format("/proc/{}/stat", tids->at(0).pid))->state, 'S');
}

TEST(TargetTest, programs_that_spawn_are_stopped)
{
	Child child([](Shared &shared) {
		shared.ready = true;
		for (;;) {
			pid_t pid = ::vfork(); // NOLINT(bugprone-unsafe-functions)
			if (pid == 0) {
				::execl("/bin/true", "true", nullptr);
				::_exit(127);
			}
			int status = 0;
			if (pid < 0 || ::waitpid(pid, &status, 0) < 0 || status)
				shared.errors++;
			shared.rounds++;
		}
	});
	ASSERT_TRUE(eventually([&] { return child->rounds > 2; }));
	for (int i = 0; i < 40; i++) {
		auto tree = prepare(child.pid());
		ASSERT_OK(tree);
		ASSERT_OK(tree->freeze());
		int64_t before = child->rounds;
		std::this_thread::sleep_for(1ms);
		EXPECT_EQ(child->rounds, before);
		ASSERT_OK(tree->thaw());
		ASSERT_TRUE(eventually([&] { return child->rounds > before; })) << i << ' ' << child.state();
	}
	EXPECT_EQ(child->errors, 0);
}

TEST(TargetTest, a_stopped_process_stays_stopped)
{
	Child child(epoll_with_handler);
	ASSERT_TRUE(asleep(child));
	::kill(child.pid(), SIGSTOP);
	ASSERT_TRUE(eventually([&] { return child.state() == 'T'; }));
	auto tree = prepare(child.pid());
	ASSERT_OK(tree);
	ASSERT_OK(tree->freeze());
	EXPECT_TRUE(tree->processes()[0].group_stopped);
	ASSERT_OK(tree->thaw());
	EXPECT_TRUE(eventually([&] { return child.state() == 'T'; }));
	// As without us, epoll_wait(2) fails after SIGCONT (signal(7)).
	::kill(child.pid(), SIGCONT);
	EXPECT_TRUE(eventually([&] { return child->rounds == 1; }));
	EXPECT_EQ(child->errors, EINTR);
}

TEST(TargetTest, left_stopped_it_waits_for_sigcont_and_notices_nothing)
{
	Child child(epoll_with_handler);
	ASSERT_TRUE(asleep(child));
	auto tree = prepare(child.pid());
	ASSERT_OK(tree);
	ASSERT_OK(tree->freeze());
	ASSERT_OK(tree->leave_stopped());
	EXPECT_TRUE(eventually([&] { return child.state() == 'T'; }));
	::kill(child.pid(), SIGCONT);
	EXPECT_TRUE(eventually([&] { return child.state() == 'S'; }));
	EXPECT_EQ(child->rounds, 0);
}

// Forks the first process of a new PID namespace, which has a child of its own.
static void start_namespace(Shared &shared)
{
	if (::unshare(CLONE_NEWPID))
		::_exit(1);
	pid_t first = ::fork();
	if (first == 0) {
		if (::fork() == 0)
			for (;;)
				::pause();
		shared.ready = true;
		for (;;)
			::pause();
	}
	shared.handled = first;
	::pause();
}

TEST(TargetTest, a_pid_namespace_within_the_tree_ends_with_it)
{
	Child child(start_namespace);
	ASSERT_TRUE(eventually([&] { return child->ready && child->handled; }));
	auto tree = prepare(child.pid());
	ASSERT_OK(tree);
	ASSERT_EQ(tree->processes().size(), 3u);
	ASSERT_OK(tree->freeze());
	ASSERT_OK(tree->kill());
}

// The first process of a namespace waits until all others of it are gone, of which one is a child of ours.
TEST(TargetTest, what_does_not_exit_is_not_waited_for_without_limit)
{
	Child child(start_namespace);
	ASSERT_TRUE(eventually([&] { return child->ready && child->handled; }));
	UniqueFd own = open_at(AT_FDCWD, "/proc/self/ns/pid", O_RDONLY).value();
	UniqueFd ns = open_at(AT_FDCWD, fmt::format("/proc/{}/ns/pid", child->handled.load()), O_RDONLY).value();
	ASSERT_EQ(::setns(ns.get(), CLONE_NEWPID), 0);
	pid_t member = ::fork();
	if (member == 0)
		for (;;)
			::pause();
	ASSERT_EQ(::setns(own.get(), CLONE_NEWPID), 0);
	FreezeOptions options;
	options.root = child.pid();
	options.exit_within = 100ms;
	auto tree = FrozenTree::prepare(std::move(options));
	ASSERT_OK(tree);
	ASSERT_OK(tree->freeze());
	Result<> killed = tree->kill();
	ASSERT_FALSE(killed);
	EXPECT_EQ(killed.error().code, Code::kTimeout);
	::waitpid(member, nullptr, 0);
}

TEST(TargetTest, a_parent_hears_of_an_end_during_the_freeze_at_the_thaw)
{
	Child parent([](Shared &shared) {
		pid_t child = ::fork();
		if (child == 0) {
			std::thread([] { ::pause(); }).detach();
			for (;;)
				::pause();
		}
		shared.handled = child;
		shared.ready = true;
		::waitpid(child, nullptr, 0);
		shared.rounds = 1;
		::pause();
	});
	ASSERT_TRUE(eventually([&] { return parent->ready.load(); }));
	auto child = static_cast<pid_t>(parent->handled.load());
	ASSERT_TRUE(eventually([&] { return list_threads(child).value_or(std::vector<pid_t>()).size() == 2; }));
	auto tree = prepare(child);
	ASSERT_OK(tree);
	ASSERT_OK(tree->freeze());
	::kill(child, SIGKILL);
	ASSERT_TRUE(eventually([&] {
		return std::ranges::all_of(tree->tids(), [child](pid_t tid) {
			auto stat = read_thread_stat(child, tid);
			return stat && stat->dead();
		});
	}));
	ASSERT_OK(tree->thaw());
	EXPECT_TRUE(eventually([&] { return parent->rounds == 1; })) << "while the tracer is there";
}

TEST(TargetTest, a_signal_that_comes_while_frozen_interrupts_as_ever)
{
	Child child(epoll_with_handler);
	ASSERT_TRUE(asleep(child));
	auto tree = prepare(child.pid());
	ASSERT_OK(tree);
	ASSERT_OK(tree->freeze());
	EXPECT_EQ(tree->stats().fixed_syscalls, 1u);
	::kill(child.pid(), SIGUSR1);
	ASSERT_OK(tree->thaw());
	EXPECT_TRUE(eventually([&] { return child->rounds == 1; }));
	EXPECT_EQ(child->handled, 1);
	EXPECT_EQ(child->errors, EINTR);
}

TEST(TargetTest, a_killed_freezer_leaves_no_trace)
{
	for (bool after_freeze : {false, true}) {
		Child child(epoll_with_handler);
		ASSERT_TRUE(asleep(child));
		pid_t freezer = ::fork();
		if (freezer == 0) {
			FreezeOptions options;
			options.root = child.pid();
			if (!after_freeze)
				options.before_interrupt = []() -> Result<> {
					::raise(SIGKILL);
					return {};
				};
			auto tree = FrozenTree::prepare(std::move(options));
			if (tree && tree->freeze())
				::raise(SIGKILL);
			::_exit(1);
		}
		int status;
		ASSERT_EQ(::waitpid(freezer, &status, 0), freezer);
		ASSERT_TRUE(WIFSIGNALED(status));
		EXPECT_TRUE(
			eventually([&] { return child.state() == 'S' && tracer_of(child.pid()).value_or(1) == 0; }));
		std::this_thread::sleep_for(20ms);
		EXPECT_EQ(child->rounds, 0);
		// And it still listens.
		::kill(child.pid(), SIGUSR1);
		EXPECT_TRUE(eventually([&] { return child->handled == 1; }));
	}
}

TEST(TargetTest, cancelled_or_failed_it_releases_everything)
{
	Child child(epoll_with_handler);
	ASSERT_TRUE(asleep(child));
	FreezeOptions options;
	options.root = child.pid();
	options.before_interrupt = []() -> Result<> { return Error(Code::kLimit, "no room"); };
	auto tree = FrozenTree::prepare(std::move(options));
	ASSERT_OK(tree);
	auto frozen = tree->freeze();
	ASSERT_FALSE(frozen);
	EXPECT_EQ(frozen.error().message, "no room");
	std::this_thread::sleep_for(20ms);
	EXPECT_EQ(child->rounds, 0);
	::kill(child.pid(), SIGUSR1);
	EXPECT_TRUE(eventually([&] { return child->handled == 1; }));
}

TEST(TargetTest, who_must_not_be_frozen_is_refused_by_name)
{
	expect_refused(::getpid(), Code::kUsage, "is bpfckpt itself");
	expect_refused(::getppid(), Code::kUsage, "ancestor");
	expect_refused(2, Code::kUsage, "kernel thread");
	expect_refused(0x7ffffff0, Code::kGone, "no such process");
	expect_refused(-1, Code::kGone, "no such process");

	Child child([](Shared &shared) {
		std::thread([] { ::pause(); }).detach();
		sleep_for_ever(shared);
	});
	ASSERT_TRUE(asleep(child));
	auto tids = list_threads(child.pid());
	ASSERT_OK(tids);
	expect_refused(tids->at(1), Code::kUsage, fmt::format("is a thread of pid {}", child.pid()));
}

TEST(TargetTest, a_traced_process_names_its_tracer)
{
	Child child(sleep_for_ever);
	ASSERT_TRUE(asleep(child));
	pid_t tracer = ::fork();
	if (tracer == 0) {
		::prctl(PR_SET_PDEATHSIG, SIGKILL);
		::ptrace(PTRACE_SEIZE, child.pid(), 0, 0);
		for (;;)
			::pause();
	}
	EXPECT_TRUE(eventually([&] { return tracer_of(child.pid()).value_or(0) == tracer; }));
	expect_refused(child.pid(), Code::kUnsupported, fmt::format("is traced by pid {}", tracer));
	::kill(tracer, SIGKILL);
	::waitpid(tracer, nullptr, 0);
}

} // namespace bpfckpt::target
