// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// make soak: a few programs of the scenarios live side by side, and again and again one of them, at random, checks
// itself, is dumped and runs on, is dumped and restored, or gives way to another. A failure is told with its seed:
// MINUTES=5 SEED=42 gives the same choices again.
#include <array>
#include <chrono>
#include <iostream>
#include <map>
#include <memory>
#include <random>

#include "selftests/scenarios/driver.h"

namespace bpfckpt::selftests {

namespace {

constexpr auto kPrograms = std::to_array<const char *>({
	"harness_idle",        "restore_threads",     "restore_tree",   "file_epoll",           "file_eventfd",
	"file_inotify",        "file_named",          "file_pipe",      "file_shared",          "file_timerfd",
	"file_many",           "memory_private",      "memory_file",    "memory_shared",        "memory_advice",
	"memory_many",         "socket_pair",         "task_tree",      "task_credentials",     "task_scheduling",
	"task_signals",        "syscall_timed_waits", "timer_posix",    "timer_interval",       "syscall_endless_waits",
	"syscall_futex_waits", "uring_rearm",         "uring_provided", "uring_provided_sends", "uring_fixed",
	"file_deleted",        "file_lock",
});
constexpr size_t kAtOnce = 3;

unsigned from_environment(const char *name, unsigned otherwise)
{
	const char *value = getenv(name);
	return value && *value ? static_cast<unsigned>(strtoul(value, nullptr, 10)) : otherwise;
}

class Soak {
public:
	explicit Soak(unsigned seed) : random_(seed)
	{
		for (std::unique_ptr<Live> &live : live_)
			live = start();
	}

	void step()
	{
		std::unique_ptr<Live> &live = live_[below(kAtOnce)];
		unsigned action = below(10);
		std::string what = action < 1 ? "replace" : action < 3 ? "check" : action < 6 ? "dump -R" : "restore";
		SCOPED_TRACE(what + " of " + live->program + " after " + live->history);
		live->history += what + ", ";
		counts_[what]++;
		if (what == "replace")
			live = start();
		else if (what == "dump -R")
			live->scenario.dump({"-R"});
		else if (what == "restore")
			(void)(live->scenario.dump({}).exit == 0 && live->scenario.restore());
		if (!testing::Test::HasFailure() && live->scenario.check_target())
			live->scenario.go(milliseconds(60000));
	}

	[[nodiscard]] std::string summary() const
	{
		std::string text;
		for (const auto &[what, count] : counts_)
			text += std::to_string(count) + " x " + what + ", ";
		return text;
	}

private:
	struct Live {
		std::string program;
		std::string history;
		Scenario scenario;
	};

	unsigned below(size_t limit) { return static_cast<unsigned>(random_() % limit); }

	// Those that want what this kernel lacks are left out.
	std::unique_ptr<Live> start()
	{
		for (int attempt = 0; attempt < 10; attempt++) {
			auto live = std::make_unique<Live>();
			live->program = kPrograms[below(kPrograms.size())];
			if (live->scenario.start(live->program))
				return live;
			EXPECT_FALSE(live->scenario.skip_reason().empty()) << live->program << " did not start";
		}
		throw std::runtime_error("no program starts");
	}

	std::mt19937 random_;
	std::array<std::unique_ptr<Live>, kAtOnce> live_;
	std::map<std::string, int> counts_;
};

} // namespace

TEST(Soak, a_random_mix_is_dumped_and_restored_for_minutes)
{
	unsigned minutes = from_environment("MINUTES", 1);
	unsigned seed = from_environment("SEED", std::random_device()());
	std::cout << "seed " << seed << ", " << minutes << " minutes\n" << std::flush;
	auto end = std::chrono::steady_clock::now() + std::chrono::minutes(minutes);
	Soak soak(seed);
	while (!HasFailure() && std::chrono::steady_clock::now() < end)
		soak.step();
	std::cout << soak.summary() << "seed " << seed << "\n";
	EXPECT_FALSE(HasFailure()) << "again with: make soak MINUTES=" << minutes << " SEED=" << seed;
}

} // namespace bpfckpt::selftests
