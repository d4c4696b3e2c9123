// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// make bench: how long `dump -R` keeps a process frozen, and takes altogether, for processes with many of one thing;
// CRIU interleaved where there is one. Images are on a tmpfs of our own. Medians, and the range of frozen times: the
// machine may be noisy.
//
//	bench [--rounds N] [NAME...]	only the cases whose names contain one of NAME
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include <fmt/core.h>
#include <unistd.h>

#include "selftests/bench/peer.h"
#include "selftests/scenarios/driver.h"
#include "selftests/scenarios/process.h"

namespace fs = std::filesystem;

namespace bpfckpt::selftests {

namespace {

struct Case {
	const char *name;
	const char *program;
	Args args;
	double target_ms; // frozen time wanted; 0: the page rate is what counts
	unsigned rounds;
	Args dump_args = {};
};

const Case kCases[] = {
	{"tiny", "harness_idle", {}, 1, 15},
	{"1000 threads", "bench/bench_objects", {"threads", "1000"}, 60, 7},
	{"10,000 eventfds", "bench/bench_objects", {"eventfds", "10000"}, 20, 7},
	{"5000 VMAs", "bench/bench_objects", {"vmas", "5000"}, 8, 7},
	{"1000 POSIX timers", "bench/bench_objects", {"timers", "1000"}, 2, 7},
	{"ring: 10,000 polls, 10,000 files", "bench/bench_ring", {"10000"}, 10, 7, {"--forensic"}},
	{"2 GiB touched memory", "bench/bench_objects", {"memory", "2048"}, 0, 5},
};
constexpr double kInspectTargetMs = 80;
constexpr long kRssTargetKb = 100 << 10;
constexpr double kRateTarget = 1.5;

struct Series {
	std::vector<double> values;

