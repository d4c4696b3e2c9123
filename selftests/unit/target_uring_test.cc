// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Freezing processes that use io_uring: its own threads, and completions that wait for their submitter.
#include <gtest/gtest.h>
#include <linux/time_types.h>
#include <poll.h>
#include <sys/rseq.h>
#include <sys/syscall.h>

#include "selftests/scenarios/process.h"
#include "selftests/unit/child.h"
#include "selftests/unit/raw_ring.h"
#include "user/target/frozen_tree.h"

namespace bpfckpt::target {

namespace {

using selftests::Child;
using selftests::eventually;
using selftests::RawRing;
using selftests::Shared;
using namespace std::chrono_literals;

Result<FrozenTree> freeze(pid_t pid)
{
	FreezeOptions options;
	options.root = pid;
	options.timeout = 5s;
	FrozenTree tree = TRY(FrozenTree::prepare(std::move(options)));
	TRY(tree.freeze());
	return tree;
}

const FrozenThread *thread_of_role(const FrozenTree &tree, images::Thread::Role role)
{
	for (const FrozenThread &thread : tree.processes()[0].threads)
		if (thread.role == role)
			return &thread;
	return nullptr;
}

int64_t milliseconds_since(std::chrono::steady_clock::time_point start)
{
	return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start).count();
}

io_uring_sqe read_by_worker(int fd, char *byte)
{
	io_uring_sqe read = {};
	read.opcode = IORING_OP_READ;
	read.flags = IOSQE_ASYNC;
	read.fd = fd;
	read.addr = reinterpret_cast<uint64_t>(byte);
	read.len = 1;
	return read;
}

// Is in a restartable sequence for ever.
[[noreturn]] void spin(rseq *area)
{
	for (;;)
		__asm__ volatile("1: .pushsection __rseq_cs, \"aw\"\n\t"
				 ".balign 32\n\t"
				 "3: .long 0, 0\n\t"
				 ".quad 1b, 2f - 1b, 4f\n\t"
				 ".popsection\n\t"
				 "leaq 3b(%%rip), %%rax\n\t"
				 "movq %%rax, %0\n\t"
				 "pause\n\t"
				 "jmp 1b\n\t"
				 "2: nop\n\t"
				 ".pushsection __rseq_failure, \"ax\"\n\t"
				 ".byte 0x0f, 0xb9, 0x3d\n\t"
				 ".long 0x53053053\n\t"
				 "4: jmp 1b\n\t"
				 ".popsection\n\t"
				 : "=m"(area->rseq_cs)
				 :
				 : "rax", "memory", "cc");
}

} // namespace

TEST(TargetUringTest, sq_thread_is_parked_and_goes_on)
{
	Child child([](Shared &shared) {
		RawRing ring(IORING_SETUP_SQPOLL);
		io_uring_sqe nop = {};
		shared.ready = ring.fd() >= 0;
		for (uint32_t done = 0; ring.submit(nop) >= 0;) {
			while (ring.cq_tail() == done)
				::sched_yield();
			ring.consume();
			done++;
			shared.rounds++;
		}
	});
	ASSERT_TRUE(eventually([&] { return child->rounds > 10; }));
	for (int i = 0; i < 10; i++) {
		auto tree = freeze(child.pid());
		ASSERT_OK(tree);
		const FrozenThread *sq = thread_of_role(*tree, images::Thread::IO_URING_SQ_THREAD);
		ASSERT_TRUE(sq);
		EXPECT_EQ(sq->stop, FrozenThread::Stop::kTrapped);
		EXPECT_EQ(sq->xstate.size(), 0u);
		int64_t before = child->rounds;
		std::this_thread::sleep_for(2ms);
		EXPECT_EQ(child->rounds, before);
		ASSERT_OK(tree->thaw());
		ASSERT_TRUE(eventually([&] { return child->rounds > before; }));
	}
}

TEST(TargetUringTest, a_busy_worker_is_not_disturbed)
{
	int fds[2];
	ASSERT_EQ(::pipe(fds), 0);
	Child child([&](Shared &shared) {
		RawRing ring;
		char byte;
		ring.submit(read_by_worker(fds[0], &byte));
		shared.ready = true;
		while (ring.enter(0, 1, IORING_ENTER_GETEVENTS) < 0)
			shared.errors++;
		shared.handled = ring.cqe(0).res;
		shared.rounds = 1;
		::pause();
	});
	ASSERT_TRUE(child.asleep());
	ASSERT_TRUE(eventually([&] {
		auto tids = list_threads(child.pid());
		return tids && tids->size() == 2 && read_thread_stat(child.pid(), tids->at(1))->state == 'S';
	}));
	for (int i = 0; i < 3; i++) {
		auto tree = freeze(child.pid());
		ASSERT_OK(tree);
		const FrozenThread *worker = thread_of_role(*tree, images::Thread::IO_URING_WORKER);
		ASSERT_TRUE(worker);
		EXPECT_EQ(worker->stop, FrozenThread::Stop::kWorker);
		EXPECT_EQ(tracer_of(worker->tid).value_or(-1), 0);
		std::this_thread::sleep_for(2ms);
	}
	EXPECT_EQ(child->rounds, 0);
	ASSERT_EQ(::write(fds[1], "x", 1), 1);
	ASSERT_TRUE(eventually([&] { return child->rounds == 1; }));
	EXPECT_EQ(child->handled, 1) << "the request's result";
	EXPECT_EQ(child->errors, 0);
	::close(fds[0]);
	::close(fds[1]);
}

