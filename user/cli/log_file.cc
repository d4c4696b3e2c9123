// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/cli/log_file.h"

#include <algorithm>

namespace bpfckpt::cli {

Result<Log> open_log(const LogOptions &options)
{
	if (options.file.empty())
		return Log(options.verbosity);
	bool relative = options.file.front() != '/' && !options.work_dir.empty();
	std::string path = relative ? options.work_dir + "/" + options.file : options.file;
	return Log::to_file(path, std::max(options.verbosity, static_cast<int>(Log::kSteps)));
}

} // namespace bpfckpt::cli
