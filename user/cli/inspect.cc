// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/cli/inspect.h"

#include <ctime>

#include <unistd.h>

#include "user/cli/json.h"
#include "user/cli/report.h"
#include "user/cli/view.h"
#include "user/collect/snapshot.h"
#include "user/target/freeze_checks.h"

namespace bpfckpt::cli {
namespace {

// Home, and clear to the end of the screen.
constexpr std::string_view kClearScreen = "\x1b[H\x1b[J";

Result<> inspect_once(collect::Snapshot &snapshot, const InspectOptions &options, bool clear)
{
	std::vector<pid_t> pids = TRY(snapshot.find_tree(options.pid));
	TRY(snapshot.attach(pids));
	TRY(snapshot.capture());
	TRY(snapshot.observe_rings());
	images::Document document;
	document.set_version(1);
	document.set_command("inspect");
	collect::Context context;
	context.document = &document;
	context.live = true;
	TRY(snapshot.build(nullptr, context));
	if (options.json)
		return write_json(document, options.sections, print);
	std::string text = render_text(document, {.sections = options.sections, .colour = wants_colour(STDOUT_FILENO)});
	if (clear)
		TRY(print(kClearScreen));
	return print(text);
}

void sleep_seconds(double seconds)
{
	timespec time = {};
	time.tv_sec = static_cast<time_t>(seconds);
	time.tv_nsec = static_cast<long>((seconds - static_cast<double>(time.tv_sec)) * 1e9);
	nanosleep(&time, nullptr);
}

Result<> inspect(const InspectOptions &options)
{
	TRY(target::find_process(options.pid));
	collect::Snapshot snapshot = TRY(collect::Snapshot::load());
	TRY(inspect_once(snapshot, options, false));
	bool clear = isatty(STDOUT_FILENO) && !options.json;
	while (options.watch_seconds > 0) {
		sleep_seconds(options.watch_seconds);
		TRY(inspect_once(snapshot, options, clear));
	}
	return {};
}

} // namespace

int run_inspect(const InspectOptions &options)
{
	Result<> done = inspect(options);
	return done ? 0 : report_error(done.error());
}

} // namespace bpfckpt::cli
