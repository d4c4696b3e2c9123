// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/target/frozen_tree.h"

#include <algorithm>
#include <thread>
#include <utility>

#include <sys/ptrace.h>
#include <sys/resource.h>

#include "user/target/borrowed_syscall.h"
#include "user/target/freeze_checks.h"
#include "user/target/frozen_tree_state.h"
#include "user/target/thread_stop.h"
#include "user/target/tree_scan.h"
#include "user/util/id_set.h"
#include "user/util/io.h"

namespace bpfckpt::target {

namespace {

images::Thread::Role role_of(const TaskStat &stat)
{
	if (!stat.io_worker())
		return images::Thread::USER;
	return stat.comm.starts_with("iou-sqp-") ? images::Thread::IO_URING_SQ_THREAD : images::Thread::IO_URING_WORKER;
}

Result<FrozenThread> describe_new_thread(const FrozenProcess &process, pid_t tid, const TaskStat &stat)
{
	FrozenThread thread;
	thread.tid = tid;
	thread.role = role_of(stat);
	if (stat.user_worker() && !stat.io_worker())
		return make_error(Code::kUnsupported, "thread {} ({}) is a kernel worker that is not io_uring's", tid,
				  stat.comm)
			.on(fmt::format("pid {} ({})", process.pid, process.comm))
			.with_hint("stop what uses it, for example vhost, then try again");
	if (thread.role == images::Thread::IO_URING_WORKER)
		thread.stop = FrozenThread::Stop::kWorker;
	else if (stat.dead())
		thread.stop = FrozenThread::Stop::kDead;
	else if (stat.state == 'D' && inside_vfork(process.pid, tid))
		thread.inside_vfork = true;
	return thread;
}

} // namespace

FrozenProcess *FrozenTree::State::process_of(pid_t pid)
{
	auto it = std::find_if(processes.begin(), processes.end(), [&](auto &process) { return process.pid == pid; });
	return it == processes.end() ? nullptr : &*it;
}

Result<> FrozenTree::State::add_process(pid_t pid, const TaskStat &stat)
{
	auto ref = PidRef::open(pid);
	if (!ref)
		return ref.error().code == Code::kGone ? Result<>() : Result<>(std::move(ref).error());
	FrozenProcess process;
	process.ref = std::move(*ref);
	process.pid = pid;
	process.ppid = stat.ppid;
	process.comm = stat.comm;
	process.zombie = stat.dead() && stat.num_threads <= 1;
	processes.push_back(std::move(process));
	return {};
}

// Whoever is neither stopped nor about to be may end at any time, and another thread have its tid then. A leader stays.
void FrozenTree::State::forget_unheld(FrozenProcess *process)
{
	std::erase_if(process->threads, [&](const FrozenThread &thread) {
		bool held = thread.tid == process->pid || thread.seized ||
			    (thread.stop != FrozenThread::Stop::kWorker && thread.stop != FrozenThread::Stop::kDead);
		if (!held)
			known_tids.erase(thread.tid);
		return !held;
	});
}

Result<size_t> FrozenTree::State::add_new_threads(FrozenProcess *process)
{
	if (process->zombie)
		return 0;
	forget_unheld(process);
	// The count alone proves that a process has no thread that we do not know, if all that we know are held.
	auto stat = read_task_stat(fmt::format("/proc/{}/stat", process->pid));
	if (stat && stat->num_threads == process->threads.size())
		return 0;
	auto tids = list_threads(process->pid);
	size_t added = 0;
	for (pid_t tid : tids ? *tids : std::vector<pid_t>()) {
		if (known_tids.contains(tid))
			continue;
		auto thread_stat = read_thread_stat(process->pid, tid);
		if (!thread_stat)
			continue;
		process->threads.push_back(TRY(describe_new_thread(*process, tid, *thread_stat)));
		known_tids.insert(tid);
		added += process->threads.back().stop == FrozenThread::Stop::kRunning;
	}
	return added;
}

// A pidfd for each, and as many again for what else is opened. Where there is no room a file of /proc that cannot be
// opened would look like a process that is gone.
static Result<> make_room_for(size_t processes)
{
	constexpr size_t kOthers = 1024;
	rlimit limit = {};
	while (!::getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < 2 * processes + kOthers)
		if (!raise_hard_file_limit())
			break;
	if (limit.rlim_cur < processes + kOthers / 4)
		return errno_error(EMFILE, "cannot hold {} processes", processes);
	return {};
}

Result<size_t> FrozenTree::State::add_new_children()
{
	std::vector<ParentTasks> parents;
	IdSet known(processes.size());
	for (const FrozenProcess &process : processes) {
		known.insert(static_cast<uint32_t>(process.pid));
		ParentTasks parent = {process.pid, {}};
		for (const FrozenThread &thread : process.threads)
			parent.tids.push_back(thread.tid);
		if (!process.zombie)
			parents.push_back(std::move(parent));
	}
	size_t added = 0;
	std::vector<ChildProcess> children = TRY(list_children(parents));
	std::erase_if(children,
		      [&known](const ChildProcess &child) { return known.contains(static_cast<uint32_t>(child.pid)); });
	TRY(make_room_for(processes.size() + children.size()));
	for (const ChildProcess &child : children) {
		if (!known.insert(static_cast<uint32_t>(child.pid)))
			continue;
		auto stat = read_task_stat(fmt::format("/proc/{}/stat", child.pid));
		if (!stat)
			continue;
		TRY(add_process(child.pid, *stat));
		added++;
	}
	return added;
}

Result<size_t> FrozenTree::State::add_new_tasks()
{
	size_t added = 0;
	for (size_t first = 0; first < processes.size();) {
		for (; first < processes.size(); first++)
			added += TRY(add_new_threads(&processes[first]));
		added += TRY(add_new_children());
	}
	return added;
}

FrozenTree::FrozenTree(std::unique_ptr<State> state) : state_(std::move(state)) {}
FrozenTree::FrozenTree(FrozenTree &&) noexcept = default;

FrozenTree &FrozenTree::operator=(FrozenTree &&other) noexcept
{
	if (state_)
		(void)state_->thaw();
	state_ = std::move(other.state_);
	return *this;
}

FrozenTree::~FrozenTree()
{
	if (!state_)
		return;
	(void)state_->thaw();
	state_->take_ends();
}

Result<FrozenTree> FrozenTree::prepare(FreezeOptions options)
{
	TRY(check_may_freeze(options.root));
	auto state = std::make_unique<State>();
	state->options = std::move(options);
	TaskStat stat = TRY(read_task_stat(fmt::format("/proc/{}/stat", state->options.root)));
	TRY(state->add_process(state->options.root, stat));
	if (state->processes.empty())
		return make_error(Code::kGone, "no such process").on(fmt::format("pid {}", state->options.root));
	TRY(state->add_new_tasks());
	TRY(state->wait_for_vforks());
	TRY(state->check_may_signal());
	// Threads may be added meanwhile; more room than this is taken in the freeze.
	size_t threads = state->known_tids.size();
	TRY(state->xstates.reserve(threads + threads / 16 + 4));
	return FrozenTree(std::move(state));
}

Result<> FrozenTree::freeze()
{
	return state_->freeze();
}

Result<> FrozenTree::thaw()
{
	return state_->thaw();
}

void FrozenTree::take_ends()
{
	state_->take_ends();
}

Result<> FrozenTree::kill()
{
	return state_->kill();
}

Result<> FrozenTree::leave_stopped()
{
	return state_->leave_stopped();
}

Result<const ReturnPath *> FrozenTree::State::return_path(pid_t pid)
{
	auto known = return_paths.find(pid);
	if (known == return_paths.end())
		known = return_paths.emplace(pid, TRY(find_return_path(pid))).first;
	return &known->second;
}

Result<FrozenTree::State::StoppedThread> FrozenTree::State::stopped_thread(pid_t tid, images::Thread::Role role)
{
	for (FrozenProcess &process : processes)
		for (FrozenThread &thread : process.threads)
			if (thread.tid == tid && thread.in_stop && thread.stop == FrozenThread::Stop::kTrapped &&
			    thread.role == role)
				return StoppedThread{&process, &thread};
	return make_error(Code::kGone, "thread {} is not a stopped thread of the tree", tid);
}

// As the kernel chooses it for a signal (kernel/signal.c: sas_ss_flags()).
static uint64_t end_of_signal_stack(const FrozenThread &thread, const BorrowedCall &call)
{
	bool on_it = thread.regs.rsp - call.signal_stack < call.signal_stack_size;
	return on_it || !call.signal_stack_size ? 0 : call.signal_stack + call.signal_stack_size;
}

// One that does not stop again may wait for others of the tree, and no signal gets it out of a fault in the kernel
// (include/linux/sched/signal.h: fault_signal_pending()). bpfckpt's exit lets it go.
void FrozenTree::State::give_up(FrozenThread &thread)
{
	thread.in_stop = false;
	(void)thaw();
}

Result<int64_t> FrozenTree::borrow(pid_t tid, const BorrowedCall &call)
{
	auto [process, thread] = TRY(state_->stopped_thread(tid, images::Thread::USER));
	std::vector<std::byte> xstate = thread->xstate.unpack();
	ThreadState state = {.regs = thread->regs,
			     .signal_mask = thread->signal_mask,
			     .xstate = xstate,
			     .xstate_size = thread->xstate.size(),
			     .signal_stack = end_of_signal_stack(*thread, call)};
	if (thread->syscall)
		state.regs = thread->syscall->resume_registers(state.regs, std::nullopt);
	const ReturnPath *path = TRY(state_->return_path(process->pid));
	state_->stats.injected_syscalls++;
	Result<int64_t> result = borrow_syscall(process->pid, tid, state, *path, call);
	if (!result && result.error().code == Code::kTimeout)
		state_->give_up(*thread);
	return result;
}

// io_sq_thread() stops in get_signal() at the head of its loop, with no lock held; each turn of the loop submits what
// is queued and runs task work.
Result<> FrozenTree::let_sq_thread_run(pid_t tid, std::chrono::microseconds time, std::chrono::milliseconds limit)
{
	auto [process, thread] = TRY(state_->stopped_thread(tid, images::Thread::IO_URING_SQ_THREAD));
	WaitTicks ticks = TRY(WaitTicks::create());
	auto deadline = Clock::now() + limit;
	if (::ptrace(PTRACE_CONT, tid, 0, 0) < 0)
		return errno_error(errno, "cannot go on").on(fmt::format("thread {}", tid));
	std::this_thread::sleep_for(time);
	interrupt(tid);
	ticks.start();
	ThreadStop stop = TRY(wait_for_stop(tid));
	while (stop.kind == ThreadStop::kTick) {
		if (Clock::now() >= deadline) {
			state_->give_up(*thread);
			return Error(Code::kTimeout, "does not come back from a turn for its ring")
				.on(fmt::format("thread {}", tid))
				.with_hint("it may wait for memory that another thread of the tree provides "
					   "(userfaultfd, FUSE): try again, or with --drain=observe");
		}
		stop = TRY(wait_for_stop(tid));
	}
	if (stop.kind == ThreadStop::kGone)
		return Error(Code::kGone, "exited").on(fmt::format("thread {}", tid));
	return {};
}

void FrozenTree::describe(const FrozenThread &thread, images::Thread *message) const
{
	state_->resolve_deadlines();
	message->set_tid(static_cast<uint32_t>(thread.tid));
	if (thread.stop != FrozenThread::Stop::kDead)
		message->set_role(thread.role);
	if (thread.stop != FrozenThread::Stop::kTrapped || thread.role != images::Thread::USER)
		return;
	message->set_prstatus(&thread.regs, sizeof(thread.regs));
	message->set_signal_mask(thread.signal_mask);
	if (thread.syscall)
		*message->mutable_syscall() = thread.syscall->message;
}

void FrozenTree::add_extended_registers(const FrozenThread &thread, images::Thread *message)
{
	if (!thread.xstate.size() || thread.stop != FrozenThread::Stop::kTrapped)
		return;
	std::vector<std::byte> xstate = thread.xstate.unpack();
	message->set_xstate(xstate.data(), xstate.size());
}

std::span<const FrozenProcess> FrozenTree::processes() const
{
	return state_->processes;
}

std::vector<pid_t> FrozenTree::pids() const
{
	std::vector<pid_t> out;
	for (const FrozenProcess &process : state_->processes)
		out.push_back(process.pid);
	return out;
}

std::vector<pid_t> FrozenTree::tids() const
{
	std::vector<pid_t> out;
	for (const FrozenProcess &process : state_->processes)
		for (const FrozenThread &thread : process.threads)
			out.push_back(thread.tid);
	return out;
}

bool FrozenTree::changed_since_prepare() const
{
	return state_->changed;
}

bool FrozenTree::frozen() const
{
	return state_->frozen;
}

const FreezeStats &FrozenTree::stats() const
{
	return state_->stats;
}

} // namespace bpfckpt::target
