/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// The tree under construction: every process and thread a stopped tracee. Until detach() its destructor kills them all;
// if bpfckpt itself is killed the kernel does (PTRACE_O_EXITKILL).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "user/memory/range.h"
#include "user/restore/build.h"
#include "user/restore/plan.h"
#include "user/restore/spare_pids.h"
#include "user/target/batch.h"
#include "user/target/remote.h"
#include "user/util/guard.h"

namespace bpfckpt::restore {

struct ThreadMember {
	const images::Thread *image;
	target::Tracee tracee;
};

// A part of a process's address space that was made before its own turn came: for its children, or by its parent.
struct MappedPart {
	memory::Range range;
	const images::Vma *vma; // of the process's own images
};

struct Member {
	const images::Process *image; // nullptr: a helper
	target::Tracee leader; // acts for the process: its leader, or, once that has exited, a thread that outlives it
	const images::Thread *leader_thread;                   // what `leader` is in the images
	std::vector<ThreadMember> threads;                     // without `leader`
	bool stopped = false;                                  // by job control already
	std::vector<MappedPart> mapped;                        // by address
	std::vector<memory::Range> filled;                     // pages of `mapped` that have their content
	const images::Vdso *other_vdso = nullptr;              // it was dumped on a kernel with this one
	std::map<uint32_t, user_regs_struct> out_of_vdso = {}; // tid -> registers, of those that were inside

	[[nodiscard]] pid_t pid() const { return leader.pid(); }
	[[nodiscard]] const images::Thread &leader_image() const { return *leader_thread; }
	[[nodiscard]] bool zombie() const { return image->state() == images::Process::ZOMBIE; }
	// Leader and threads.
	[[nodiscard]] std::vector<std::pair<const images::Thread *, target::Tracee *>> all_threads();
};

// What fork(2) carries along is put into the creator before, and looked after in the child.
class ForkHooks {
public:
	virtual ~ForkHooks() = default;
	virtual Result<> before_fork(Member &creator, const images::Process &child) = 0;
	// `child` may be a helper or a zombie.
	virtual Result<> after_fork(const Member &creator, Member &child) = 0;
};

class Tree {
public:
	// Detached, the root will outlive bpfckpt, and must not notice the end of its parent: by PR_SET_PDEATHSIG, or
	// as a stopped member of a group that is orphaned by it (SIGHUP, SIGCONT).
	Tree(const Plan &plan, const target::StubLayout &stub, const BuildOptions &options);
	~Tree();
	Tree(const Tree &) = delete;
	Tree &operator=(const Tree &) = delete;

	// Carries out plan.tree: processes, sessions, groups. Each has nothing but the stub and what `hooks` give it.
	Result<> create(ForkHooks &hooks);
	// CLONE_THREAD in every process that has threads, unless they are there because one of them has children.
	Result<> create_threads();
	// Calls of a thread of the process that is there for them only.
	Result<> run_in_helper(pid_t pid, target::SyscallBatch &batch);
	// The same, which exits when it is told to. A process has one at a time.
	Result<target::Tracee> start_helper(pid_t pid);
	static Result<> end_helper(target::Tracee &helper);
	// Those that were zombies end as they had ended. Their parents must not ignore SIGCHLD yet.
	Result<> end_zombies();

	// Leaders that had exited before their threads do so, and leave their part to one of these.
	Result<> end_leaders();

	// Before the root gets its parent death signal, and anything is stopped: it goes to whoever takes in bpfckpt's
	// orphans.
	Result<> orphan_root();
	// A job control stop, with its final registers set; its parent gets SIGCHLD, and the report unless it had seen
	// it.
	Result<> stop(Member &member);

	[[nodiscard]] Member &member(pid_t pid) { return *members_.at(pid); }
	// Zombies left out, parents before children.
	[[nodiscard]] std::vector<Member *> living();

	// Every process that there is, helpers and zombies too.
	[[nodiscard]] const std::vector<pid_t> &pids() const { return order_; }
	// All go on by themselves from now on: all of them, or none if bpfckpt is killed meanwhile.
	Result<> detach(Guard &guard);

private:
	Result<> create_root();
	Result<> create_root_parent();
	Result<> step(const TreeStep &step);
	Result<> fork(const TreeStep &step);
	Result<> end_helper(const TreeStep &step);
	Result<> end_zombie(Member &member);
	Result<> create_threads_of(Member &member);
	Result<target::Tracee *> creating_thread(Member &creator, const images::Process *child);
	Result<> end_leader(Member &member);
	[[nodiscard]] bool is_orphaned(uint32_t group);
	[[nodiscard]] bool stops_in_outer_session() const;
	void kill_all();

	const Plan &plan_;
	target::StubLayout stub_;
	SparePids spare_pids_;
	bool outlive_ = false;
	bool leave_stopped_ = false;
	std::optional<std::set<uint32_t>> connected_; // groups that are not orphaned
	ForkHooks *hooks_ = nullptr;
	std::map<pid_t, std::unique_ptr<Member>> members_;
	std::vector<pid_t> order_; // of creation
	pid_t root_parent_ = 0;    // the helper that created the root; 0: bpfckpt did
	bool was_reaper_ = false;
	bool released_ = false;
};

} // namespace bpfckpt::restore
