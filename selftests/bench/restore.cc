// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// How long `bpfckpt restore -d` takes, from its start to its exit, when the tree runs. A process is dumped once, and
// restored and ended in every round; CRIU does the same in turns with us, with a process of its own. The last round
// checks the restored process from inside.
#include "selftests/bench/series.h"

#include <algorithm>
#include <csignal>
#include <filesystem>

#include <fmt/core.h>
#include <sys/wait.h>

#include "selftests/bench/peer.h"
#include "selftests/scenarios/process.h"

namespace fs = std::filesystem;

namespace bpfckpt::selftests {

namespace {

const Case kCases[] = {
	{"restore: tiny", "harness_idle", {}, 10, 15},
	{"restore: 1000 threads", "bench/bench_objects", {"threads", "1000"}, 80, 9},
	{"restore: 10,000 eventfds", "bench/bench_objects", {"eventfds", "10000"}, 40, 9},
	{"restore: ring, 10,000 fixed files", "bench/bench_ring", {"10000", "idle"}, 60, 9},
	{"restore: ring, 10,000 polls, 10,000 files, 1,000 buffers", "bench/bench_ring", {"10000"}, 60, 9},
	{"restore: 5000 VMAs", "bench/bench_objects", {"vmas", "5000"}, 30, 9},
	{"restore: 1000 POSIX timers", "bench/bench_objects", {"timers", "1000"}, 10, 9, {}, true},
	{"restore: 2 GiB touched memory", "bench/bench_objects", {"memory", "2048"}, 0, 5},
};
constexpr double kRateTarget = 1.3;

// One program, dumped, and its restored copies.
class Subject {
public:
	Subject(const Case &what, std::string dir) : what_(what), dir_(std::move(dir)) {}
	~Subject() { fs::remove_all(dir_); }
	Subject(const Subject &) = delete;
	Subject &operator=(const Subject &) = delete;

