// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "selftests/scenarios/process.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

namespace fs = std::filesystem;

namespace bpfckpt::selftests {

std::string slurp(const std::string &path)
{
	std::ifstream in(path);
	std::ostringstream text;
	text << in.rdbuf();
	return text.str();
}

void touch(const std::string &path)
{
	std::ofstream out(path);
}

std::string status_field(pid_t pid, const std::string &field)
{
	std::istringstream status(slurp("/proc/" + std::to_string(pid) + "/status"));
	for (std::string line; std::getline(status, line);) {
		if (line.starts_with(field + ":"))
			return line.substr(std::min(line.size(), line.find_first_not_of(" \t", field.size() + 1)));
	}
	return {};
}

// pid (comm) state ppid ...: comm may hold anything, the last ")" ends it.
static ProcessStat parse_stat(const std::string &text)
{
	ProcessStat stat;
	size_t end = text.rfind(')');
	if (end == std::string::npos)
		return stat;
	std::istringstream rest(text.substr(end + 1));
	rest >> stat.state >> stat.ppid;
	stat.pid = atoi(text.c_str());
	return stat;
}

std::vector<ProcessStat> all_processes()
{
	std::vector<ProcessStat> all;
	for (const auto &entry : fs::directory_iterator("/proc")) {
		if (!isdigit(entry.path().filename().c_str()[0]))
			continue;
		ProcessStat stat = parse_stat(slurp(entry.path() / "stat"));
		if (stat.pid > 0)
			all.push_back(stat);
	}
	return all;
}

std::vector<pid_t> threads_of(pid_t pid)
{
	std::vector<pid_t> tids;
	std::error_code gone;
	for (const auto &entry : fs::directory_iterator("/proc/" + std::to_string(pid) + "/task", gone))
		tids.push_back(atoi(entry.path().filename().c_str()));
	return tids;
}

std::vector<pid_t> family(pid_t root, const std::string &dir)
{
	std::vector<pid_t> members;
	if (root > 0)
		members.push_back(root);
	auto known = [&](pid_t pid) { return std::ranges::find(members, pid) != members.end(); };
	std::vector<ProcessStat> all = all_processes();
	for (const ProcessStat &process : all) {
		std::error_code gone;
		if (!known(process.pid) &&
		    fs::read_symlink("/proc/" + std::to_string(process.pid) + "/cwd", gone) == dir)
			members.push_back(process.pid);
	}
	for (size_t before = 0; before != members.size();) {
		before = members.size();
		for (const ProcessStat &process : all) {
			if (!known(process.pid) && known(process.ppid))
				members.push_back(process.pid);
		}
	}
	return members;
}

[[noreturn]] static void become(char *const *argv, const char *dir, const char *log)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, nullptr);
	close(0);
	close(1);
	close(2);
	if (open("/dev/null", O_RDONLY) == 0 && open(log, O_WRONLY | O_CREAT | O_APPEND, 0600) == 1 && dup(1) == 2 &&
	    close_range(3, ~0U, 0) == 0 && chdir(dir) == 0)
		execv(argv[0], argv);
	_exit(127);
}

// Left at once by the session's leader, as by a shell: it comes to us as an orphan then.
static pid_t fork_in_session(SessionRole role)
{
	pid_t started = -1;
	int ends[2];
	if (pipe(ends))
		return -1;
	pid_t leader = fork();
	if (leader == 0) {
		setsid();
		started = fork();
		if (started == 0) {
			if (role == SessionRole::kGroupLeader)
				setpgid(0, 0);
			return 0;
		}
		_exit(write(ends[1], &started, sizeof(started)) != sizeof(started));
	}
	if (leader < 0 || read(ends[0], &started, sizeof(started)) != sizeof(started))
		started = -1;
	close(ends[0]);
	close(ends[1]);
	if (leader > 0)
		waitpid(leader, nullptr, 0);
	return started;
}

pid_t spawn_isolated(const std::vector<std::string> &command, const std::string &dir, const std::string &log,
		     SessionRole role)
{
	std::vector<char *> argv;
	argv.reserve(command.size() + 1);
	for (const std::string &word : command)
		argv.push_back(const_cast<char *>(word.c_str()));
	argv.push_back(nullptr);
	bool leads = role == SessionRole::kLeader;
	pid_t pid = leads ? fork() : fork_in_session(role);
	if (pid == 0 && leads)
		setsid();
	if (pid == 0)
		become(argv.data(), dir.c_str(), log.c_str());
	return pid;
}

int patience()
{
	const char *given = getenv("TEST_PATIENCE");
	return given ? std::max(atoi(given), 1) : 1;
}

bool eventually(const std::function<bool()> &condition, std::chrono::milliseconds deadline)
{
	using std::chrono::milliseconds;
	auto start = std::chrono::steady_clock::now();
	while (!condition()) {
		auto waited = std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - start);
		if (waited > deadline * patience())
			return condition();
		// What is waited for may need the only processor, and a look is not free in emulation.
		std::this_thread::sleep_for(std::clamp(waited / 16, milliseconds(1), milliseconds(20)));
	}
	return true;
}

bool enter_private_mounts()
{
	static const bool entered =
		unshare(CLONE_NEWNS) == 0 && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
	return entered;
}

Tmpfs::Tmpfs(std::string dir, const std::string &options) : dir_(std::move(dir))
{
	std::error_code exists;
	created_ = fs::create_directories(dir_, exists);
	mounted_ = mount("tmpfs", dir_.c_str(), "tmpfs", 0, options.c_str()) == 0;
}

Tmpfs::~Tmpfs()
{
	if (mounted_)
		umount2(dir_.c_str(), MNT_DETACH);
	if (created_)
		rmdir(dir_.c_str());
}

} // namespace bpfckpt::selftests
