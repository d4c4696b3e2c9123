// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/tree.h"

#include <algorithm>
#include <csignal>

#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/restore/credentials.h"
#include "user/target/batch.h"
#include "user/target/stub_process.h"

namespace bpfckpt::restore {

using target::SyscallBatch;
using target::Tracee;

std::vector<std::pair<const images::Thread *, Tracee *>> Member::all_threads()
{
	std::vector<std::pair<const images::Thread *, Tracee *>> all = {{&leader_image(), &leader}};
	for (ThreadMember &thread : threads)
		all.emplace_back(thread.image, &thread.tracee);
	return all;
}

// While the tree is built its orphans come to us, so that we can reap them.
Tree::Tree(const Plan &plan, const target::StubLayout &stub, const BuildOptions &options)
	: plan_(plan), stub_(stub), spare_pids_(plan), outlive_(options.detached), leave_stopped_(options.leave_stopped)
{
	int reaper = 0;
	prctl(PR_GET_CHILD_SUBREAPER, &reaper);
	was_reaper_ = reaper != 0;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

Tree::~Tree()
{
	if (!released_)
		kill_all();
	prctl(PR_SET_CHILD_SUBREAPER, was_reaper_);
}

void Tree::kill_all()
{
	for (pid_t pid : order_)
		::kill(pid, SIGKILL);
	// A dead tracee is first ours as its tracer, then its parent's, and when that is dead ours again.
	for (bool left = true; left;) {
		left = false;
		for (pid_t pid : order_) {
			while (::waitpid(pid, nullptr, __WALL | WNOHANG) > 0)
				;
			left |= ::kill(pid, 0) == 0;
		}
		if (left && ::waitpid(-1, nullptr, __WALL) < 0 && errno == ECHILD)
			break;
	}
}

std::vector<Member *> Tree::living()
{
	std::vector<Member *> living;
	for (pid_t pid : order_)
		if (auto it = members_.find(pid); it != members_.end() && it->second->image && !it->second->zombie())
			living.push_back(it->second.get());
	return living;
}

// clone(2) may have been told 0.
static int exit_signal_of(const images::Process &process)
{
	return static_cast<int>(process.exit_signal());
}

// Of clone3(2) with a PID of our choice.
static Error clone_error(Error error, pid_t pid)
{
	if (error.sys_errno == EEXIST)
		return pid_in_use(pid);
	if (error.sys_errno == EAGAIN)
		return Error(Code::kLimit, "cannot be created: a limit of processes is reached")
			.on(fmt::format("pid {}", pid))
			.with_hint("see ulimit -u, pids.max of the cgroup, and kernel.threads-max");
	if (error.sys_errno == EINVAL)
		return Error(Code::kMismatch, "cannot be created: it is above the largest PID here")
			.on(fmt::format("pid {}", pid))
			.with_hint("raise kernel.pid_max (of this PID namespace)");
	return error;
}

static std::unique_ptr<Member> new_member(const images::Process *image, Tracee tracee)
{
	const images::Thread *leader = image && image->threads_size() ? &image->threads(0) : nullptr;
	return std::make_unique<Member>(Member{image, tracee, leader, {}, false, {}, {}});
}

// Not in a session of the tree's own: in one of bpfckpt's, whose group may be orphaned by its end.
bool Tree::stops_in_outer_session() const
{
	const images::Process *root = plan_.processes.at(plan_.root);
	return plan_.outer_session &&
	       (leave_stopped_ || std::ranges::any_of(plan_.document->processes(), [&](const auto &process) {
			return process.state() == images::Process::STOPPED && process.sid() == root->sid();
		}));
}

Result<> Tree::create_root()
{
	const images::Process *root = plan_.processes.at(plan_.root);
	bool may_notice = std::ranges::any_of(root->threads(), &images::Thread::parent_death_signal);
	if (outlive_ && (may_notice || stops_in_outer_session())) {
		TRY(create_root_parent());
		return fork({.kind = TreeStep::kFork, .pid = plan_.root, .other = root_parent_});
	}
	Result<Tracee> made = target::clone_stub_process(plan_.root, exit_signal_of(*root), stub_);
	if (!made)
		return clone_error(std::move(made).error(), plan_.root);
	order_.push_back(plan_.root);
	members_.emplace(plan_.root, new_member(root, *made));
	return {};
}

Result<> Tree::create_root_parent()
{
	for (;;) {
		pid_t pid = TRY(spare_pids_.next());
		Result<Tracee> made = target::clone_stub_process(pid, SIGCHLD, stub_);
		if (!made && made.error().sys_errno == EEXIST)
			continue;
		if (!made)
			return clone_error(std::move(made).error(), pid);
		root_parent_ = pid;
		order_.push_back(pid);
		members_.emplace(pid, new_member(nullptr, *made));
		if (!stops_in_outer_session())
			return {};
		// A group that bpfckpt and its callers are not in: it is not orphaned by their end.
		SyscallBatch batch;
		batch.add(SYS_setpgid, 0, 0);
		return batch.run(member(pid).leader);
	}
}

Result<> Tree::create(ForkHooks &hooks)
{
	hooks_ = &hooks;
	TRY(create_root());
	for (const TreeStep &todo : plan_.tree)
		TRY(step(todo));
	return {};
}

Result<> Tree::step(const TreeStep &step)
{
	SyscallBatch batch;
	switch (step.kind) {
	case TreeStep::kFork:
		return fork(step);
	case TreeStep::kExit:
		return end_helper(step);
	case TreeStep::kSetsid:
		batch.add(SYS_setsid);
		break;
	case TreeStep::kSetpgid:
		batch.add(SYS_setpgid, 0, step.other == step.pid ? 0 : step.other);
		break;
	case TreeStep::kReaperOn:
		batch.add(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1);
		break;
	}
	return batch.run(member(step.pid).leader);
}

struct CloneArgs {
	clone_args args;
	pid_t tid;
	pid_t pad;
};

static target::Blob clone_blob(SyscallBatch &batch, uint64_t flags, int exit_signal, pid_t tid)
{
	CloneArgs clone = {};
	clone.args.flags = flags | CLONE_PTRACE;
	clone.args.exit_signal = static_cast<uint64_t>(exit_signal);
	clone.args.set_tid_size = 1;
	clone.tid = tid;
	return batch.data(std::as_bytes(std::span(&clone, 1)),
			  {{offsetof(clone_args, set_tid), offsetof(CloneArgs, tid)}});
}

// A child is that of one thread of its parent: with its end comes the parent death signal, and others may not wait for
// it (__WNOTHREAD). Threads keep their order, so all are made when the first is needed.
Result<Tracee *> Tree::creating_thread(Member &creator, const images::Process *child)
{
	uint32_t tid = child ? child->parent_tid() : 0;
	if (!tid || !creator.image || creator.image->pid() != child->ppid())
		return &creator.leader;
	TRY(create_threads_of(creator));
	auto thread = std::ranges::find(creator.threads, static_cast<pid_t>(tid),
					[](const ThreadMember &member) { return member.tracee.tid(); });
	return thread == creator.threads.end() ? &creator.leader : &thread->tracee;
}

static Result<> clone_from(Tracee &thread, uint64_t flags, int exit_signal, pid_t pid)
{
	SyscallBatch batch;
	batch.add(SYS_clone3, clone_blob(batch, flags, exit_signal, pid), sizeof(clone_args));
	return batch.run(thread);
}

Result<> Tree::fork(const TreeStep &step)
{
	Member &creator = member(step.other);
	auto image = plan_.processes.find(step.pid);
	const images::Process *process = image == plan_.processes.end() ? nullptr : image->second;
	if (process)
		TRY(hooks_->before_fork(creator, *process));
	Tracee &thread = *TRY(creating_thread(creator, process));
	int exit_signal = process ? exit_signal_of(*process) : SIGCHLD;
	pid_t pid = step.pid > 0 ? step.pid : TRY(spare_pids_.next());
	Result<> done = clone_from(thread, step.flags, exit_signal, pid);
	while (!done && done.error().sys_errno == EEXIST && step.pid <= 0) {
		pid = TRY(spare_pids_.next());
		done = clone_from(thread, step.flags, exit_signal, pid);
	}
	if (!done)
		return clone_error(std::move(done).error(), pid);
	order_.push_back(pid);
	Tracee tracee(pid, pid, stub_, stub_.main_slot());
	tracee.take_registers_of(thread);
	TRY(tracee.wait_first_stop());
	auto it = members_.emplace(step.pid, new_member(process, tracee));
	return hooks_->after_fork(creator, *it.first->second);
}

// Waits, as the tracer, for the end of a process that was told to end.
static Result<> wait_for_end(Tracee &tracee)
{
	for (;;) {
		int status = TRY(tracee.wait_status());
		if (!WIFSTOPPED(status))
			return {};
	}
}

Result<> Tree::end_helper(const TreeStep &step)
{
	Member &helper = member(step.pid);
	uint64_t status[] = {0};
	TRY(helper.leader.start_call(SYS_exit_group, status));
	TRY(wait_for_end(helper.leader));
	if (step.other) {
		SyscallBatch batch;
		batch.add(SYS_wait4, helper.pid(), 0, __WALL, 0);
		TRY(batch.run(member(step.other).leader));
	}
	std::erase(order_, helper.pid());
	members_.erase(step.pid);
	return {};
}

Result<> Tree::orphan_root()
{
	if (!root_parent_)
		return {};
	prctl(PR_SET_CHILD_SUBREAPER, was_reaper_);
	return end_helper({.kind = TreeStep::kExit, .pid = root_parent_});
}

// One member with its parent in another group of the session is enough (kernel/exit.c: will_become_orphaned_pgrp()).
// The root's parent may end at any time.
bool Tree::is_orphaned(uint32_t group)
{
	if (!connected_) {
		connected_.emplace();
		for (const Member *member : living()) {
			auto parent = plan_.processes.find(static_cast<pid_t>(member->image->ppid()));
			if (parent != plan_.processes.end() && parent->second->sid() == member->image->sid() &&
			    parent->second->pgid() != member->image->pgid())
				connected_->insert(member->image->pgid());
		}
	}
	return !connected_->contains(group);
}

// From the exit stop of its last call nothing of the program runs before the signal is taken. Which signal stopped it
// shows in the parent's wait; SIGTSTP and its kin do nothing in an orphaned group.
Result<> Tree::stop(Member &member)
{
	int wanted = static_cast<int>(member.image->stop_signal());
	int signal = wanted && !is_orphaned(member.image->pgid()) ? wanted : SIGSTOP;
	::kill(member.pid(), SIGSTOP);
	TRY(member.leader.enter_group_stop(signal, member.leader_image().signal_mask()));
	// They are called to join, and do before anything else; with the last one the parent is told.
	for (ThreadMember &thread : member.threads)
		TRY(thread.tracee.enter_group_stop(signal, thread.image->signal_mask()));
	member.stopped = true;
	auto parent = members_.find(static_cast<pid_t>(member.image->ppid()));
	if (!member.image->stop_reported() || parent == members_.end())
		return {};
	SyscallBatch batch;
	batch.add_optional(SYS_waitid, P_PID, member.pid(), 0, WSTOPPED | WNOHANG, 0);
	return batch.run(parent->second->leader);
}

static constexpr uint64_t kThreadFlags =
	CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;

Result<> Tree::create_threads_of(Member &member)
{
	std::vector<const images::Thread *> wanted;
	for (int i = 1; i < member.image->threads_size(); i++)
		if (is_user(member.image->threads(i)))
			wanted.push_back(&member.image->threads(i));
	if (wanted.empty() || !member.threads.empty())
		return {};
	SyscallBatch batch;
	for (const images::Thread *thread : wanted)
		batch.add(SYS_clone3, clone_blob(batch, kThreadFlags, 0, static_cast<pid_t>(thread->tid())),
			  sizeof(clone_args));
	if (Result<> done = batch.run(member.leader); !done)
		return clone_error(std::move(done).error(), static_cast<pid_t>(wanted[batch.completed()]->tid()));
	for (size_t i = 0; i < wanted.size(); i++) {
		auto tid = static_cast<pid_t>(wanted[i]->tid());
		member.threads.push_back({wanted[i], Tracee(member.pid(), tid, stub_, stub_.thread_slot(i))});
		member.threads.back().tracee.take_registers_of(member.leader);
		TRY(member.threads.back().tracee.wait_first_stop());
	}
	return {};
}

Result<> Tree::create_threads()
{
	for (Member *member : living())
		TRY(create_threads_of(*member));
	return {};
}

// A leader that exits is reported to nobody before its last thread has, so no tracer may hold it: it is detached where
// it enters exit(2). Its children go to one of its threads, which some take for the death of their parent: theirs is
// set later.
Result<> Tree::end_leader(Member &member)
{
	SyscallBatch batch;
	batch.add(SYS_prctl, PR_SET_NAME, batch.text(member.leader_image().comm()));
	add_credentials(batch, member.leader_image().credentials());
	TRY(batch.run(member.leader));
	TRY(member.leader.leave_by_exit(WEXITSTATUS(member.leader_image().exit_status())));
	const ThreadMember &heir = member.threads.front();
	Tracee acting(member.pid(), heir.tracee.tid(), stub_, stub_.main_slot());
	acting.take_registers_of(heir.tracee);
	member.leader = acting;
	member.leader_thread = heir.image;
	member.threads.erase(member.threads.begin());
	return {};
}

Result<> Tree::end_leaders()
{
	for (Member *member : living())
		if (member->leader_image().role() == images::Thread::EXITED_LEADER)
			TRY(end_leader(*member));
	return {};
}

// The last slot is free: the threads of the images are counted, and the leader and io_uring's own need none.
Result<Tracee> Tree::start_helper(pid_t pid)
{
	Member &member = *members_.at(pid);
	clone_args clone = {};
	clone.flags = kThreadFlags | CLONE_PTRACE;
	SyscallBatch create;
	size_t created = create.add(SYS_clone3, create.value(clone), sizeof(clone));
	if (Result<> done = create.run(member.leader); !done)
		return clone_error(std::move(done).error(), pid);
	auto tid = static_cast<pid_t>(create.result(created));
	Tracee helper(pid, tid, stub_, stub_.thread_slot(static_cast<size_t>(member.image->threads_size() - 1)));
	helper.take_registers_of(member.leader);
	TRY(helper.wait_first_stop());
	return helper;
}

Result<> Tree::end_helper(Tracee &helper)
{
	uint64_t status[] = {0};
	TRY(helper.start_call(SYS_exit, status));
	return wait_for_end(helper);
}

Result<> Tree::run_in_helper(pid_t pid, SyscallBatch &batch)
{
	Tracee helper = TRY(start_helper(pid));
	Result<> done = batch.run(helper);
	TRY(end_helper(helper));
	return done;
}

// The status is an exit code or the signal that ended it; its core flag needs a limit of 0, or a core would be written.
Result<> Tree::end_zombie(Member &zombie)
{
	auto status = static_cast<int>(zombie.image->exit_status());
	rlimit none = {};
	SyscallBatch batch;
	batch.add(SYS_prctl, PR_SET_NAME, batch.text(zombie.image->comm()));
	batch.add(SYS_prlimit64, 0, RLIMIT_CORE, batch.value(none), 0);
	TRY(batch.run(zombie.leader));
	if (WIFEXITED(status)) {
		uint64_t code[] = {static_cast<uint64_t>(WEXITSTATUS(status))};
		TRY(zombie.leader.start_call(SYS_exit_group, code));
	} else {
		TRY(zombie.leader.set_signal_mask(0));
		::kill(zombie.pid(), WTERMSIG(status));
		if (WTERMSIG(status) != SIGKILL) // that one asks nobody
			TRY(zombie.leader.resume_for_signal(WTERMSIG(status)));
	}
	return wait_for_end(zombie.leader);
}

Result<> Tree::end_zombies()
{
	for (pid_t pid : order_)
		if (auto it = members_.find(pid); it != members_.end() && it->second->image && it->second->zombie())
			TRY(end_zombie(*it->second));
	return {};
}

// A tracer that dies kills those that have EXITKILL still and lets the others go, so first none is left that has it;
// meanwhile the guard kills. From then on all go, now or by the tracer's death.
Result<> Tree::detach(Guard &guard)
{
	std::vector<Tracee *> tracees;
	for (Member *one : living()) {
		if (!one->stopped && (leave_stopped_ || one->image->state() == images::Process::STOPPED))
			::kill(one->pid(), SIGSTOP);
		for (auto &[image, tracee] : one->all_threads())
			tracees.push_back(tracee);
	}
	for (Tracee *tracee : tracees)
		TRY(tracee->outlive_tracer());
	guard.commit();
	released_ = true;
	Result<> first;
	for (Tracee *tracee : tracees) {
		Result<> done = tracee->detach();
		if (!done && first)
			first = std::move(done);
	}
	return first;
}

} // namespace bpfckpt::restore
