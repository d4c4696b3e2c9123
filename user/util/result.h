/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Result<T> and Error: how every function of bpfckpt says that it failed.
//
// An Error names the object (pid, fd, ring, address, path), what is wrong with it, and what the user can do. It is
// returned or logged, never both; only cli/ prints it. The exit status follows from the code and from nothing else.
#pragma once

#include <cerrno>
#include <cstring>
#include <expected>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/core.h>

namespace bpfckpt {

// What the user can do about it; the values are not the exit codes, see exit_status().
enum class Code {
	kUnsupported, // state that bpfckpt does not know or cannot carry over
	kKernelLacks, // the running kernel has no interface for it
	kPermission,  // a capability, an owner or an LSM is in the way
	kBusy,        // in use now, may work later
	kGone,        // the object disappeared meanwhile
	kCorrupt,     // images that are not what they claim to be
	kMismatch,    // images and this machine do not fit
	kLimit,       // a size, a count or a disk is full
	kTimeout,     // a time limit was reached
	kUsage,       // the command line
	kInternal,    // an assumption of ours failed
};

struct Error {
	Code code = Code::kInternal;
	int sys_errno = 0;   // 0 if no system call failed
	std::string object;  // "pid 12 (nginx)", "ring 1", "fd 7 of pid 12"; may be empty
	std::string message; // the exact state
	std::string hint;    // a way out; may be empty
	std::shared_ptr<const Error> cause;

	Error() = default;
	Error(Code code_in, std::string message_in) : code(code_in), message(std::move(message_in)) {}

	Error &&on(std::string text) &&
	{
		object = std::move(text);
		return std::move(*this);
	}
	Error &&with_hint(std::string text) &&
	{
		hint = std::move(text);
		return std::move(*this);
	}
	Error &&because(Error inner) &&
	{
		cause = std::make_shared<const Error>(std::move(inner));
		return std::move(*this);
	}
};

// Findings of a walk that goes on after the first obstacle: `check -t` prints them all, `dump` refuses with all of
// them.
using Findings = std::vector<Error>;

template <class T = void>
class [[nodiscard]] Result : public std::expected<T, Error> {
public:
	using Base = std::expected<T, Error>;
	using Base::Base;
	Result(Base &&base) : Base(std::move(base)) {}
	Result(Error error) : Base(std::unexpected(std::move(error))) {}
};

template <class... Args>
[[nodiscard]] Error make_error(Code code, fmt::format_string<Args...> format, Args &&...args)
{
	return Error(code, fmt::format(format, std::forward<Args>(args)...));
}

// The code that fits an errno where the caller knows nothing better.
[[nodiscard]] Code code_of_errno(int err);

// "message: strerror(err)"; takes errno first, before formatting can change it.
template <class... Args>
[[nodiscard]] Error errno_error(int err, fmt::format_string<Args...> format, Args &&...args)
{
	Error error(code_of_errno(err),
		    fmt::format("{}: {}", fmt::format(format, std::forward<Args>(args)...), strerror(err)));
	error.sys_errno = err;
	return error;
}

// 1 failed, 2 usage, 3 unsupported, 4 permission, 5 kernel lacks, 6 corrupt or mismatched images, 7 timeout.
[[nodiscard]] int exit_status(Code code);
[[nodiscard]] const char *name_of(Code code);

} // namespace bpfckpt

// Value of a Result, or return its error from the enclosing function. (A GNU statement expression, as both GCC and
// clang have it.)
#define TRY(expression)                                                         \
	__extension__({                                                         \
		auto &&try_result_ = (expression);                              \
		if (!try_result_)                                               \
			return std::unexpected(std::move(try_result_).error()); \
		std::move(try_result_).value();                                 \
	})
