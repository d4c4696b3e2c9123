/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Beside: work for another CPU while the caller goes on. Between two threads of the same urgency a busy machine would
// leave both on one CPU: the kernel does not move a thread that runs a BPF program (migrate_disable()).
#pragma once

#include <functional>
#include <system_error>
#include <thread>

#include <pthread.h>
#include <sched.h>

#include "user/util/memory_suffices.h"

namespace bpfckpt {

class Beside {
public:
	using Work = std::function<Result<>()>;

	// `at_once`: in a thread; otherwise, and where none is to be had, join() does it.
	Beside(Work work, bool at_once) : work_(std::move(work))
	{
		if (!at_once)
			return;
		try {
			thread_ = std::jthread([this] { outcome_ = if_memory_suffices(work_); });
			leave_cpu(thread_.native_handle(), sched_getcpu());
		} catch (const std::system_error &) {
			return;
		}
	}
	Beside(const Beside &) = delete;
	Beside &operator=(const Beside &) = delete;

	// Once.
	Result<> join()
	{
		if (!thread_.joinable())
			return work_();
		thread_.join();
		return std::move(outcome_);
	}

private:
	// Nothing changes where it is the only one allowed.
	static void leave_cpu(pthread_t thread, int cpu)
	{
		cpu_set_t allowed;
		if (cpu < 0 || cpu >= CPU_SETSIZE || pthread_getaffinity_np(thread, sizeof(allowed), &allowed))
			return;
		CPU_CLR(cpu, &allowed);
		pthread_setaffinity_np(thread, sizeof(allowed), &allowed);
	}

	Work work_;
	Result<> outcome_;
	std::jthread thread_; // last: it ends before what it uses
};

} // namespace bpfckpt
