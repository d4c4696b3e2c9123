// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// How long freeze (with registers) and thaw take, by the number of threads of an idle process.
#include <chrono>
#include <cstdlib>
#include <thread>
#include <vector>

#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

#include <benchmark/benchmark.h>

#include "user/target/frozen_tree.h"

namespace bpfckpt::target {

namespace {

// A child with so many threads, all asleep.
pid_t start_threads(int64_t threads)
{
	int ready[2];
	if (::pipe(ready) < 0)
		std::abort();
	pid_t pid = ::fork();
	if (pid == 0) {
		std::vector<std::thread> all;
		for (int64_t i = 1; i < threads; i++)
			all.emplace_back([] { ::pause(); });
		(void)!::write(ready[1], "", 1);
		::pause();
		::_exit(0);
	}
	char byte;
	(void)!::read(ready[0], &byte, 1);
	::close(ready[0]);
	::close(ready[1]);
	return pid;
}

void freeze_and_thaw(benchmark::State &state)
{
	pid_t pid = start_threads(state.range(0));
	double thaw = 0;
	for ([[maybe_unused]] auto _ : state) {
		FreezeOptions options;
		options.root = pid;
		auto tree = FrozenTree::prepare(std::move(options));
		if (!tree || !tree->freeze() || !tree->thaw()) {
			state.SkipWithError("cannot freeze");
			break;
		}
		state.SetIterationTime(std::chrono::duration<double>(tree->stats().freeze).count());
		thaw += std::chrono::duration<double>(tree->stats().thaw).count();
	}
	state.counters["thaw_ms"] = benchmark::Counter(thaw * 1000, benchmark::Counter::kAvgIterations);
	::kill(pid, SIGKILL);
	::waitpid(pid, nullptr, 0);
}

} // namespace

BENCHMARK(freeze_and_thaw)->Arg(1)->Arg(10)->Arg(1000)->UseManualTime()->Unit(benchmark::kMillisecond)->MinTime(0.05);

} // namespace bpfckpt::target
