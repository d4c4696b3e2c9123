/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Log: the steps of a command, to a file (-o) or to standard error, filtered by -v. Errors are returned, not logged.
#pragma once

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include <fmt/core.h>

#include "user/util/result.h"

namespace bpfckpt {

class Log {
public:
	enum Level { kQuiet = 0, kSteps = 1, kDetails = 2, kDebug = 3 };

	// To standard error.
	explicit Log(int level) : level_(level) {}
	// To `path`, created anew with mode 0600 and never through a symbolic link. Errors: that of open(2).
	static Result<Log> to_file(const std::string &path, int level);

	// Said whatever -v is: something takes long.
	template <class... Args>
	void notice(fmt::format_string<Args...> format, Args &&...args) const
	{
		print(kQuiet, fmt::format(format, std::forward<Args>(args)...));
	}
	template <class... Args>
	void steps(fmt::format_string<Args...> format, Args &&...args) const
	{
		print(kSteps, fmt::format(format, std::forward<Args>(args)...));
	}
	template <class... Args>
	void details(fmt::format_string<Args...> format, Args &&...args) const
	{
		print(kDetails, fmt::format(format, std::forward<Args>(args)...));
	}

private:
	struct Close {
		void operator()(FILE *file) const { std::fclose(file); }
	};
	void print(int level, const std::string &text) const;

	int level_;
	std::unique_ptr<FILE, Close> file_;
	std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

} // namespace bpfckpt
