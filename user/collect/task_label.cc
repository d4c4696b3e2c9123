// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What a security module that gives processes labels confines a thread to: an AppArmor profile, an SELinux or Smack
// context (security/security.c: security_getprocattr()). A restored tree gets that of bpfckpt: to give it another one
// takes a policy that allows the change, and a tree with less confinement than it had would be worse than one that is
// not dumped.
#include <optional>
#include <string_view>

#include "user/collect/task.h"
#include "user/util/io.h"

namespace bpfckpt::collect {

// Nothing: no module of this kernel has labels, or the thread is gone.
static std::optional<std::string> label_of(const std::string &task)
{
	Result<std::string> label = read_file(fmt::format("/proc/{}/attr/current", task), 64 << 10);
	if (!label)
		return {};
	// AppArmor ends it with a newline, SELinux with a NUL.
	label->erase(label->find_last_not_of(std::string_view("\n\0", 2)) + 1);
	return *label;
}

static void check_thread(const images::Process &process, uint32_t tid, const std::string &comm, const std::string &own,
			 Context &context)
{
	std::string label = label_of(fmt::format("{}/task/{}", process.pid(), tid)).value_or(own);
	if (label != own)
		context.refuse(fmt::format("thread {} ({}) of pid {}", tid, comm, process.pid()),
			       fmt::format("runs under the security label \"{}\", bpfckpt under \"{}\"", label, own),
			       "run bpfckpt under that label, too (aa-exec -p, runcon), or start the program without");
}

void refuse_other_labels(Context &context)
{
	const std::optional<std::string> own = label_of("thread-self");
	if (!own)
		return;
	for (const images::Process &process : context.document->processes()) {
		if (process.state() == images::Process::ZOMBIE)
			continue;
		for (const images::Thread &thread : process.threads())
			if (thread.role() == images::Thread::USER)
				check_thread(process, thread.tid(), thread.comm(), *own, context);
		if (process.threads().empty())
			check_thread(process, process.pid(), process.comm(), *own, context);
	}
}

} // namespace bpfckpt::collect
