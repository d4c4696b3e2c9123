// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/policy/opener.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>

#include "images/descriptors.h"
#include "user/collect/whole_process.h"

namespace bpfckpt::policy {

static constexpr uint64_t kAsked = collect::kOpenersPrivileges;

bool asks_who_opened(const images::File &file)
{
	static constexpr std::array<std::string_view, 8> kFileSystems = {
		"proc", "sysfs", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "configfs"};
	return file.kind() == "regular" && std::ranges::find(kFileSystems, file.filesystem()) != kFileSystems.end();
}

static bool is_privileged(uint32_t euid, uint64_t effective)
{
	return euid == 0 && (effective & kAsked) == kAsked;
}

// The thread that acts for its process at restore.
static const images::Thread *acting_thread(const images::Process &process)
{
	auto it = std::ranges::find(process.threads(), images::Thread::USER, &images::Thread::role);
	return it == process.threads().end() ? nullptr : &*it;
}

const images::Process *opener_of(const images::Document &document, const images::File &file)
{
	const images::Process *holder = asks_who_opened(file) ? first_holder(document, file.id()) : nullptr;
	const images::Thread *thread = holder ? acting_thread(*holder) : nullptr;
	if (!thread || !thread->has_credentials())
		return nullptr;
	const images::Credentials &own = thread->credentials();
	return is_privileged(own.euid(), own.cap_effective()) ? nullptr : holder;
}

ProcPath proc_path_of(const images::File &file)
{
	constexpr std::string_view kProc = "/proc/";
	std::string_view path = file.path();
	ProcPath parts;
	if (file.filesystem() != "proc" || !path.starts_with(kProc))
		return parts;
	path.remove_prefix(kProc.size());
	const char *end = std::from_chars(path.data(), path.data() + path.size(), parts.pid).ptr;
	parts.rest = path.substr(static_cast<size_t>(end - path.data()));
	return parts;
}

// Until the end the processes that restore builds belong to root, and so do their files: what everybody may open is
// opened, and of other processes what asks nobody for leave to look into them (fs/proc/base.c).
static bool can_be_opened(const images::File &file, const images::Process &opener)
{
	static constexpr std::array<std::string_view, 7> kForAll = {"stat", "status", "statm",    "cmdline",
								    "comm", "cgroup", "oom_score"};
	uint32_t pid = proc_path_of(file).pid;
	uint32_t how = file.flags() & O_ACCMODE;
	std::string_view name = std::string_view(file.path()).substr(file.path().rfind('/') + 1);
	if (!pid)
		return true;
	if (how != O_RDONLY && !(file.mode() & S_IWOTH))
		return false;
	return (how == O_WRONLY || (file.mode() & S_IROTH)) &&
	       (pid == opener.pid() || std::ranges::find(kForAll, name) != kForAll.end());
}

// Groups are compared by the object that holds them, which stays the same until setgroups(2): restore calls that for
// both, so of a restored process that has groups, a second dump is refused.
static bool are_equal(const opener_record &opener, const task_common_record &task)
{
	task_credentials one = opener.credentials;
	task_credentials other = task.credentials;
	one.cred = other.cred = 0;
	if (!one.group_count && !other.group_count)
		one.group_info = other.group_info = 0;
	return memcmp(&one, &other, sizeof(one)) == 0 && opener.user_ns == task.namespaces.user;
}

void refuse_other_openers(const iterators::FileReader &files, const iterators::TaskRecords &records,
			  collect::Context &context)
{
	for (const opener_record &opener : files.openers()) {
		uint32_t id = context.ids.files.find(opener.file);
		auto file = std::ranges::find(context.document->files(), id, &images::File::id);
		if (!id || file == context.document->files().end() || !asks_who_opened(*file))
			continue;
		const images::Process *process = opener_of(*context.document, *file);
		if (!process) {
			if (!is_privileged(opener.credentials.euid, opener.credentials.effective))
				context.refuse(file->path(),
					       fmt::format("was opened by uid {}, and would be opened again with more "
							   "privileges",
							   opener.credentials.euid),
					       "close it before the dump");
			continue;
		}
		uint32_t tid = acting_thread(*process)->tid();
		auto task = std::ranges::find(records.tasks, tid, &task_record::tid);
		std::string object = fmt::format("pid {} ({})", process->pid(), process->comm());
		if (task == records.tasks.end() || !are_equal(opener, records.common_of(*task)))
			context.refuse(
				object,
				fmt::format("{} was opened with other credentials than it has now", file->path()),
				"close it before the dump");
		else if (!can_be_opened(*file, *process))
			context.refuse(
				object,
				fmt::format("{} would be opened again with privileges that it lacks", file->path()),
				"close it before the dump");
	}
}

} // namespace bpfckpt::policy
