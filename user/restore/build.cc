// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/build.h"

#include <chrono>
#include <csignal>
#include <ranges>
#include <set>

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "images/descriptors.h"
#include "user/restore/file.h"
#include "user/restore/file_lock.h"
#include "user/restore/interrupted.h"
#include "user/restore/memory.h"
#include "user/restore/memory_fork.h"
#include "user/restore/ring.h"
#include "user/restore/ring_signalfd.h"
#include "user/restore/signal.h"
#include "user/restore/sysv_shm.h"
#include "user/restore/task.h"
#include "user/restore/thread.h"
#include "user/restore/timer.h"
#include "user/restore/tree.h"
#include "user/target/stub_process.h"
#include "user/util/guard.h"
#include "user/util/io.h"

namespace bpfckpt::restore {

using target::BatchRun;
using target::StubLayout;
using target::SyscallBatch;
using target::Tracee;

namespace {

class Builder {
public:
	Builder(const Plan &plan, const BuildOptions &options, const Log &log, PageImage pages, const StubLayout &stub)
		: plan_(plan),
		  options_(options),
		  log_(log),
		  pages_(std::move(pages)),
		  tree_(plan, stub, options),
		  files_(plan, pages_),
		  rings_(tree_, plan, files_, pages_),
		  locks_(plan)
	{
	}
	Result<BuildStats> run();

private:
	Result<> restore_contents();
	Result<> verify_pages() const;
	Result<> check_time() const;
	Result<> restore_attributes(Member &member);
	Result<> restore_threads(std::span<Member *const> members);
	Result<> restore_stopped();
	Result<> finish(Member &member);
	Result<> finish_thread(const Member &member, Tracee &tracee, const images::Thread &thread);
	Result<user_regs_struct> prepare_registers(const Member &member, Tracee &tracee, const images::Thread &thread);
	[[nodiscard]] int file_of_call(const Member &member, const images::Thread &thread) const;
	[[nodiscard]] Result<> write_pidfile() const;
	Result<> go();

