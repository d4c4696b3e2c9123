// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/target/tree_scan.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <string_view>

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "user/util/io.h"

namespace bpfckpt::target {

namespace {

// A small file of /proc in one read(2); these are a page at most, or we take what fits.
ssize_t read_small(const char *path, char *buffer, size_t size)
{
	UniqueFd fd(::open(path, O_RDONLY | O_CLOEXEC));
	if (!fd.valid())
		return -1;
	return ::read(fd.get(), buffer, size);
}

template <class T>
T number(std::string_view text, int base = 10)
{
	T value = 0;
	std::from_chars(text.data(), text.data() + text.size(), value, base);
	return value;
}

std::vector<std::string_view> words(std::string_view text)
{
	std::vector<std::string_view> out;
	while (!text.empty()) {
		size_t end = std::min(text.find_first_of(" \n"), text.size());
		if (end)
			out.push_back(text.substr(0, end));
		text.remove_prefix(std::min(end + 1, text.size()));
	}
	return out;
}

struct CloseDir {
	void operator()(DIR *dir) const { ::closedir(dir); }
};

Result<std::vector<pid_t>> numbers_in(const std::string &path)
{
	std::unique_ptr<DIR, CloseDir> dir(::opendir(path.c_str()));
	if (!dir)
		return errno_error(errno, "cannot list").on(path);
	std::vector<pid_t> out;
	while (const dirent *entry = ::readdir(dir.get()))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			out.push_back(number<pid_t>(entry->d_name));
	return out;
}

// /proc/PID/task/TID/children is exact for stopped threads; absent without CONFIG_PROC_CHILDREN.
bool children_by_thread(std::span<const ParentTasks> parents, std::vector<ChildProcess> *out)
{
	for (const ParentTasks &parent : parents) {
		for (pid_t tid : parent.tids) {
			std::string path = fmt::format("/proc/{}/task/{}/children", parent.pid, tid);
			auto text = read_file(path);
			if (!text && ::access("/proc/self/task", F_OK) == 0 && text.error().code == Code::kGone)
				continue;
			if (!text)
				return false;
			for (std::string_view child : words(*text))
				out->push_back({number<pid_t>(child), parent.pid});
		}
	}
	return true;
}

bool have_children_file()
{
	static const bool have = ::access("/proc/thread-self/children", R_OK) == 0;
	return have;
}

} // namespace

Result<TaskStat> read_task_stat(const std::string &path)
{
	char buffer[1024];
	ssize_t length = read_small(path.c_str(), buffer, sizeof(buffer));
	if (length <= 0)
		return make_error(Code::kGone, "no such task").on(path);
	std::string_view text(buffer, static_cast<size_t>(length));
	size_t open = text.find('(');
	size_t close = text.rfind(')');
	if (open == text.npos || close == text.npos || close < open)
		return make_error(Code::kInternal, "cannot parse").on(path);
	auto fields = words(text.substr(close + 1)); // fields[0] is field 3 of proc(5)
	if (fields.size() < 20)
		return make_error(Code::kInternal, "cannot parse").on(path);
	TaskStat stat;
	stat.comm = text.substr(open + 1, close - open - 1);
	stat.state = fields[0][0];
	stat.ppid = number<pid_t>(fields[1]);
	stat.flags = number<uint64_t>(fields[6]);
	stat.num_threads = number<unsigned>(fields[17]);
	stat.start_time = number<uint64_t>(fields[19]);
	// Pending signals of the thread, to which a fatal one is given (kernel/signal.c: complete_signal()).
	stat.killed = fields.size() > 28 && number<uint64_t>(fields[28]) >> (SIGKILL - 1) & 1;
	return stat;
}

Result<TaskStat> read_thread_stat(pid_t pid, pid_t tid)
{
	return read_task_stat(fmt::format("/proc/{}/task/{}/stat", pid, tid));
}

Result<std::vector<pid_t>> list_processes()
{
	return numbers_in("/proc");
}

Result<std::vector<pid_t>> list_threads(pid_t pid)
{
	return numbers_in(fmt::format("/proc/{}/task", pid));
}

Result<std::vector<ChildProcess>> list_children(std::span<const ParentTasks> parents)
{
	std::vector<ChildProcess> out;
	size_t threads = 0;
	for (const ParentTasks &parent : parents)
		threads += parent.tids.size();
	if (have_children_file() && threads < 32 && children_by_thread(parents, &out))
		return out;

	out.clear();
	std::vector<pid_t> sorted;
	for (const ParentTasks &parent : parents)
		sorted.push_back(parent.pid);
	std::sort(sorted.begin(), sorted.end());
	for (pid_t pid : TRY(list_processes())) {
		auto stat = read_task_stat(fmt::format("/proc/{}/stat", pid));
		if (stat && std::binary_search(sorted.begin(), sorted.end(), stat->ppid))
			out.push_back({pid, stat->ppid});
	}
	return out;
}

Result<pid_t> tracer_of(pid_t tid)
{
	std::string status = TRY(read_file(fmt::format("/proc/{}/status", tid)));
	size_t at = status.find("\nTracerPid:\t");
	if (at == status.npos)
		return 0;
	return number<pid_t>(std::string_view(status).substr(at + strlen("\nTracerPid:\t")));
}

bool inside_vfork(pid_t pid, pid_t tid)
{
	char buffer[256];
	ssize_t length = read_small(fmt::format("/proc/{}/task/{}/syscall", pid, tid).c_str(), buffer, sizeof(buffer));
	if (length <= 0)
		return false;
	auto fields =
		words(std::string_view(buffer, static_cast<size_t>(length))); // "running", "-1 sp pc" or nr args sp pc
	if (fields.size() < 9)
		return false;
	auto arg0 = number<uint64_t>(fields[1].substr(2), 16);
	switch (number<long>(fields[0])) {
	case SYS_vfork:
		return true;
	case SYS_clone:
		return arg0 & CLONE_VFORK;
	case SYS_clone3: {
		uint64_t flags = 0;
		iovec local = {&flags, sizeof(flags)};
		iovec remote = {reinterpret_cast<void *>(arg0), sizeof(flags)};
		return ::process_vm_readv(pid, &local, 1, &remote, 1, 0) == sizeof(flags) && (flags & CLONE_VFORK);
	}
	default:
		return false;
	}
}

std::string kernel_stack(pid_t pid, pid_t tid)
{
	std::string text = read_file(fmt::format("/proc/{}/task/{}/stack", pid, tid)).value_or("");
	std::string out;
	for (std::string_view word : words(text))
		if (size_t plus = word.find('+'); plus != word.npos && out.size() < 200)
			out += (out.empty() ? "" : " <- ") + std::string(word.substr(0, plus));
	if (!out.empty())
		return out;
	out = read_file(fmt::format("/proc/{}/task/{}/wchan", pid, tid)).value_or("");
	return out.empty() || out == "0" ? "an unknown place" : out;
}

} // namespace bpfckpt::target
