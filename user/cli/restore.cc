// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/cli/restore.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include <malloc.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "images/directory_reader.h"
#include "user/cli/log_file.h"
#include "user/cli/report.h"
#include "user/restore/build.h"

namespace bpfckpt::cli {

using Clock = std::chrono::steady_clock;

static constexpr double kForever = 1e8; // seconds that fit into every type of time

static double milliseconds_since(Clock::time_point start)
{
	return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// The first process of a PID namespace gets the orphans of all others, and nobody else waits for them.
static int wait_for_root(pid_t root)
{
	int status = 0;
	pid_t wanted = getpid() == 1 ? -1 : root;
	for (pid_t ended = 0; ended != root;) {
		ended = waitpid(wanted, &status, __WALL);
		if (ended < 0 && errno != EINTR)
			return 1;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Until it is destroyed: SIGALRM ends a wait for a process that does not stop, again every 100 ms when the time is
// over.
class TimeLimit {
public:
	explicit TimeLimit(double seconds)
	{
		struct sigaction interrupt = {};
		interrupt.sa_handler = [](int) {};
		sigaction(SIGALRM, &interrupt, &before_);
		auto whole = static_cast<time_t>(seconds);
		auto rest = static_cast<suseconds_t>((seconds - static_cast<double>(whole)) * 1e6);
		itimerval timer = {.it_interval = {0, 100'000}, .it_value = {whole, rest}};
		setitimer(ITIMER_REAL, &timer, nullptr);
	}
	~TimeLimit()
	{
		itimerval none = {};
		setitimer(ITIMER_REAL, &none, nullptr);
		sigaction(SIGALRM, &before_, nullptr);
	}
	TimeLimit(const TimeLimit &) = delete;
	TimeLimit &operator=(const TimeLimit &) = delete;

private:
	struct sigaction before_ = {};
};

static size_t thread_count(const images::Document &document)
{
	size_t threads = 0;
	for (const images::Process &process : document.processes())
		threads += static_cast<size_t>(process.threads_size());
	return threads;
}

static Result<> print_stats(const RestoreOptions &options, const restore::Plan &plan, const restore::BuildStats &stats,
			    double verify_ms, double build_ms)
{
	int processes = plan.document->processes_size();
	size_t threads = thread_count(*plan.document);
	if (options.stats == StatsFormat::kJson)
		return print(fmt::format(
			"{{\"version\":1,\"command\":\"restore\",\"dry_run\":{},\"root_pid\":{},\"processes\":{},"
			"\"threads\":{},\"files\":{},\"verify_ms\":{:.3f},\"build_ms\":{:.3f},\"timers_ms\":{:.3f}}}\n",
			options.dry_run, plan.root, processes, threads, plan.document->files_size(), verify_ms,
			build_ms, stats.timers_ms));
	if (options.stats == StatsFormat::kText)
		return print(fmt::format(
			"restored pid {}: {} processes, {} threads, {} files; verified in {:.1f} ms, built in "
			"{:.1f} ms\n",
			plan.root, processes, threads, plan.document->files_size(), verify_ms, build_ms));
	return {};
}

// All is done, and what destructors would take apart piece by piece the kernel takes back at once.
[[noreturn]] static void leave()
{
	std::fflush(nullptr);
	std::quick_exit(0);
}

static Result<int> restore_tree(const RestoreOptions &options, const Log &log)
{
	if (options.detached && !options.dry_run && getpid() == 1)
		return Error(Code::kUsage, "the first process of a PID namespace takes all others with it when it ends")
			.on("-d")
			.with_hint("leave it out: bpfckpt stays as long as the restored program runs");
	Clock::time_point start = Clock::now();
	images::ReadOptions read;
	read.require_owner = !options.trust_images;
	read.verify_pages = options.dry_run; // a build verifies them while it has them at hand
	images::CheckpointImages checkpoint = TRY(images::read_checkpoint(options.images_dir, read));
	log.steps("images are verified");
	Findings findings;
	restore::Plan plan = TRY(restore::make_plan(checkpoint.document, checkpoint.manifest, findings));
	for (const restore::RebasedRing &was : restore::rebase_rings(plan, checkpoint.document, options.machine))
		log.steps("ring {}: SQ head {} in place of {}, CQ tail {} in place of {}", was.ring->id(),
			  was.ring->sq_head(), was.sq_head, was.ring->cq_tail(), was.cq_tail);
	restore::check_machine(plan, options.machine, findings);
	if (!findings.empty()) {
		log.steps("failed: {} cannot be restored", options.images_dir);
		return report_findings(fmt::format("{} cannot be restored", options.images_dir), findings);
	}
	double verify_ms = milliseconds_since(start);
	if (options.dry_run) {
		TRY(options.stats == StatsFormat::kJson ? print_stats(options, plan, {}, verify_ms, 0)
							: print(restore::plan_text(plan)));
		return 0;
	}
	start = Clock::now();
	restore::BuildOptions build;
	build.leave_stopped = options.leave_stopped;
	build.detached = options.detached;
	build.pidfile = options.pidfile;
	build.pages_fd = checkpoint.pages.get();
	build.pages_size = checkpoint.pages_size;
	build.pages_path = checkpoint.pages_path;
	build.pages_digest = checkpoint.pages_digest;
	restore::BuildStats stats;
	double seconds = std::min(options.timeout_seconds, kForever) +
			 2 * (restore::timer_id_seconds(plan) + restore::ring_counter_seconds(plan));
	build.deadline = start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
	{
		TimeLimit limit(seconds);
		stats = TRY(restore::build(plan, build, log));
	}
	TRY(print_stats(options, plan, stats, verify_ms, milliseconds_since(start)));
	if (options.detached)
		leave();
	return wait_for_root(plan.root);
}

// It is short, and takes much memory again and again: what was touched once is kept.
static void keep_freed_memory()
{
	mallopt(M_MMAP_THRESHOLD, 32 << 20); // as much as it takes
	mallopt(M_TRIM_THRESHOLD, INT_MAX);
	mallopt(M_TOP_PAD, 1 << 20);
}

// Whoever started us may have had it ignored (children would end without a word), or the alarm blocked.
static void expect_signals()
{
	::signal(SIGCHLD, SIG_DFL);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_UNBLOCK, &set, nullptr);
}

int run_restore(const RestoreOptions &options)
{
	keep_freed_memory();
	expect_signals();
	Result<Log> log = open_log(options.log);
	if (!log)
		return report_error(log.error());
	Result<int> status = restore_tree(options, *log);
	if (status)
		return *status;
	log->steps("failed: {}", status.error().message);
	return report_error(status.error());
}

} // namespace bpfckpt::cli
