// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/task.h"

#include <algorithm>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "user/util/io.h"

namespace bpfckpt::restore {

using target::SyscallBatch;

void add_process_attributes(SyscallBatch &batch, const images::Process &process, bool first_of_fs)
{
	batch.add(SYS_prctl, PR_SET_CHILD_SUBREAPER, process.child_subreaper());
	if (!first_of_fs)
		return;
	// Both paths are as seen from bpfckpt's root. A working directory that was deleted is set with the descriptors.
	if (!process.cwd().empty() && !process.cwd_file())
		batch.add(SYS_chdir, batch.text(process.cwd()));
	if (!process.root().empty() && process.root() != "/")
		batch.add(SYS_chroot, batch.text(process.root()));
	batch.add(SYS_umask, process.umask());
}

// Only a task itself can set it; threads that are not there yet inherit it. What is as it shall be needs no privilege,
// nor a kernel with audit.
Result<> restore_login_uid(Member &member)
{
	Result<std::string> own = read_file("/proc/self/loginuid");
	if (!own || !member.image->has_loginuid() || *own == std::to_string(member.image->loginuid()))
		return {};
	std::string text = std::to_string(member.image->loginuid());
	for (auto &[image, tracee] : member.all_threads()) {
		SyscallBatch batch;
		batch.add(SYS_openat, AT_FDCWD, batch.text("/proc/thread-self/loginuid"), O_WRONLY);
		batch.add(SYS_write, 0, batch.text(text), text.size()); // 0: the table is empty
		batch.add(SYS_close, 0);
		Result<> done = batch.run(*tracee);
		if (!done)
			return make_error(done.error().code, "cannot set the login uid to {}", text)
				.on(name_of(*member.image))
				.with_hint("restore in a session of that login, or with CAP_AUDIT_CONTROL")
				.because(std::move(done).error());
	}
	return {};
}

// What a new process has: bpfckpt's own.
static rlimit new_limit(uint32_t resource)
{
	rlimit limit = {};
	getrlimit(static_cast<__rlimit_resource>(resource), &limit);
	return limit;
}

void add_limits(SyscallBatch &batch, const images::Process &process)
{
	for (const images::ResourceLimit &limit : process.limits()) {
		rlimit now = new_limit(limit.resource());
		rlimit wanted = {.rlim_cur = limit.soft(), .rlim_max = limit.hard()};
		if (limit.resource() == RLIMIT_SIGPENDING)
			wanted = {.rlim_cur = std::max(now.rlim_cur, wanted.rlim_cur),
				  .rlim_max = std::max(now.rlim_max, wanted.rlim_max)};
		// What is as it shall be needs no privilege.
		if (now.rlim_cur == wanted.rlim_cur && now.rlim_max == wanted.rlim_max &&
		    limit.resource() != RLIMIT_NOFILE)
			continue;
		batch.add(SYS_prlimit64, 0, limit.resource(), batch.value(wanted), 0);
	}
}

void add_signal_limit(SyscallBatch &batch, const images::Process &process)
{
	for (const images::ResourceLimit &limit : process.limits()) {
		rlimit now = new_limit(limit.resource());
		rlimit wanted = {.rlim_cur = limit.soft(), .rlim_max = limit.hard()};
		if (limit.resource() == RLIMIT_SIGPENDING &&
		    (wanted.rlim_cur < now.rlim_cur || wanted.rlim_max < now.rlim_max))
			batch.add(SYS_prlimit64, 0, limit.resource(), batch.value(wanted), 0);
	}
}

void add_dumpable(SyscallBatch &batch, const images::Process &process)
{
	batch.add(SYS_prctl, PR_SET_DUMPABLE, process.dumpable());
}

void add_file_owners(SyscallBatch &batch, const Plan &plan, const images::Process &process)
{
	for (const images::FdEntry &entry : process.files()) {
		const images::File *file = plan.file(entry.file());
		if (!file)
			continue;
		const images::FileOwner &owner = file->owner();
		if (owner.pid()) {
			f_owner_ex value = {.type = static_cast<__pid_type>(owner.type()),
					    .pid = static_cast<pid_t>(owner.pid())};
			batch.add(SYS_fcntl, entry.fd(), F_SETOWN_EX, batch.value(value));
		}
		if (owner.signal())
			batch.add(SYS_fcntl, entry.fd(), F_SETSIG, owner.signal());
		if (file->flags() & O_ASYNC)
			batch.add(SYS_fcntl, entry.fd(), F_SETFL, file->flags());
	}
}

static Result<> write_setting(const Member &member, const char *name, const std::string &text)
{
	UniqueFd fd = TRY(open_at(AT_FDCWD, fmt::format("/proc/{}/{}", member.leader.tid(), name), O_WRONLY));
	Result<> written = write_all(fd.get(), as_bytes(text));
	if (!written)
		return make_error(written.error().code, "cannot set {} to {}", name, text)
			.on(name_of(*member.image))
			.with_hint("lowering oom_score_adj needs CAP_SYS_RESOURCE")
			.because(std::move(written).error());
	return {};
}

Result<> write_proc_settings(const Member &member)
{
	const images::Process &process = *member.image;
	pid_t tid = member.leader.tid();
	std::string score = TRY(read_file(fmt::format("/proc/{}/oom_score_adj", tid)));
	if (atoi(score.c_str()) != process.oom_score_adj())
		TRY(write_setting(member, "oom_score_adj", std::to_string(process.oom_score_adj())));
	std::string filter = TRY(read_file(fmt::format("/proc/{}/coredump_filter", tid)));
	if (strtoul(filter.c_str(), nullptr, 16) != process.coredump_filter())
		TRY(write_setting(member, "coredump_filter", fmt::format("{:#x}", process.coredump_filter())));
	return {};
}

} // namespace bpfckpt::restore