TEST(TargetUringTest, a_thread_that_begins_as_a_worker_ends_is_stopped)
{
	int fds[2];
	ASSERT_EQ(::pipe(fds), 0);
	Child child([&](Shared &shared) {
		std::thread([&] {
			RawRing ring;
			char byte;
			ring.submit(read_by_worker(fds[0], &byte));
			while (!shared.stop)
				std::this_thread::sleep_for(1ms);
		}).join();
		std::thread counter([&] {
			for (;;)
				shared.rounds++;
		});
		counter.join();
	});
	auto threads = [&] { return list_threads(child.pid()).value_or(std::vector<pid_t>()).size(); };
	ASSERT_TRUE(eventually([&] { return threads() == 3; }));
	FreezeOptions options;
	options.root = child.pid();
	auto tree = FrozenTree::prepare(std::move(options));
	ASSERT_OK(tree);
	child->stop = true;
	ASSERT_TRUE(eventually([&] { return child->rounds && threads() == 2; }));
	ASSERT_OK(tree->freeze());
	int64_t before = child->rounds;
	std::this_thread::sleep_for(2ms);
	EXPECT_EQ(child->rounds, before);
	ASSERT_EQ(tree->processes()[0].threads.size(), 2u);
	EXPECT_EQ(tree->processes()[0].threads[1].stop, FrozenThread::Stop::kTrapped);
	::close(fds[0]);
	::close(fds[1]);
}

TEST(TargetUringTest, a_borrowed_enter_posts_completions_and_leaves_no_trace)
{
	constexpr int64_t kSleepMs = 300;
	int fds[2];
	ASSERT_EQ(::pipe(fds), 0);
	Child child([&](Shared &shared) {
		RawRing ring(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
		io_uring_sqe poll = {};
		poll.opcode = IORING_OP_POLL_ADD;
		poll.fd = fds[0];
		poll.poll32_events = POLLIN;
		ring.submit(poll);
		shared.handled = ring.fd();
		shared.ready = true;
		auto start = std::chrono::steady_clock::now();
		timespec time = {0, kSleepMs * 1'000'000};
		shared.errors = ::nanosleep(&time, nullptr) ? errno : 0;
		// Here nothing has entered the ring but us, if anybody: POLLIN, and one completion.
		shared.rounds =
			milliseconds_since(start) * 1000 + int64_t{ring.cq_tail()} * 100 + (ring.cqe(0).res & POLLIN);
		::pause();
	});
	ASSERT_TRUE(child.asleep());
	auto tree = freeze(child.pid());
	ASSERT_OK(tree);
	ASSERT_EQ(::write(fds[1], "x", 1), 1);
	uint64_t args[] = {static_cast<uint64_t>(child->handled), 0, 0, IORING_ENTER_GETEVENTS, 0, 0};
	auto result = tree->borrow(child.pid(), {.nr = SYS_io_uring_enter, .args = args});
	ASSERT_OK(result);
	EXPECT_EQ(*result, 0);
	EXPECT_EQ(tree->stats().injected_syscalls, 1u);
	EXPECT_EQ(child.state(), 't');
	ASSERT_OK(tree->thaw());
	ASSERT_TRUE(eventually([&] { return child->rounds != 0; }));
	EXPECT_EQ(child->errors, 0);
	EXPECT_EQ(child->rounds % 1000, 101);
	EXPECT_GE(child->rounds / 1000, kSleepMs);
	EXPECT_LE(child->rounds / 1000, kSleepMs + int64_t{150} * selftests::patience());
	::close(fds[0]);
	::close(fds[1]);
}

// Should bpfckpt be killed meanwhile, nobody would send it to its abort handler.
TEST(TargetUringTest, a_thread_in_a_restartable_sequence_is_not_lent)
{
	if (!__rseq_size)
		GTEST_SKIP() << "the C library has not registered restartable sequences";
	Child child([](Shared &shared) {
		shared.ready = true;
		spin(reinterpret_cast<rseq *>(static_cast<char *>(__builtin_thread_pointer()) + __rseq_offset));
	});
	ASSERT_TRUE(eventually([&] { return child->ready.load(); }));
	std::this_thread::sleep_for(10ms);
	auto tree = freeze(child.pid());
	ASSERT_OK(tree);
	auto result = tree->borrow(child.pid(), {.nr = SYS_getpid, .args = {}});
	ASSERT_FALSE(result);
	EXPECT_EQ(result.error().code, Code::kUnsupported);
	EXPECT_EQ(result.error().message, "is in a restartable sequence");
}

} // namespace bpfckpt::target
