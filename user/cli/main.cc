// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The command line: parses it into one options struct per command and calls the command.
#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/core.h>
#include <malloc.h>

#include "user/cli/check.h"
#include "user/cli/check_target.h"
#include "user/cli/dump.h"
#include "user/cli/inspect.h"
#include "user/cli/options.h"
#include "user/cli/report.h"
#include "user/cli/restore.h"
#include "user/cli/show.h"
#include "user/cli/usage.h"
#include "user/uring/inexact.h"
#include "user/util/io.h"
#include "user/util/kept_heap.h"

namespace bpfckpt::cli {
namespace {

// The command that the command line named, ready to run.
using Command = std::function<int()>;

constexpr double kShortestWatch = 0.01;

// "10", "10s", "500ms", "2m"; a bare number is seconds.
CLI::Option *add_duration(CLI::App *app, const std::string &names, double &seconds, const std::string &what)
{
	return app->add_option(names, seconds, what)->transform(duration())->capture_default_str()->type_name("TIME");
}

// "1048576", "64K", "10M", "1G".
CLI::Option *add_ghost_limit(CLI::App *app, uint64_t &bytes)
{
	return app->add_option("--ghost-limit", bytes, "How much of one deleted file the images take in")
		->transform(size_in_bytes())
		->capture_default_str()
		->type_name("SIZE");
}

// Kinds, with commas or again and again.
CLI::Option *add_inexact(CLI::App *app, std::vector<std::string> &kinds, const std::string &what)
{
	std::vector<std::string> words;
	for (const uring::InexactKind &kind : uring::inexact_kinds())
		words.emplace_back(kind.name);
	words.emplace_back("all");
	auto take = [&kinds, words](const std::vector<std::string> &given) {
		bool all = std::ranges::find(given, "all") != given.end();
		kinds.assign(all ? words.begin() : given.begin(), all ? words.end() : given.end());
	};
	return app->add_option_function<std::vector<std::string>>("--allow-inexact", take, what)
		->delimiter(',')
		->check(one_of(words))
		->allow_extra_args(false)
		->type_name("KIND");
}

CLI::Option *add_leak(CLI::App *app, bool &ignore, const std::string &what)
{
	return app->add_option_function<std::string>(
			  "--leak", [&ignore](const std::string &) { ignore = true; }, what)
		->check(one_of({"all=ignore"}))
		->type_name("KIND=POLICY");
}

CLI::Option *add_pid(CLI::App *app, pid_t &pid, const std::string &what)
{
	return app->add_option("-t,--tree", pid, what)->check(process_id())->type_name("PID");
}

void add_sections(CLI::App *app, Sections &sections)
{
	app->add_flag("--tasks", sections.tasks, "Processes and threads");
	app->add_flag("--files", sections.files, "Open files and what they hold");
	app->add_flag("--rings", sections.rings, "io_uring instances and their requests");
	app->add_flag("--timers", sections.timers, "POSIX and interval timers");
	app->add_flag("--memory", sections.memory, "Address spaces");
}

void add_log(CLI::App *app, LogOptions &log)
{
	app->add_option("-W,--work-dir", log.work_dir, "Where a relative log path starts")
		->check(file_name())
		->type_name("DIR");
	app->add_option("-o,--log-file", log.file, "Log to this file")->check(file_name())->type_name("FILE");
	// -v, -vv, and CRIU's -vN (split_verbosity() below).
	app->add_flag("-v,--verbose", log.verbosity, "Log the steps; repeat, or give a level as -vN, for more");
}

void add_check(CLI::App &app, Command &command, CheckTargetOptions &options)
{
	CLI::App *check = app.add_subcommand("check", "Say what this host offers, or whether a tree can be dumped");
	add_pid(check, options.pid, "Could this process and its descendants be dumped now? They are not stopped");
	check->add_flag("--json", options.json, "One JSON document");
	check->add_flag("--tcp-established", options.tcp_established, "Ask as for a dump with --tcp-established")
		->needs("--tree");
	add_inexact(check, options.inexact, "Ask as for a dump with --allow-inexact")->needs("--tree");
	add_ghost_limit(check, options.ghost_limit)->needs("--tree");
	add_leak(check, options.ignore_leaks, "Ask as for a dump with --leak: all=ignore")->needs("--tree");
	check->footer("Examples:\n"
		      "  bpfckpt check                 what this kernel has, and what depends on it\n"
		      "  bpfckpt check -t 4242         what stands in the way of dumping process 4242\n");
	check->callback([&] {
		command = [&options] {
			return options.pid ? run_check_target(options) : run_check({.json = options.json});
		};
	});
}

void add_inspect(CLI::App &app, Command &command, InspectOptions &options)
{
	CLI::App *inspect = app.add_subcommand("inspect", "Show the state of a live process tree without stopping it");
	add_pid(inspect, options.pid, "The root of the tree")->required();
	add_sections(inspect, options.sections);
	inspect->add_flag("--json", options.json, "One JSON document");
	inspect->add_option("--watch", options.watch_seconds, "Show it again every SECONDS until interrupted")
		->check(at_least(kShortestWatch))
		->type_name("SECONDS");
	inspect->footer("Examples:\n"
			"  bpfckpt inspect -t 4242 --rings            every ring, every request in flight\n"
			"  bpfckpt inspect -t 4242 --rings --watch 1  the same, again every second\n"
			"  bpfckpt inspect -t 4242 --json | jq '.rings[].in_flight[].opcode'\n");
	inspect->callback([&] { command = [&options] { return run_inspect(options); }; });
}

void add_stats(CLI::App *app, StatsFormat &format, const std::string &what)
{
	app->add_option_function<std::string>(
		   "--stats",
		   [&format](const std::string &word) {
			   format = word == "json" ? StatsFormat::kJson : StatsFormat::kText;
		   },
		   what)
		->check(one_of({"text", "json"}))
		->type_name("FORMAT");
}

void add_drain(CLI::App *dump, uring::DrainMode &mode)
{
	static const std::map<std::string, uring::DrainMode> kModes = {{"auto", uring::DrainMode::kAuto},
								       {"observe", uring::DrainMode::kObserve},
								       {"nop", uring::DrainMode::kNop},
								       {"enter", uring::DrainMode::kEnter},
								       {"off", uring::DrainMode::kOff}};
	dump->add_option_function<std::string>(
		    "--drain", [&mode](const std::string &word) { mode = kModes.at(word); },
		    "How rings come to rest: auto, observe, nop, enter or off")
		->check(one_of({"auto", "observe", "nop", "enter", "off"}))
		->type_name("MODE");
}

void add_dump(CLI::App &app, Command &command, DumpOptions &options)
{
	CLI::App *dump = app.add_subcommand("dump", "Write a checkpoint of a process tree");
	add_pid(dump, options.pid, "The root of the tree")->required();
	dump->add_option("-D,--images-dir", options.images_dir,
			 "Where the images go: a directory that is empty or to be made")
		->check(file_name())
		->type_name("DIR");
	add_log(dump, options.log);
	auto *running = dump->add_flag("-R,--leave-running", options.leave_running, "Let the tree go on afterwards");
	dump->add_flag("-s,--leave-stopped", options.leave_stopped, "Leave the tree stopped (SIGSTOP) afterwards")
		->excludes(running);
	add_duration(dump, "--timeout", options.timeout_seconds, "Limit for stopping the tree");
	add_drain(dump, options.drain);
	add_duration(dump, "--drain-timeout", options.drain_timeout_seconds, "Limit for bounded requests to complete");
	dump->add_flag("--tcp-established", options.tcp_established, "Capture connected TCP sockets");
	add_inexact(dump, options.inexact, "What may come back otherwise than it was");
	add_ghost_limit(dump, options.ghost_limit);
	dump->add_flag("--forensic", options.forensic,
		       "Write all that can be read even where restore cannot rebuild it");
	add_leak(dump, options.ignore_leaks, "all=ignore: do not refuse what is shared with processes outside");
	add_stats(dump, options.stats, "Print figures of the dump to standard output: text or json");
	dump->add_flag("--dry-run", options.dry_run, "Stop, read and check everything, write nothing, let it go on");
	dump->footer("Examples:\n"
		     "  bpfckpt dump -t 4242 -D /var/tmp/ckpt        dump and kill, to be restored later\n"
		     "  bpfckpt dump -t 4242 -D /var/tmp/ckpt -R     dump and let it go on\n"
		     "  bpfckpt dump -t 4242 -D snap -R --tcp-established --forensic\n"
		     "                                               a snapshot of kernel state of a TCP server\n");
	dump->callback([&] { command = [&options] { return run_dump(options); }; });
}

void add_show(CLI::App &app, Command &command, ShowOptions &options)
{
	CLI::App *show = app.add_subcommand("show", "Show what a checkpoint holds");
	show->add_option("DIR", options.directory, "The checkpoint")->required()->check(file_name());
	add_sections(show, options.sections);
	show->add_flag("--json", options.json, "One JSON document");
	show->footer("Examples:\n"
		     "  bpfckpt show /var/tmp/ckpt                   everything, for people\n"
		     "  bpfckpt show /var/tmp/ckpt --rings --json    the rings, for programs\n");
	show->callback([&] { command = [&options] { return run_show(options); }; });
}

void add_restore(CLI::App &app, Command &command, RestoreOptions &options)
{
	CLI::App *restore = app.add_subcommand("restore", "Bring a process tree back from a checkpoint");
	restore->add_option("-D,--images-dir", options.images_dir, "The checkpoint")
		->required()
		->check(file_name())
		->type_name("DIR");
	restore->add_flag("-d,--restore-detached", options.detached, "Return as soon as the tree runs");
	restore->add_option("--pidfile", options.pidfile, "Write the root's PID to this file")
		->check(file_name())
		->type_name("FILE");
	restore->add_flag("-s,--leave-stopped", options.leave_stopped, "Leave the tree stopped (SIGSTOP)");
	restore->add_flag("--dry-run", options.dry_run, "Print what would be made and stop there");
	restore->add_flag("--trust-images", options.trust_images, "Accept images that others own or can write");
	restore->add_option("--timer-id-limit", options.machine.timer_id_limit,
			    "How many timer IDs may be counted on a kernel that cannot be told one")
		->check(whole_number())
		->type_name("COUNT");
	restore->add_option_function<std::string>(
		       "--cpu-cap",
		       [&options](const std::string &what) { options.machine.compare_cpu = what == "fpu"; },
		       "What must be as at the dump: fpu (extended registers) or none")
		->check(CLI::IsMember({"fpu", "none"}))
		->type_name("WHAT");
	// For tests: as if the kernel were older than 6.15.
	restore->add_flag("--count-timer-ids", options.machine.count_timer_ids)->group("");
	add_stats(restore, options.stats, "Print figures of the restore to standard output: text or json");
	add_log(restore, options.log);
	add_duration(restore, "--timeout", options.timeout_seconds, "Limit for the whole restore");
	add_duration(restore, "--ring-counter-budget", options.machine.ring_counter_seconds,
		     "Limit for bringing the counters of rings to where they were");
	restore->add_option_function<std::string>(
		       "--rebase-counters",
		       [&options](const std::string &which) {
			       options.machine.rebase = which == "cq" ? uring::Rebase::kCq : uring::Rebase::kAll;
		       },
		       "Counters of rings that may be others where the limit is too short: cq or all")
		->check(CLI::IsMember({"cq", "all"}))
		->type_name("WHICH");
	restore->footer("Examples:\n"
			"  bpfckpt restore -D /var/tmp/ckpt       restore, wait for it, exit with its status\n"
			"  bpfckpt restore -D /var/tmp/ckpt -d    restore and return\n");
	restore->callback([&] { command = [&options] { return run_restore(options); }; });
}

// CRIU writes a level as -v4; CLI11 would read it as -v -4. No level is above 9.
std::vector<std::string> split_verbosity(int argc, char **argv)
{
	std::vector<std::string> args;
	for (int i = 1; i < argc; i++) {
		std::string arg = argv[i];
		bool level = arg.size() > 2 && arg.starts_with("-v") &&
			     arg.find_first_not_of("0123456789", 2) == std::string::npos;
		if (level)
			args.insert(args.end(), arg.size() > 3 ? 9 : static_cast<size_t>(arg[2] - '0'), "-v");
		else
			args.push_back(std::move(arg));
	}
	return args;
}

int run(int argc, char **argv)
{
	mallopt(M_MMAP_THRESHOLD, kLargeBlock);
	CLI::App app("Checkpoint, restore and inspect Linux processes, io_uring included", "bpfckpt");
	app.require_subcommand(1);
	app.set_version_flag("-V,--version", "bpfckpt " BPFCKPT_VERSION);
	app.set_help_all_flag("--help-all", "Help of every command");

	Command command;
	CheckTargetOptions check_options;
	InspectOptions inspect_options;
	DumpOptions dump_options;
	ShowOptions show_options;
	RestoreOptions restore_options;
	add_check(app, command, check_options);
	add_inspect(app, command, inspect_options);
	add_dump(app, command, dump_options);
	add_show(app, command, show_options);
	add_restore(app, command, restore_options);

	forbid_flag_values(app);

	std::vector<std::string> args = split_verbosity(argc, argv);
	std::reverse(args.begin(), args.end()); // CLI11 takes them last first
	try {
		app.parse(args);
	} catch (const CLI::ParseError &error) {
		return error.get_exit_code() ? report_error(usage_error(app, error)) : app.exit(error);
	}
	return command();
}

} // namespace
} // namespace bpfckpt::cli

int main(int argc, char **argv)
{
	// Libraries throw, we do not; what gets here is a lack of memory, or a bug.
	try {
		bpfckpt::raise_file_limit();
		return bpfckpt::cli::run(argc, argv);
	} catch (const std::exception &error) {
		return bpfckpt::cli::report_error(bpfckpt::Error(bpfckpt::Code::kInternal, error.what()));
	}
}
