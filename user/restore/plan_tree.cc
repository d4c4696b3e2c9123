// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The order in which processes are forked, so that each ends up with its parent, session and process group.
//
// A session is entered only by fork: a child that is in the session that its parent had before setsid(2) is forked
// before. A leader that is gone is stood for by a helper with its pid, which ends when its members are there: they keep
// its number. Orphans are created where their session is and go to their parent, a reaper, when their creator ends:
// the session's leader if it is a zombie, else a helper that the leader forks.
#include "user/restore/plan.h"

#include <algorithm>
#include <csignal>
#include <map>
#include <optional>
#include <set>

#include <sched.h>

namespace bpfckpt::restore {

namespace {

class TreePlanner {
public:
	TreePlanner(Plan &plan, Findings &findings) : plan_(plan), findings_(findings) {}

	Result<> run();

private:
	using Kids = std::vector<const images::Process *>;

	// The session that a process has to be forked in; nothing: it starts its own and no child of it needs another.
	std::optional<uint32_t> inherits(const images::Process &process, int depth = 0) const;
	void find_spread_sessions();
	void fork(const images::Process &child, uint32_t creator, bool creator_is_helper);
	uint32_t add_nameless_helper(uint32_t parent);
	void visit(const images::Process &process, uint32_t inherited);
	void plan_foreign(const images::Process &parent, uint32_t session, const Kids &kids);
	void plan_groups();
	void plan_group_of(const images::Process &process);
	Result<> check_parent(const images::Process &process);
	void check_shared(uint32_t (images::Process::*table)() const, const char *what);
	bool descends(const images::Process *process, uint32_t ancestor) const;
	const images::Process *find(uint32_t pid) const;
	void refuse(const images::Process &process, std::string message);

