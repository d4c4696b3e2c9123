/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Processes as the tests see them through /proc, and a way to start one that inherits nothing.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace bpfckpt::selftests {

struct ProcessStat {
	pid_t pid = -1;
	pid_t ppid = -1;
	char state = 0;
};

// One field of /proc/PID/status, or "" if there is no such process or field.
std::string status_field(pid_t pid, const std::string &field);
// All processes of this PID namespace.
std::vector<ProcessStat> all_processes();
std::vector<pid_t> threads_of(pid_t pid);
// `root` (0 for none) and its descendants, and every process whose working directory is `dir`.
std::vector<pid_t> family(pid_t root, const std::string &dir);

// In a session that is not ours.
enum class SessionRole {
	kLeader,
	kGroupLeader, // the session's leader is gone
	kMember,      // of the group of a leader that is gone
};

// Forks and execs `command` in `dir` with stdin /dev/null, stdout and stderr the regular file `log`, in another
// session, no signal blocked, and no other descriptor. -1 with errno if it cannot.
pid_t spawn_isolated(const std::vector<std::string> &command, const std::string &dir, const std::string &log,
		     SessionRole role = SessionRole::kLeader);

// How many times as long as usual a deadline is: TEST_PATIENCE, for builds that are slow by nature (make asan).
int patience();

// Polls until `condition` holds or the deadline passes; returns whether it held.
bool eventually(const std::function<bool()> &condition, std::chrono::milliseconds deadline);

// Mounts of this process are from now on seen by it and its children only. False, with errno, if that cannot be.
bool enter_private_mounts();

// A tmpfs on a directory (created if need be) for the time of an object; wants enter_private_mounts().
class Tmpfs {
public:
	explicit Tmpfs(std::string dir, const std::string &options = "");
	~Tmpfs();
	Tmpfs(const Tmpfs &) = delete;
	Tmpfs &operator=(const Tmpfs &) = delete;
	[[nodiscard]] bool mounted() const { return mounted_; }

private:
	std::string dir_;
	bool created_ = false;
	bool mounted_ = false;
};

std::string slurp(const std::string &path);
void touch(const std::string &path);

} // namespace bpfckpt::selftests
