// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/cli/check_target.h"

#include <algorithm>

#include "user/cli/check.h"
#include "user/cli/report.h"
#include "user/cli/tree_document.h"
#include "user/target/frozen_tree.h"

namespace bpfckpt::cli {
namespace {

bool is_there(const images::Document &document, pid_t pid)
{
	return std::ranges::any_of(document.processes(), [pid](const images::Process &process) {
		return process.pid() == static_cast<uint32_t>(pid) && process.state() != images::Process::ZOMBIE;
	});
}

Result<Findings> find_obstacles(const CheckTargetOptions &options)
{
	// The same questions as a dump asks first: does it exist, may it be stopped.
	target::FreezeOptions freeze;
	freeze.root = options.pid;
	target::FrozenTree tree = TRY(target::FrozenTree::prepare(std::move(freeze)));
	collect::Snapshot snapshot = TRY(collect::Snapshot::load());
	TRY(snapshot.attach(tree.pids()));
	TRY(snapshot.capture());
	TRY(snapshot.observe_rings());
	snapshot.look_at_names();
	images::Document document;
	collect::Context context;
	context.document = &document;
	context.live = true;
	policy::Options policy = {.tcp_established = options.tcp_established,
				  .leak_ignore_all = options.ignore_leaks,
				  .inexact = options.inexact,
				  .ghost_limit = options.ghost_limit};
	TRY(build_tree_document(snapshot, policy, {}, context));
	if (!is_there(document, options.pid))
		return Error(Code::kGone, "exited meanwhile").on(fmt::format("pid {}", options.pid));
	return std::move(context.findings);
}

} // namespace

int run_check_target(const CheckTargetOptions &options)
{
	Result<Findings> findings = find_obstacles(options);
	if (!findings)
		return report_error(findings.error());
	return report_check_target(options.pid, *findings, {.json = options.json});
}

} // namespace bpfckpt::cli