	Plan &plan_;
	Findings &findings_;
	std::map<uint32_t, Kids> children_;
	std::map<uint32_t, Kids> adopted_;     // forked below a session leader for its reaper
	std::map<uint32_t, uint32_t> creator_; // of each process; 0: a helper
	std::map<uint32_t, uint32_t> helpers_; // pid -> parent that reaps it
	std::vector<uint32_t> helper_order_;
	std::set<uint32_t> spread_; // sessions of leaders that are gone, with children of several parents in other ones
	uint32_t outer_group_ = 0;
	pid_t nameless_ = 0; // PID of the last helper whose PID does not matter
};

const images::Process *TreePlanner::find(uint32_t pid) const
{
	auto it = plan_.processes.find(static_cast<pid_t>(pid));
	return it == plan_.processes.end() ? nullptr : it->second;
}

void TreePlanner::refuse(const images::Process &process, std::string message)
{
	findings_.push_back(Error(Code::kUnsupported, std::move(message))
				    .on(name_of(process))
				    .with_hint("this shape of a process tree cannot be rebuilt yet"));
}

bool TreePlanner::descends(const images::Process *process, uint32_t ancestor) const
{
	for (size_t steps = 0; process && steps <= plan_.processes.size(); steps++) {
		if (process->pid() == ancestor)
			return true;
		process = find(process->ppid());
	}
	return false;
}

std::optional<uint32_t> TreePlanner::inherits(const images::Process &process, int depth) const
{
	if (process.sid() != process.pid())
		return process.sid();
	auto kids = children_.find(process.pid());
	if (kids == children_.end() || depth > 1000)
		return std::nullopt;
	for (const images::Process *child : kids->second) {
		std::optional<uint32_t> session = inherits(*child, depth + 1);
		if (session && *session != process.sid() && !find(*session)) {
			if (spread_.contains(*session))
				return session;
			continue; // a leader that is gone: its helper is made below `process`
		}
		if (session && *session != process.sid() && !descends(find(*session), process.pid()))
			return session;
	}
	return std::nullopt;
}

// One process stands for a leader that is gone, and only below it are processes born in its session: so parents of such
// children were, too, and left it for a session of their own.
void TreePlanner::find_spread_sessions()
{
	std::map<uint32_t, uint32_t> parents;
	for (const images::Process &process : plan_.document->processes()) {
		const images::Process *parent = find(process.ppid());
		if (!parent || parent->sid() == process.sid() || find(process.sid()))
			continue;
		auto [known, first] = parents.emplace(process.sid(), parent->pid());
		if (!first && known->second != parent->pid())
			spread_.insert(process.sid());
	}
}

void TreePlanner::fork(const images::Process &child, uint32_t creator, bool creator_is_helper)
{
	TreeStep step = {
		.kind = TreeStep::kFork, .pid = static_cast<pid_t>(child.pid()), .other = static_cast<pid_t>(creator)};
	const images::Process *from = creator_is_helper ? nullptr : find(creator);
	if (from && child.fd_table() && child.fd_table() == from->fd_table())
		step.flags |= CLONE_FILES;
	if (from && child.fs() && child.fs() == from->fs())
		step.flags |= CLONE_FS;
	creator_[child.pid()] = from ? creator : 0;
	plan_.tree.push_back(step);
}

uint32_t TreePlanner::add_nameless_helper(uint32_t parent)
{
	auto helper = static_cast<uint32_t>(--nameless_);
	plan_.tree.push_back(
		{.kind = TreeStep::kFork, .pid = nameless_, .other = static_cast<pid_t>(parent), .helper = true});
	helpers_[helper] = parent;
	helper_order_.push_back(helper);
	return helper;
}

// Children of `parent` in a session that it never was in.
void TreePlanner::plan_foreign(const images::Process &parent, uint32_t session, const Kids &kids)
{
	auto pid = static_cast<pid_t>(session);
	auto reaper = static_cast<pid_t>(parent.pid());
	const images::Process *leader = find(session);
	// Only below one of them can the leader be stood for.
	if (auto other = helpers_.find(session); other != helpers_.end()) {
		for (const images::Process *child : kids)
			refuse(*child,
			       fmt::format("is in session {}, whose leader is gone, and so is a child of pid {}",
					   session, other->second));
	} else if (!leader) {
		plan_.tree.push_back({.kind = TreeStep::kReaperOn, .pid = reaper, .other = pid});
		plan_.tree.push_back({.kind = TreeStep::kFork, .pid = pid, .other = reaper, .helper = true});
		plan_.tree.push_back({.kind = TreeStep::kSetsid, .pid = pid});
		helpers_[session] = parent.pid();
		helper_order_.push_back(session);
		for (const images::Process *child : kids)
			fork(*child, session, true);
	} else if (leader->pid() != parent.pid() && descends(leader, parent.pid())) {
		plan_.tree.push_back({.kind = TreeStep::kReaperOn, .pid = reaper, .other = pid});
		Kids &adopted = adopted_[session];
		adopted.insert(adopted.end(), kids.begin(), kids.end());
	} else {
		for (const images::Process *child : kids)
			refuse(*child, fmt::format("is in session {}, which its parent {} never was in", session,
						   parent.pid()));
	}
}

void TreePlanner::visit(const images::Process &process, uint32_t inherited)
{
	bool leads = process.sid() == process.pid();
	Kids before;
	Kids after;
	std::map<uint32_t, Kids> foreign;
	for (const images::Process *child : children_[process.pid()]) {
		uint32_t session = inherits(*child).value_or(process.sid());
		if (session == process.sid())
			after.push_back(child);
		else if (leads && session == inherited)
			before.push_back(child);
		else
			foreign[session].push_back(child);
	}
	for (const images::Process *child : before)
		fork(*child, process.pid(), false);
	if (leads)
		plan_.tree.push_back({.kind = TreeStep::kSetsid, .pid = static_cast<pid_t>(process.pid())});
	for (const auto &[session, kids] : foreign)
		plan_foreign(process, session, kids);
	for (const images::Process *child : after)
		fork(*child, process.pid(), false);
	if (auto adopted = adopted_.find(process.pid()); adopted != adopted_.end()) {
		bool zombie = process.state() == images::Process::ZOMBIE;
		uint32_t creator = zombie ? process.pid() : add_nameless_helper(process.pid());
		for (const images::Process *child : adopted->second) {
			fork(*child, creator, !zombie);
			creator_[child->pid()] = 0;
		}
	}
	for (const images::Process *child : before)
		visit(*child, inherited);
	for (const images::Process *child : after)
		visit(*child, process.sid());
	for (const auto &[session, kids] : foreign)
		for (const images::Process *child : kids)
			visit(*child, session);
}

void TreePlanner::plan_group_of(const images::Process &process)
{
	uint32_t group = process.pgid();
	auto pid = static_cast<pid_t>(process.pid());
	if (group == process.pid() || group == process.sid() || group == outer_group_)
		return;
	if (!find(group) && !helpers_.contains(group)) {
		auto leader = static_cast<pid_t>(group);
		plan_.tree.push_back({.kind = TreeStep::kFork, .pid = leader, .other = pid, .helper = true});
		plan_.tree.push_back({.kind = TreeStep::kSetpgid, .pid = leader, .other = leader});
		helpers_[group] = process.pid();
		helper_order_.push_back(group);
	}
	plan_.tree.push_back({.kind = TreeStep::kSetpgid, .pid = pid, .other = static_cast<pid_t>(group)});
}

void TreePlanner::plan_groups()
{
	for (const images::Process &process : plan_.document->processes())
		if (process.pgid() == process.pid() && process.sid() != process.pid())
			plan_.tree.push_back({.kind = TreeStep::kSetpgid,
					      .pid = static_cast<pid_t>(process.pid()),
					      .other = static_cast<pid_t>(process.pid())});
	for (const images::Process &process : plan_.document->processes())
		plan_group_of(process);
}

// Tables come by fork only: who shares one must have been created by another that shares it, the first one apart.
void TreePlanner::check_shared(uint32_t (images::Process::*table)() const, const char *what)
{
	std::map<uint32_t, uint32_t> founder;
	for (const images::Process &process : plan_.document->processes()) {
		uint32_t id = (process.*table)();
		const images::Process *from = find(creator_[process.pid()]);
		if (!id || (from && (from->*table)() == id))
			continue;
		auto [it, first] = founder.emplace(id, process.pid());
		if (!first)
			refuse(process,
			       fmt::format("shares its {} with pid {}, which is not its parent", what, it->second));
	}
}

// Orphans come to the first thread that is there when all is done, with SIGCHLD; others to the thread that creates
// them.
Result<> TreePlanner::check_parent(const images::Process &process)
{
	const images::Process *parent = find(process.ppid());
	if (!parent)
		return {};
	bool orphan = !creator_[process.pid()];
	if (orphan && process.exit_signal() != SIGCHLD)
		refuse(process,
		       fmt::format("ends with signal {}, and is in session {}, which its parent {} never was in",
				   process.exit_signal(), process.sid(), parent->pid()));
	if (!process.parent_tid())
		return {};
	auto thread = std::ranges::find(parent->threads(), process.parent_tid(), &images::Thread::tid);
	if (thread == parent->threads().end() || !is_user(*thread))
		return make_error(Code::kCorrupt, "is a child of thread {}, which pid {} does not have",
				  process.parent_tid(), parent->pid())
			.on(name_of(process));
	if (orphan && &*std::ranges::find_if(parent->threads(), is_user) != &*thread)
		refuse(process, fmt::format("is a child of thread {} of pid {}, in a session that it never was in",
					    thread->tid(), parent->pid()));
	return {};
}

Result<> TreePlanner::run()
{
	for (const images::Process &process : plan_.document->processes())
		if (static_cast<pid_t>(process.pid()) != plan_.root)
			children_[process.ppid()].push_back(&process);
	const images::Process &root = *find(static_cast<uint32_t>(plan_.root));
	plan_.outer_session = root.sid() != root.pid();
	if (root.pgid() != root.pid() && !find(root.pgid()))
		outer_group_ = root.pgid();
	find_spread_sessions();
	visit(root, plan_.outer_session ? root.sid() : 0);
	plan_groups();
	for (uint32_t helper : helper_order_)
		plan_.tree.push_back({.kind = TreeStep::kExit,
				      .pid = static_cast<pid_t>(helper),
				      .other = static_cast<pid_t>(helpers_[helper])});
	if (creator_.size() + 1 != plan_.processes.size() && findings_.empty())
		return Error(Code::kCorrupt, "not every process descends from the root");
	for (const images::Process &process : plan_.document->processes())
		TRY(check_parent(process));
	check_shared(&images::Process::fd_table, "descriptors");
	check_shared(&images::Process::fs, "working directory");
	return {};
}

} // namespace

Result<> plan_tree(Plan &plan, Findings &findings)
{
	return TreePlanner(plan, findings).run();
}

} // namespace bpfckpt::restore
