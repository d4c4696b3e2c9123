// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "selftests/bench/peer.h"

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <sstream>

#include <unistd.h>

#include "selftests/scenarios/driver.h"
#include "selftests/scenarios/process.h"

namespace bpfckpt::selftests {

std::string find_criu()
{
	if (const char *given = getenv("CRIU"))
		return given;
	const char *directories = getenv("PATH");
	std::istringstream path(directories ? directories : "");
	for (std::string dir; std::getline(path, dir, ':');) {
		std::string criu = dir + "/criu";
		if (access(criu.c_str(), X_OK) == 0)
			return criu;
	}
	return {};
}

// A varint of protobuf's wire format; moves `at` behind it.
static uint64_t varint(const std::string &bytes, size_t &at)
{
	uint64_t value = 0;
	for (unsigned shift = 0; at < bytes.size() && shift < 64; shift += 7) {
		auto byte = static_cast<unsigned char>(bytes[at++]);
		value |= static_cast<uint64_t>(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			break;
	}
	return value;
}

// stats-dump: two magic words and a size, then StatsEntry{dump = 1: DumpStatsEntry{frozen_time = 2}}; all fields before
// it are varints.
static double frozen_us_of(const std::string &stats)
{
	size_t at = 12;
	if (stats.size() < at || varint(stats, at) != (1 << 3 | 2))
		return 0;
	varint(stats, at);
	while (at < stats.size()) {
		uint64_t key = varint(stats, at), value = varint(stats, at);
		if (key == 2 << 3)
			return static_cast<double>(value);
	}
	return 0;
}

// The first error in a log but one: CRIU gets over it that it may not raise a limit on this machine.
static std::string failure_of(const Output &output, const std::string &log_file)
{
	std::istringstream lines(slurp(log_file));
	for (std::string line; std::getline(lines, line);) {
		if (line.find("rlimit") == std::string::npos)
			return line;
	}
	return "exit " + std::to_string(output.exit);
}

PeerDump criu_dump(const std::string &criu, pid_t pid, const std::string &dir, bool leave_running)
{
	Args command{criu, "dump", "-t", std::to_string(pid), "-D", dir, "-o", "dump.log", "-v1"};
	if (leave_running)
		command.emplace_back("-R");
	auto start = std::chrono::steady_clock::now();
	Output output = run_command(command, milliseconds(120000));
	PeerDump result;
	result.wall_us = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
	if (output.exit == 0)
		result.frozen_us = frozen_us_of(slurp(dir + "/stats-dump"));
	else
		result.failure = failure_of(output, dir + "/dump.log");
	return result;
}

PeerRestore criu_restore(const std::string &criu, const std::string &dir)
{
	auto start = std::chrono::steady_clock::now();
	Output output =
		run_command({criu, "restore", "-d", "-D", dir, "-o", "restore.log", "-v1"}, milliseconds(120000));
	PeerRestore result;
	result.wall_us = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
	if (output.exit != 0)
		result.failure = failure_of(output, dir + "/restore.log");
	return result;
}

} // namespace bpfckpt::selftests
