// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// How long freeze (with registers) and thaw take, for processes of 1 and of 1000 threads.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

#include "user/target/frozen_tree.h"

using namespace bpfckpt;

static pid_t start(int threads)
{
	int ready[2];
	if (::pipe(ready) < 0)
		std::exit(1);
	pid_t pid = ::fork();
	if (pid == 0) {
		std::vector<std::thread> all;
		for (int i = 1; i < threads; i++)
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

static double ms(std::chrono::nanoseconds time)
{
	return std::chrono::duration<double, std::milli>(time).count();
}

static void measure(int threads, int rounds)
{
	pid_t pid = start(threads);
	std::vector<double> freeze, thaw;
	for (int i = 0; i < rounds; i++) {
		target::FreezeOptions options;
		options.root = pid;
		auto tree = target::FrozenTree::prepare(std::move(options));
		if (!tree || !tree->freeze() || !tree->thaw()) {
			std::fprintf(stderr, "cannot freeze pid %d\n", pid);
			break;
		}
		freeze.push_back(ms(tree->stats().freeze));
		thaw.push_back(ms(tree->stats().thaw));
	}
	::kill(pid, SIGKILL);
	::waitpid(pid, nullptr, 0);
	if (freeze.empty())
		return;
	std::sort(freeze.begin(), freeze.end());
	std::sort(thaw.begin(), thaw.end());
	std::printf("%5d threads: freeze and registers %.3f ms (best %.3f), thaw %.3f ms (best %.3f), medians of %zu\n", threads,
		    freeze[freeze.size() / 2], freeze[0], thaw[thaw.size() / 2], thaw[0], freeze.size());
}

int main()
{
	measure(1, 50);
	measure(10, 50);
	measure(1000, 15);
	return 0;
}
