/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// A child process of a unit test, and the counters that both see.
#pragma once

#include <atomic>
#include <csignal>
#include <functional>
#include <thread>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftests/scenarios/process.h"
#include "user/target/tree_scan.h"

namespace bpfckpt::selftests {

using namespace std::chrono_literals;

struct Shared {
	std::atomic<bool> ready, stop;
	std::atomic<int64_t> rounds, errors, handled;
};

inline bool eventually(const std::function<bool()> &condition)
{
	return eventually(condition, 5s);
}

// Killed with its process group at the end, or when the test dies.
class Child {
public:
	explicit Child(const std::function<void(Shared &)> &run)
	{
		void *page = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		shared_ = new (page) Shared{};
		pid_ = ::fork();
		if (pid_ == 0) {
			::prctl(PR_SET_PDEATHSIG, SIGKILL);
			::setpgid(0, 0);
			run(*shared_);
			::_exit(0);
		}
		::setpgid(pid_, pid_);
	}
	~Child()
	{
		::kill(-pid_, SIGKILL);
		::waitpid(pid_, nullptr, 0);
		::munmap(shared_, sizeof(Shared));
	}
	Child(const Child &) = delete;
	Child &operator=(const Child &) = delete;

	[[nodiscard]] pid_t pid() const { return pid_; }
	[[nodiscard]] Shared *operator->() const { return shared_; }
	[[nodiscard]] char state() const
	{
		auto stat = target::read_task_stat(fmt::format("/proc/{}/stat", pid_));
		return stat ? stat->state : '?';
	}
	[[nodiscard]] bool asleep() const
	{
		return eventually([this] { return shared_->ready && state() == 'S'; });
	}

private:
	Shared *shared_;
	pid_t pid_;
};

} // namespace bpfckpt::selftests

#define ASSERT_OK(result)                                                                                      \
	do {                                                                                                   \
		const auto &result_ = (result);                                                                \
		ASSERT_TRUE(result_.has_value()) << result_.error().object << ": " << result_.error().message; \
	} while (0)