	const Plan &plan_;
	const BuildOptions &options_;
	const Log &log_;
	PageImage pages_;
	Tree tree_;
	OpenFiles files_;
	Rings rings_;
	SysvSegments segments_;
	Locks locks_;
	LentTimeouts lent_;
	BuildStats stats_;
	std::set<uint32_t> fs_; // Process.fs of those that have their root and working directory
};

// Memory, threads, rings, descriptors; then the zombies are ended, while every SIGCHLD still waits. What waits in rings
// comes last: it may begin at once.
Result<> Builder::restore_contents()
{
	for (Member *member : tree_.living()) {
		member->other_vdso = plan_.other_vdso;
		TRY(restore_memory(*member, *plan_.memory_of(*member->image), files_, pages_));
		log_.details("pid {}: memory", member->pid());
	}
	TRY(files_.seal());
	for (Member *member : tree_.living()) {
		TRY(files_.enter_directory(*member));
		TRY(restore_login_uid(*member));
	}
	TRY(tree_.create_threads());
	TRY(files_.open_late(tree_));
	TRY(rings_.restore());
	for (Member *member : tree_.living())
		TRY(files_.install(*member));
	TRY(tree_.end_zombies());
	TRY(tree_.end_leaders());
	return rings_.rearm();
}

Result<> Builder::check_time() const
{
	if (std::chrono::steady_clock::now() > options_.deadline)
		return Error(Code::kTimeout, "the tree was not built within the time limit")
			.with_hint("nothing was left behind; see --timeout");
	return {};
}

Result<> Builder::verify_pages() const
{
	if (options_.pages_digest.empty())
		return {};
	Result<> verified = pages_.verify(options_.pages_digest);
	if (!verified)
		return std::move(verified).error().on(options_.pages_path);
	log_.steps("pages are verified");
	return {};
}

// What a leader does with all of bpfckpt's privileges.
Result<> Builder::restore_attributes(Member &member)
{
	SyscallBatch batch;
	add_tile_permission(batch, *member.image);
	uint32_t fs = member.image->fs();
	add_process_attributes(batch, *member.image, !fs || fs_.insert(fs).second);
	add_signal_actions(batch, *member.image);
	TRY(batch.run(member.leader));
	TRY(write_proc_settings(member));
	auto start = std::chrono::steady_clock::now();
	TRY(restore_timers(member, tree_, plan_.count_timer_ids, log_));
	stats_.timers_ms += std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
	SyscallBatch last;
	add_pending_signals(last, *member.image);
	add_limits(last, *member.image);
	return last.run(member.leader);
}

Result<> Builder::restore_threads(std::span<Member *const> members)
{
	std::vector<SyscallBatch> batches;
	std::vector<BatchRun> runs;
	size_t count = 0;
	for (Member *member : members)
		count += member->threads.size() + 1;
	batches.reserve(count);
	for (Member *member : members) {
		for (auto &[image, tracee] : member->all_threads()) {
			SyscallBatch &batch = batches.emplace_back();
			add_pending_signals(batch, *member->image, *image);
			add_thread_attributes(batch, *image);
			if (tracee == &member->leader)
				add_file_owners(batch, plan_, *member->image);
			if (image->has_scheduling())
				TRY(set_scheduling(tracee->tid(), image->scheduling()));
			runs.push_back({tracee, &batch});
		}
	}
	TRY(target::run_all(runs));
	// A change of credentials by any of its threads clears it (kernel/cred.c: commit_creds()).
	std::vector<SyscallBatch> last(members.size());
	runs.clear();
	for (size_t i = 0; i < members.size(); i++) {
		add_signal_limit(last[i], *members[i]->image);
		add_dumpable(last[i], *members[i]->image);
		runs.push_back({&members[i]->leader, &last[i]});
	}
	return target::run_all(runs);
}

static bool is_stopped(const Member *member)
{
	return member->image->state() == images::Process::STOPPED;
}

// They are finished and stopped first, children before parents: a parent throws the SIGCHLD away with its signal
// actions.
Result<> Builder::restore_stopped()
{
	std::vector<Member *> members = tree_.living();
	for (Member *member : members | std::views::reverse | std::views::filter(is_stopped)) {
		TRY(restore_attributes(*member));
		TRY(restore_threads({&member, 1}));
		TRY(locks_.take(*member));
		TRY(finish(*member));
		TRY(tree_.stop(*member));
	}
	return {};
}

// What the first argument of an interrupted call names; -1: nothing that is open.
int Builder::file_of_call(const Member &member, const images::Thread &thread) const
{
	if (!thread.syscall().timed() || !thread.syscall().args_size())
		return -1;
	uint32_t file = images::file_of(*member.image, thread.syscall().args(0));
	return file ? files_.fd(file) : -1;
}

Result<user_regs_struct> Builder::prepare_registers(const Member &member, Tracee &tracee, const images::Thread &thread)
{
	TRY(prepare_tiles(tracee, thread));
	user_regs_struct regs = TRY(final_registers(tracee, thread, file_of_call(member, thread), lent_));
	auto came_out = member.out_of_vdso.find(thread.tid());
	return came_out == member.out_of_vdso.end() ? regs : came_out->second;
}

Result<> Builder::finish_thread(const Member &member, Tracee &tracee, const images::Thread &thread)
{
	return set_final_state(tracee, thread, TRY(prepare_registers(member, tracee, thread)));
}

// The leader comes last: it takes the stub away from under all of them.
Result<> Builder::finish(Member &member)
{
	for (ThreadMember &thread : member.threads)
		TRY(finish_thread(member, thread.tracee, *thread.image));
	user_regs_struct regs = TRY(prepare_registers(member, member.leader, member.leader_image()));
	TRY(set_signalfd_masks(member, plan_));
	TRY(restore_sigtrap(member.leader, *member.image));
	target::RemoteRange area = member.leader.stub().area();
	uint64_t args[] = {area.address, area.size};
	if (TRY(member.leader.call_to_exit_stop(SYS_munmap, args)))
		return Error(Code::kInternal, "cannot unmap the stub").on(name_of(*member.image));
	return set_final_state(member.leader, member.leader_image(), regs);
}

Result<> Builder::write_pidfile() const
{
	if (options_.pidfile.empty())
		return {};
	UniqueFd fd = TRY(open_at(AT_FDCWD, options_.pidfile, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644));
	std::string text = std::to_string(plan_.root);
	Result<> written = write_all(fd.get(), as_bytes(text));
	if (!written)
		unlink(options_.pidfile.c_str());
	return written;
}

// A kill of bpfckpt leaves either all of it, or nothing.
Result<> Builder::go()
{
	std::unique_ptr<Guard> guard = TRY(Guard::start({
		.prepare = [this] { return write_pidfile(); },
		.undo =
			[this] {
				for (pid_t pid : tree_.pids())
					::kill(pid, SIGKILL);
				segments_.remove();
				if (!options_.pidfile.empty())
					unlink(options_.pidfile.c_str());
			},
		.finish = [this] { lent_.give_back(); },
	}));
	lent_.lend();
	segments_.hand_over();
	Result<> gone = tree_.detach(*guard);
	if (guard->committed())
		segments_.keep();
	TRY(std::move(gone));
	guard->finish();
	return {};
}

Result<BuildStats> Builder::run()
{
	TRY(files_.open());
	TRY(segments_.create(plan_, pages_));
	log_.steps("files are open");
	MemoryForks forks(plan_, files_, pages_);
	TRY(tree_.create(forks));
	log_.steps("processes are created");
	TRY(restore_contents());
	TRY(verify_pages());
	TRY(segments_.mark());
	TRY(check_time());
	log_.steps("memory, files and threads are restored");
	TRY(tree_.orphan_root());
	TRY(restore_stopped());
	std::vector<Member *> others = tree_.living();
	std::erase_if(others, is_stopped);
	for (Member *member : others)
		TRY(restore_attributes(*member));
	TRY(restore_threads(others));
	TRY(rings_.rearm_works()); // closes descriptors, and with them a process's locks
	for (Member *member : others)
		TRY(locks_.take(*member));
	TRY(locks_.take_those_of_rings(files_));
	for (Member *member : others)
		TRY(finish(*member));
	TRY(check_time());
	TRY(go());
	log_.steps("the tree runs");
	return stats_;
}

} // namespace

Result<BuildStats> build(const Plan &plan, const BuildOptions &options, const Log &log)
{
	PageImage pages = TRY(PageImage::open(options.pages_fd, options.pages_size, options.deadline));
	uint64_t hole = TRY(target::find_hole(plan.occupied, StubLayout::size_for(plan.max_threads)));
	return Builder(plan, options, log, std::move(pages), StubLayout(hole, plan.max_threads)).run();
}

} // namespace bpfckpt::restore