	bool start()
	{
		fs::create_directories(dir_);
		return program_.start(what_.program, what_.args);
	}
	[[nodiscard]] pid_t pid() const { return program_.pid(); }
	[[nodiscard]] const std::string &dir() const { return dir_; }
	// Its parent is this process: bpfckpt and CRIU have ended, and we are a subreaper.
	void end() const
	{
		kill(pid(), SIGKILL);
		eventually([&] { return waitpid(pid(), nullptr, WNOHANG) != 0 && kill(pid(), 0) < 0; }, kDeadline);
	}
	bool works() { return program_.go(milliseconds(60000)); }

private:
	const Case &what_;
	std::string dir_;
	Scenario program_;
};

struct Measured {
	Series wall_ms, timers_ms, criu_ms;
	long rss_kb = 0;
	std::string failure, criu_failure;
};

std::string first_line(const std::string &text)
{
	return text.substr(0, text.find('\n'));
}

bool prepare(Subject &subject, Measured &measured)
{
	if (!subject.start()) {
		measured.failure = "the program did not start";
		return false;
	}
	Output dumped =
		bpfckpt({"dump", "-t", std::to_string(subject.pid()), "-D", subject.dir()}, milliseconds(120000));
	if (dumped.exit != 0)
		measured.failure = fmt::format("dump: exit {}: {}", dumped.exit, first_line(dumped.err));
	subject.end();
	return dumped.exit == 0;
}

void restore_once(const Subject &subject, Measured &measured)
{
	auto start = std::chrono::steady_clock::now();
	Output output = bpfckpt({"restore", "-d", "-D", subject.dir(), "--stats", "json"}, milliseconds(120000));
	double wall = milliseconds_since(start);
	Json stats = Json::parse(output.out, nullptr, false);
	if (output.exit != 0 || !stats.is_object()) {
		measured.failure = fmt::format("exit {}: {}", output.exit, first_line(output.err));
		return;
	}
	measured.wall_ms.add(wall);
	measured.timers_ms.add(stats.at("timers_ms").get<double>());
	measured.rss_kb = std::max(measured.rss_kb, output.max_rss_kb);
}

void prepare_criu(Subject &subject, const std::string &criu, Measured &measured)
{
	if (!subject.start())
		measured.criu_failure = "the program did not start";
	else
		measured.criu_failure = criu_dump(criu, subject.pid(), subject.dir(), false).failure;
	subject.end();
}

void criu_once(const Subject &subject, const std::string &criu, Measured &measured)
{
	PeerRestore restored = criu_restore(criu, subject.dir());
	measured.criu_failure = restored.failure;
	if (restored.failure.empty())
		measured.criu_ms.add(restored.wall_us / 1000);
}

// The first round of each warms up.
Measured measure(const Case &what, unsigned rounds, const BenchOptions &options)
{
	Measured measured;
	Subject ours(what, options.images + "/ours"), theirs(what, options.images + "/theirs");
	if (!prepare(ours, measured))
		return measured;
	if (!options.criu.empty())
		prepare_criu(theirs, options.criu, measured);
	for (unsigned i = 0; i <= rounds && measured.failure.empty(); i++) {
		Measured warm_up;
		Measured &into = i == 0 ? warm_up : measured;
		restore_once(ours, into);
		if (i == rounds && measured.failure.empty() && !ours.works())
			measured.failure = "the restored process does not work";
		ours.end();
		if (!options.criu.empty() && measured.criu_failure.empty()) {
			criu_once(theirs, options.criu, into);
			theirs.end();
		}
		if (i == 0)
			measured.failure = warm_up.failure, measured.criu_failure = warm_up.criu_failure;
	}
	return measured;
}

void print_row(const Case &what, const Measured &m, bool with_criu, std::vector<Verdict> &verdicts)
{
	double wall = m.wall_ms.median(), criu = m.criu_ms.median();
	double ratio = wall > 0 && criu > 0 ? criu / wall : 0;
	double counts = what.timers_only ? m.timers_ms.median() : wall;
	bool met = m.failure.empty() && (what.target_ms > 0 ? counts <= what.target_ms : ratio >= kRateTarget);
	std::string wanted =
		what.target_ms > 0 ? fmt::format("{:.0f}", what.target_ms) : fmt::format("{}x", kRateTarget);
	bool comparable = what.target_ms > 0 || ratio > 0 || !m.failure.empty();
	fmt::print("{:<33} {:>8} {:<17} {:>6} {:<6} {:>9} {:>7} {:>6}\n", what.name, or_dash(wall), m.wall_ms.range(),
		   wanted,
		   !m.failure.empty() ? "failed"
		   : !comparable      ? "-"
		   : met              ? "met"
				      : "MISSED",
		   or_dash(criu), or_dash(ratio, "x"), m.rss_kb >> 10);
	if (what.timers_only)
		fmt::print("    {:.1f} ms {} of it for the timers\n", counts, m.timers_ms.range());
	if (what.target_ms == 0 && wall > 0)
		fmt::print("    {:.2f} GiB/s, CRIU {:.2f}\n", 2000 / wall, criu > 0 ? 2000 / criu : 0);
	if (!m.failure.empty())
		fmt::print("    bpfckpt: {}\n", m.failure);
	if (!m.criu_failure.empty() && with_criu)
		fmt::print("    CRIU: {}\n", m.criu_failure);
	fflush(stdout);
	if (comparable)
		verdicts.push_back({what.name,
				    what.target_ms > 0 ? fmt::format("{:.1f} ms", counts)
						       : fmt::format("{:.2f}x CRIU's rate", ratio),
				    what.target_ms > 0 ? fmt::format("<= {:.0f} ms", what.target_ms)
						       : fmt::format(">= {}x", kRateTarget),
				    met});
}

} // namespace

Args restore_rows()
{
	Args rows;
	for (const Case &what : kCases)
		rows.emplace_back(what.name);
	return rows;
}

void bench_restore(const BenchOptions &options, const Args &all_rows, std::vector<Verdict> &verdicts)
{
	bool first = true;
	for (const Case &what : kCases) {
		if (!options.wants(what.name, all_rows))
			continue;
		if (std::exchange(first, false))
			fmt::print("\n{:<33} {:>8} {:<17} {:>6} {:<6} {:>9} {:>7} {:>6}\n", "target", "wall", "(range)",
				   "wanted", "", "CRIU wall", "wall", "MiB");
		print_row(what, measure(what, options.rounds ? options.rounds : what.rounds, options),
			  !options.criu.empty(), verdicts);
	}
}

} // namespace bpfckpt::selftests
