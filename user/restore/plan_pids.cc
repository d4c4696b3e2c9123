// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The numbers that a tree wants, and who has them.
#include <algorithm>
#include <chrono>
#include <thread>
#include <unordered_set>

#include <unistd.h>

#include "user/restore/plan.h"
#include "user/target/tree_scan.h"

namespace bpfckpt::restore {

namespace {

using target::TaskStat;
using Clock = std::chrono::steady_clock;

// Children of a tree that was killed end up with init, and some of these look for them once a second only.
constexpr auto kReapedWithin = std::chrono::seconds(2);

struct Conflict {
	pid_t id;
	pid_t holder;
	bool ending; // and gone as soon as its parent waits for it
	Error error;
};

Result<TaskStat> stat_of(pid_t pid)
{
	return target::read_task_stat(fmt::format("/proc/{}/stat", pid));
}

std::string name_of(pid_t pid, const Result<TaskStat> &stat)
{
	return stat ? fmt::format("pid {} ({})", pid, stat->comm) : fmt::format("pid {}", pid);
}

Conflict conflict(pid_t id, const char *use, pid_t holder)
{
	Result<TaskStat> stat = stat_of(holder);
	std::string message = fmt::format("is in use {} {}", use, name_of(holder, stat));
	std::string hint = "end that process, or restore in a new PID namespace (unshare --pid --fork --mount-proc)";
	if (stat && stat->state == 'Z') {
		std::string parent = name_of(stat->ppid, stat_of(stat->ppid));
		message += fmt::format(", which has ended, but {} has not waited for it", parent);
		hint = fmt::format("wait until {} does, or end it; or {}", parent, hint.substr(hint.find("restore")));
	}
	return {id, holder, stat && stat->ending(),
		Error(Code::kMismatch, std::move(message)).on(fmt::format("pid {}", id)).with_hint(std::move(hint))};
}

} // namespace

std::unordered_set<pid_t> wanted_ids(const Plan &plan)
{
	std::unordered_set<pid_t> wanted;
	for (const images::Process &process : plan.document->processes()) {
		wanted.insert(static_cast<pid_t>(process.pid()));
		for (const images::Thread &thread : process.threads())
			if (is_user(thread))
				wanted.insert(static_cast<pid_t>(thread.tid()));
	}
	for (const TreeStep &step : plan.tree)
		if (step.kind == TreeStep::kFork && step.pid > 0)
			wanted.insert(step.pid);
	return wanted;
}

namespace {

// Process or thread.
bool is_task(pid_t id)
{
	return ::getpgid(id) >= 0 || errno != ESRCH;
}

// A number is taken as long as it is a process, a thread, or anybody's group or session (kernel/pid.c: struct pid lives
// on).
std::vector<Conflict> find_conflicts(const std::unordered_set<pid_t> &wanted)
{
	std::vector<Conflict> found;
	for (pid_t pid : wanted)
		if (is_task(pid))
			found.push_back(conflict(pid, "by", pid));
	Result<std::vector<pid_t>> all = target::list_processes();
	for (pid_t pid : all ? *all : std::vector<pid_t>()) {
		std::unordered_set<pid_t> ids = {::getpgid(pid), ::getsid(pid)};
		for (pid_t id : ids)
			if (id != pid && wanted.contains(id) && !is_task(id))
				found.push_back(conflict(id, "as process group or session of", pid));
	}
	return found;
}

} // namespace

Error pid_in_use(pid_t pid)
{
	return conflict(pid, "by", pid).error;
}

void check_pids(const Plan &plan, Findings &findings)
{
	std::unordered_set<pid_t> wanted = wanted_ids(plan);
	std::vector<Conflict> found = find_conflicts(wanted);
	auto end = Clock::now() + kReapedWithin;
	while (!found.empty() && std::ranges::all_of(found, &Conflict::ending) && Clock::now() < end) {
		std::this_thread::sleep_for(std::chrono::milliseconds(10));
		found = find_conflicts(wanted);
	}
	std::ranges::sort(found, {}, [](const Conflict &one) { return std::pair(one.id, one.holder); });
	for (Conflict &one : found)
		findings.push_back(std::move(one.error));
}

} // namespace bpfckpt::restore
