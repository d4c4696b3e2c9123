// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// make bench: how long `dump -R` keeps a process frozen, and takes altogether, for processes with many of one thing;
// CRIU interleaved where there is one. Images are on a tmpfs of our own. Medians, and the range of frozen times: the
// machine may be noisy. Then the same for `restore` (restore.cc), and at the end every target with its verdict.
//
//	bench [--rounds N] [NAME...]	only the rows of these names, or whose names contain one
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <span>

#include <fmt/core.h>
#include <unistd.h>

#include "selftests/bench/peer.h"
#include "selftests/bench/series.h"
#include "selftests/scenarios/driver.h"
#include "selftests/scenarios/process.h"

namespace fs = std::filesystem;

namespace bpfckpt::selftests {

namespace {

const Case kCases[] = {
	{"tiny", "harness_idle", {}, 1, 15},
	{"1000 threads", "bench/bench_objects", {"threads", "1000"}, 60, 7},
	{"10,000 eventfds", "bench/bench_objects", {"eventfds", "10000"}, 20, 7},
	{"5000 VMAs", "bench/bench_objects", {"vmas", "5000"}, 8, 7},
	{"1000 POSIX timers", "bench/bench_objects", {"timers", "1000"}, 2, 7},
	{"ring: 10,000 polls, 10,000 files, 1,000 buffers", "bench/bench_ring", {"10000"}, 10, 7},
	// The time that it drains is in it.
	{"8 rings, 128 disk requests in each", "uring_load", {"direct"}, 1000, 7},
	{"2 GiB touched memory", "bench/bench_objects", {"memory", "2048"}, 0, 5},
};
const Case kInspectCases[] = {
	{"inspect of a small process", "harness_idle", {}, 80, 15},
	{"inspect of 100 rings", "bench/bench_ring", {"100", "rings"}, 150, 15},
};
constexpr long kRssTargetKb = 100 << 10;
constexpr double kRateTarget = 1.5;

struct Measured {
	Series frozen_ms, wall_ms, criu_frozen_ms, criu_wall_ms;
	long rss_kb = 0;
	std::string failure, criu_failure;
};

void dump_once(Scenario &target, const Args &options, const std::string &dir, Measured &measured)
{
	Args args{"dump", "-R", "-t", std::to_string(target.pid()), "-D", dir, "--stats", "json"};
	args.insert(args.end(), options.begin(), options.end());
	auto start = std::chrono::steady_clock::now();
	Output output = bpfckpt(args, milliseconds(120000));
	double wall = milliseconds_since(start);
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
	// It stops busy workers, whose requests fail then, before it refuses their ring.
	bool with_criu = !criu.empty() && std::string_view(what.program) != "uring_load";
	for (unsigned i = 0; i <= rounds && measured.failure.empty(); i++) {
		Measured warm_up;
		Measured &into = i == 0 ? warm_up : measured;
		std::string dir = fmt::format("{}/{}", images, i);
		fs::create_directories(dir);
		dump_once(target, what.dump_args, dir, into);
		fs::remove_all(dir);
		if (with_criu && measured.criu_failure.empty()) {
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

void print_row(const Case &what, const Measured &m, std::vector<Verdict> &verdicts)
{
	double frozen = m.frozen_ms.median(), criu = m.criu_frozen_ms.median();
	double ratio = frozen > 0 && criu > 0 ? criu / frozen : 0;
	bool met = what.target_ms > 0 ? frozen <= what.target_ms : ratio >= kRateTarget || criu == 0;
	std::string target =
		what.target_ms > 0 ? fmt::format("{:.0f}", what.target_ms) : fmt::format("{}x", kRateTarget);
	fmt::print("{:<33} {:>8} {:<17} {:>6} {:<6} {:>8} {:>9} {:>9} {:>7} {:>6}\n", what.name, or_dash(frozen),
		   m.frozen_ms.range(), target,
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
	if (what.target_ms > 0 || criu > 0)
		verdicts.push_back({what.name,
				    what.target_ms > 0 ? fmt::format("{:.1f} ms frozen", frozen)
						       : fmt::format("{:.2f}x CRIU's rate", ratio),
				    what.target_ms > 0 ? fmt::format("<= {:.0f} ms", what.target_ms)
						       : fmt::format(">= {}x", kRateTarget),
				    met && m.failure.empty()});
}

void bench_inspect(const Case &what, std::vector<Verdict> &verdicts)
{
	Scenario target;
	if (!target.start(what.program, what.args))
		return;
	Series wall_ms;
	long rss_kb = 0;
	for (unsigned i = 0; i < what.rounds; i++) {
		auto start = std::chrono::steady_clock::now();
		Output output = bpfckpt({"inspect", "-t", std::to_string(target.pid())});
		wall_ms.add(milliseconds_since(start));
		rss_kb = output.max_rss_kb;
		if (output.exit != 0)
			return fmt::print("{}: {}\n", what.name, output.err);
	}
	fmt::print("\n{}: {:.1f} ms wall {}; RSS {} MiB\n", what.name, wall_ms.median(), wall_ms.range(), rss_kb >> 10);
	verdicts.push_back({what.name, fmt::format("{:.1f} ms wall", wall_ms.median()),
			    fmt::format("<= {:.0f} ms", what.target_ms), wall_ms.median() <= what.target_ms});
}

void bench_dump(const BenchOptions &options, const Args &all_rows, std::vector<Verdict> &verdicts)
{
	long rss_kb = 0;
	bool first = true;
	for (const Case &what : kCases) {
		if (!options.wants(what.name, all_rows))
			continue;
		if (std::exchange(first, false))
			fmt::print("{:<33} {:>8} {:<17} {:>6} {:<6} {:>8} {:>9} {:>9} {:>7} {:>6}\n", "target",
				   "frozen", "(range)", "wanted", "", "wall", "CRIU frz", "CRIU wall", "frozen", "MiB");
		Measured measured =
			measure(what, options.rounds ? options.rounds : what.rounds, options.images, options.criu);
		rss_kb = std::max(rss_kb, measured.rss_kb);
		print_row(what, measured, verdicts);
	}
	if (rss_kb)
		verdicts.push_back({"RSS of dump", fmt::format("{} MiB", rss_kb >> 10),
				    fmt::format("<= {} MiB", kRssTargetKb >> 10), rss_kb <= kRssTargetKb});
}

void print_verdicts(const std::vector<Verdict> &verdicts)
{
	fmt::print("\n");
	for (const Verdict &verdict : verdicts)
		fmt::print("{:<33} {:>20}  wanted {:<10} {}\n", verdict.row, verdict.measured, verdict.wanted,
			   verdict.met ? "met" : "MISSED");
}

bool bench_all(BenchOptions options)
{
	// CRIU caches what it finds out about the kernel in /run, if that is a tmpfs.
	Tmpfs images(options.images), run("/run");
	if (!images.mounted() || !run.mounted())
		return false;
	options.criu = find_criu();
	Args all_rows = restore_rows();
	for (std::span<const Case> cases : {std::span<const Case>(kCases), std::span<const Case>(kInspectCases)})
		for (const Case &what : cases)
			all_rows.emplace_back(what.name);
	fmt::print("Milliseconds, medians; images on tmpfs; {}.\n\n",
		   options.criu.empty() ? "no criu on PATH" : "interleaved with " + options.criu);
	std::vector<Verdict> verdicts;
	bench_dump(options, all_rows, verdicts);
	bench_restore(options, all_rows, verdicts);
	for (const Case &what : kInspectCases)
		if (options.wants(what.name, all_rows))
			bench_inspect(what, verdicts);
	print_verdicts(verdicts);
	return true;
}

} // namespace

} // namespace bpfckpt::selftests

// NOLINTNEXTLINE(bugprone-exception-escape): it ends with what was thrown
int main(int argc, char **argv)
{
	using namespace bpfckpt::selftests;
	testing::InitGoogleTest();
	BenchOptions options;
	options.names.assign(argv + 1, argv + argc);
	if (options.names.size() > 1 && options.names[0] == "--rounds") {
		options.rounds = static_cast<unsigned>(atoi(options.names[1].c_str()));
		options.names.erase(options.names.begin(), options.names.begin() + 2);
	}
	std::string dir = fs::temp_directory_path() / "bpfckpt-bench.XXXXXX";
	bool made = mkdtemp(dir.data()) != nullptr;
	options.images = dir;
	bool measured = made && enter_private_mounts() && bench_all(options);
	fs::remove(dir);
	if (!measured)
		fmt::print(stderr, "bench: wants root, to mount a tmpfs: {}\n", strerror(errno));
	return measured ? 0 : 1;
}
