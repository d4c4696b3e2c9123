// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/cli/show.h"

#include <unistd.h>

#include "images/directory_reader.h"
#include "user/cli/json.h"
#include "user/cli/report.h"
#include "user/cli/terminal.h"
#include "user/cli/view.h"

namespace bpfckpt::cli {

namespace {

std::string heading(const std::string &directory, const images::Manifest &manifest)
{
	auto seconds = static_cast<time_t>(manifest.created_ns() / 1'000'000'000);
	char when[64] = "";
	struct tm broken_down;
	if (::localtime_r(&seconds, &broken_down))
		::strftime(when, sizeof(when), "%F %T %z", &broken_down);
	return fmt::format("Checkpoint {} of pid {}, taken {} on Linux {} ({}), stopped for {}, {} of pages\n\n",
			   printable(directory), manifest.root_pid(), when, printable(manifest.kernel_release()),
			   printable(manifest.architecture()),
			   human_duration(static_cast<int64_t>(manifest.frozen_ns())),
			   human_bytes(manifest.page_bytes()));
}

Result<> show(const ShowOptions &options)
{
	images::CheckpointImages images = TRY(images::read_checkpoint(options.directory));
	if (options.json)
		return write_json(images.document, options.sections, print);
	ViewOptions view{options.sections, wants_colour(STDOUT_FILENO)};
	return print(heading(options.directory, images.manifest) + render_text(images.document, view));
}

} // namespace

int run_show(const ShowOptions &options)
{
	Result<> result = show(options);
	return result ? 0 : report_error(result.error());
}

} // namespace bpfckpt::cli