	void add(double value) { values.push_back(value); }
	[[nodiscard]] double median() const
	{
		std::vector<double> sorted = values;
		std::ranges::sort(sorted);
		return sorted.empty() ? 0 : sorted[sorted.size() / 2];
	}
	[[nodiscard]] double min() const { return values.empty() ? 0 : std::ranges::min(values); }
	[[nodiscard]] double max() const { return values.empty() ? 0 : std::ranges::max(values); }
};

struct Measured {
	Series frozen_ms, wall_ms, criu_frozen_ms, criu_wall_ms;
	long rss_kb = 0;
	std::string failure, criu_failure;
};

std::string or_dash(double value, const char *unit = "")
{
	return value > 0 ? fmt::format("{:.1f}{}", value, unit) : "-";
}

void dump_once(Scenario &target, const Args &options, const std::string &dir, Measured &measured)
{
	Args args{"dump", "-R", "-t", std::to_string(target.pid()), "-D", dir, "--stats", "json"};
	args.insert(args.end(), options.begin(), options.end());
	auto start = std::chrono::steady_clock::now();
	Output output = bpfckpt(args, milliseconds(120000));
	auto wall = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
	Json stats = Json::parse(output.out.substr(std::min(output.out.size(), output.out.find('{'))), nullptr, false);
	if (output.exit != 0 || !stats.is_object()) {
		measured.failure = fmt::format("exit {}: {}", output.exit, output.err.substr(0, output.err.find('\n')));
		return;
	}
	measured.frozen_ms.add(static_cast<double>(number(stats["frozen_us"])) / 1000);
	measured.wall_ms.add(wall);
	measured.rss_kb = std::max(measured.rss_kb, output.max_rss_kb);
}

void criu_once(Scenario &target, const std::string &criu, const std::string &dir, Measured &measured)
{
	PeerDump dumped = criu_dump(criu, target.pid(), dir);
	if (!dumped.failure.empty()) {
		measured.criu_failure = dumped.failure;
		return;
	}
	measured.criu_frozen_ms.add(dumped.frozen_us / 1000);
	measured.criu_wall_ms.add(dumped.wall_us / 1000);
}

// One round of each warms up; they alternate from then on.
Measured measure(const Case &what, unsigned rounds, const std::string &images, const std::string &criu)
{
	Measured measured;
	Scenario target;
	if (!target.start(what.program, what.args)) {
		measured.failure = "the program did not start " + target.skip_reason();
		return measured;
	}
	for (unsigned i = 0; i <= rounds && measured.failure.empty(); i++) {
		Measured warm_up;
		Measured &into = i == 0 ? warm_up : measured;
		std::string dir = fmt::format("{}/{}", images, i);
		fs::create_directories(dir);
		dump_once(target, what.dump_args, dir, into);
		fs::remove_all(dir);
		if (!criu.empty() && measured.criu_failure.empty()) {
			fs::create_directories(dir);
			criu_once(target, criu, dir, into);
			fs::remove_all(dir);
		}
		if (i == 0)
			measured.failure = warm_up.failure, measured.criu_failure = warm_up.criu_failure;
	}
	if (!target.go(milliseconds(60000)))
		measured.failure = "the target was harmed";
	return measured;
}

void print_row(const Case &what, const Measured &m)
{
	double frozen = m.frozen_ms.median(), criu = m.criu_frozen_ms.median();
	double ratio = frozen > 0 && criu > 0 ? criu / frozen : 0;
	bool met = what.target_ms > 0 ? frozen <= what.target_ms : ratio >= kRateTarget || criu == 0;
	std::string target =
		what.target_ms > 0 ? fmt::format("{:.0f}", what.target_ms) : fmt::format("{}x", kRateTarget);
	std::string range =
		m.frozen_ms.values.empty() ? "" : fmt::format("({:.1f}-{:.1f})", m.frozen_ms.min(), m.frozen_ms.max());
	fmt::print("{:<33} {:>8} {:<17} {:>6} {:<6} {:>8} {:>9} {:>9} {:>7} {:>6}\n", what.name, or_dash(frozen), range,
		   target,
		   !m.failure.empty() ? "failed"
		   : met              ? "met"
				      : "MISSED",
		   or_dash(m.wall_ms.median()), or_dash(criu), or_dash(m.criu_wall_ms.median()), or_dash(ratio, "x"),
		   m.rss_kb >> 10);
	if (!m.failure.empty())
		fmt::print("    bpfckpt: {}\n", m.failure);
	if (!m.criu_failure.empty())
		fmt::print("    CRIU: {}\n", m.criu_failure);
	if (what.target_ms == 0 && frozen > 0)
		fmt::print("    {:.2f} GiB/s frozen, {:.2f} GiB/s by wall time; CRIU {:.2f} and {:.2f}\n",
			   2000 / frozen, 2000 / m.wall_ms.median(), criu > 0 ? 2000 / criu : 0,
			   criu > 0 ? 2000 / m.criu_wall_ms.median() : 0);
	fflush(stdout);
}

void bench_inspect()
{
	Scenario target;
	if (!target.start("harness_idle"))
		return;
	Series wall_ms;
	long rss_kb = 0;
	for (int i = 0; i < 15; i++) {
		auto start = std::chrono::steady_clock::now();
		Output output = bpfckpt({"inspect", "-t", std::to_string(target.pid())});
		wall_ms.add(
			std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
		rss_kb = output.max_rss_kb;
		if (output.exit != 0)
			return fmt::print("inspect: {}\n", output.err);
	}
	fmt::print("\ninspect of a small process: {:.1f} ms wall ({:.1f}-{:.1f}), target {:.0f} ms, {}; RSS {} MiB\n",
		   wall_ms.median(), wall_ms.min(), wall_ms.max(), kInspectTargetMs,
		   wall_ms.median() <= kInspectTargetMs ? "met" : "MISSED", rss_kb >> 10);
}

bool wanted(const Case &what, const Args &names)
{
	return names.empty() ||
	       std::ranges::any_of(names, [&](const std::string &name) { return strstr(what.name, name.c_str()); });
}

void bench_dump(const Args &names, unsigned rounds, const std::string &images)
{
	std::string criu = find_criu();
	fmt::print("Milliseconds, medians; images on tmpfs; {}.\n\n",
		   criu.empty() ? "no criu on PATH" : "interleaved with " + criu);
	fmt::print("{:<33} {:>8} {:<17} {:>6} {:<6} {:>8} {:>9} {:>9} {:>7} {:>6}\n", "target", "frozen", "(range)",
		   "wanted", "", "wall", "CRIU frz", "CRIU wall", "frozen", "MiB");
	long rss_kb = 0;
	for (const Case &what : kCases) {
		if (!wanted(what, names))
			continue;
		Measured measured = measure(what, rounds ? rounds : what.rounds, images, criu);
		rss_kb = std::max(rss_kb, measured.rss_kb);
		print_row(what, measured);
	}
	fmt::print("\nRSS of bpfckpt at most {} MiB, target {} MiB, {}\n", rss_kb >> 10, kRssTargetKb >> 10,
		   rss_kb <= kRssTargetKb ? "met" : "MISSED");
}

bool bench_all(const Args &names, unsigned rounds, const std::string &dir)
{
	// CRIU caches what it finds out about the kernel in /run, if that is a tmpfs.
	Tmpfs images(dir), run("/run");
	if (!images.mounted() || !run.mounted())
		return false;
	bench_dump(names, rounds, dir);
	if (names.empty())
		bench_inspect();
	return true;
}

} // namespace

} // namespace bpfckpt::selftests

int main(int argc, char **argv)
{
	using namespace bpfckpt::selftests;
	testing::InitGoogleTest();
	Args names(argv + 1, argv + argc);
	unsigned rounds = 0;
	if (names.size() > 1 && names[0] == "--rounds") {
		rounds = static_cast<unsigned>(atoi(names[1].c_str()));
		names.erase(names.begin(), names.begin() + 2);
	}
	std::string dir = fs::temp_directory_path() / "bpfckpt-bench.XXXXXX";
	bool measured = mkdtemp(dir.data()) && enter_private_mounts() && bench_all(names, rounds, dir);
	fs::remove(dir);
	if (!measured)
		fmt::print(stderr, "bench: wants root, to mount a tmpfs: {}\n", strerror(errno));
	return measured ? 0 : 1;
}
