// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/util/log.h"

#include <fcntl.h>

#include "user/util/io.h"

namespace bpfckpt {

Result<Log> Log::to_file(const std::string &path, int level)
{
	Result<UniqueFd> fd = open_at(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
	if (!fd)
		return std::move(fd).error().with_hint("the log goes to a file in a directory that exists");
	Log log(level);
	log.file_.reset(::fdopen(fd->get(), "w"));
	if (!log.file_)
		return errno_error(errno, "cannot open").on(path);
	(void)fd->release();
	return log;
}

void Log::print(int level, const std::string &text) const
{
	if (level > level_)
		return;
	auto since = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
	FILE *out = file_ ? file_.get() : stderr;
	// What cannot be said is no reason to fail.
	std::fputs(fmt::format("({:010.6f}) {}\n", since, text).c_str(), out);
	std::fflush(out);
}

} // namespace bpfckpt
