// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/target/entry_watch.h"

#include <charconv>
#include <string_view>
#include <thread>

#include <sched.h>

#include "user/util/io.h"

namespace bpfckpt::target {

namespace {

// The way back into a system call takes microseconds. A thread that has run for so long did not sleep in it: what it
// waited for was there.
constexpr uint64_t kPastEntryNs = 10'000'000;
// After that the thread is waiting for a CPU, and should not find us on it.
constexpr auto kYieldFor = std::chrono::microseconds(100);

uint64_t number_at(std::string_view text, size_t at)
{
	uint64_t value = 0;
	std::from_chars(text.data() + at, text.data() + text.size(), value);
	return value;
}

} // namespace

EntryWatch::EntryWatch(pid_t pid, pid_t tid) : pid_(pid), tid_(tid)
{
	(void)read(&before_);
}

bool EntryWatch::read(Counters *counters) const
{
	static constexpr std::string_view kSwitches = "\nvoluntary_ctxt_switches:\t";
	std::string task = fmt::format("/proc/{}/task/{}", pid_, tid_);
	auto status = read_file(task + "/status");
	if (!status)
		return false;
	size_t at = status->find(kSwitches);
	counters->switches = at == status->npos ? 0 : number_at(*status, at + kSwitches.size());
	// Not there without CONFIG_SCHED_INFO.
	counters->run_ns = number_at(read_file(task + "/schedstat").value_or(""), 0);
	return true;
}

bool EntryWatch::has_entered() const
{
	Counters now;
	return !read(&now) || now.switches != before_.switches || now.run_ns > before_.run_ns + kPastEntryNs;
}

bool EntryWatch::wait(std::chrono::nanoseconds within) const
{
	auto start = std::chrono::steady_clock::now();
	while (!has_entered()) {
		auto waited = std::chrono::steady_clock::now() - start;
		if (waited > within)
			return false;
		if (waited < kYieldFor)
			::sched_yield();
		else
			std::this_thread::sleep_for(kYieldFor);
	}
	return true;
}

} // namespace bpfckpt::target
