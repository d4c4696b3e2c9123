// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/cli/usage.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/types.h>

namespace bpfckpt::cli {
namespace {

constexpr double kLongest = 1e8; // seconds, three years: what every type of time can hold

template <class Number>
std::optional<Number> number_at_start(std::string_view &text)
{
	Number number = 0;
	auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
	if (error != std::errc())
		return {};
	text.remove_prefix(static_cast<size_t>(end - text.data()));
	return number;
}

template <class Number>
std::optional<Number> whole(std::string_view text)
{
	std::optional<Number> number = number_at_start<Number>(text);
	return text.empty() ? number : std::nullopt;
}

std::optional<double> seconds_of(std::string_view text)
{
	static constexpr std::pair<std::string_view, double> kUnits[] = {{"", 1}, {"s", 1}, {"ms", 0.001}, {"m", 60}};
	std::optional<double> number = number_at_start<double>(text);
	const auto *unit = std::ranges::find(kUnits, text, &std::pair<std::string_view, double>::first);
	if (!number || !std::isfinite(*number) || unit == std::end(kUnits))
		return {};
	return *number * unit->second;
}

std::optional<uint64_t> bytes_of(std::string_view text)
{
	static constexpr std::pair<std::string_view, unsigned> kUnits[] = {
		{"", 0}, {"K", 10}, {"M", 20}, {"G", 30}, {"T", 40}};
	std::optional<uint64_t> number = number_at_start<uint64_t>(text);
	const auto *unit = std::ranges::find(kUnits, text, &std::pair<std::string_view, unsigned>::first);
	if (!number || unit == std::end(kUnits) || *number > UINT64_MAX >> unit->second)
		return {};
	return *number << unit->second;
}

std::string in_quotes(std::string_view text)
{
	return fmt::format("'{}'", text);
}

bool is_option(std::string_view argument)
{
	return argument.size() > 1 && argument.starts_with('-');
}

std::string unexpected(const std::string &argument, bool command_wanted)
{
	if (is_option(argument))
		return fmt::format("unknown option {}", in_quotes(argument));
	return command_wanted ? fmt::format("unknown command {}", in_quotes(argument))
			      : fmt::format("unexpected argument {}", in_quotes(argument));
}

// How an option was given too often, or without what it takes. CLI11 begins the text with the option's name.
std::string mismatch(const CLI::App &command, const std::string &text)
{
	std::string name = text.substr(0, text.find_first_of(": "));
	if (!is_option(name)) // CLI11 2.1 leaves the dashes of a flag out
		name.insert(0, "--");
	const CLI::Option *option = command.get_option_no_throw(name);
	if (!option)
		return text;
	if (option->get_expected_max() == 0)
		return fmt::format("{}: takes no value", name);
	if (option->count() > 1)
		return fmt::format("{}: is given {} times", name, option->count());
	return fmt::format("{}: {} is missing", name, option->get_type_name());
}

std::string message_of(const CLI::App &app, const CLI::App *command, const CLI::ParseError &thrown)
{
	std::vector<std::string> extras = app.remaining(true);
	if (!command && !extras.empty())
		return unexpected(extras.front(), true);
	if (!command)
		return "no command is given";
	if (dynamic_cast<const CLI::ArgumentMismatch *>(&thrown))
		return mismatch(*command, thrown.what());
	if (dynamic_cast<const CLI::ExtrasError *>(&thrown) && !extras.empty())
		return unexpected(extras.front(), false);
	if (dynamic_cast<const CLI::RequiredError *>(&thrown) && !extras.empty())
		return fmt::format("{}; {}", thrown.what(), unexpected(extras.front(), false));
	return thrown.what();
}

std::string hint_of(const CLI::App &app, const CLI::App *command)
{
	if (command)
		return fmt::format("`bpfckpt {} --help` tells what it takes", command->get_name());
	std::vector<std::string> names;
	for (const CLI::App *known : app.get_subcommands({}))
		names.push_back(known->get_name());
	return fmt::format("the commands are {}; `bpfckpt --help` tells more", fmt::join(names, ", "));
}

} // namespace

CLI::Validator process_id()
{
	return {[](const std::string &text) {
			auto pid = whole<pid_t>(text);
			return pid && *pid > 0 ? "" : in_quotes(text) + " is not a process ID";
		},
		""};
}

CLI::Validator at_least(double least)
{
	return {[least](const std::string &text) {
			auto value = whole<double>(text);
			bool good = value && *value >= least && *value <= kLongest;
			return good ? ""
				    : fmt::format("{} is not a number from {} to {}", in_quotes(text), least, kLongest);
		},
		""};
}

CLI::Validator whole_number()
{
	return {[](const std::string &text) {
			return whole<uint64_t>(text) ? "" : in_quotes(text) + " is not a count that fits into 64 bits";
		},
		""};
}

CLI::Validator file_name()
{
	return {[](const std::string &text) { return text.empty() ? "is an empty name" : ""; }, ""};
}

CLI::Validator one_of(std::vector<std::string> words)
{
	return {[words = std::move(words)](const std::string &text) {
			bool good = std::ranges::find(words, text) != words.end();
			return good ? "" : fmt::format("{} is not {}", in_quotes(text), fmt::join(words, " or "));
		},
		""};
}

CLI::Validator duration()
{
	return {[](std::string &text) {
			auto seconds = seconds_of(text);
			if (!seconds || *seconds < 0 || *seconds > kLongest)
				return in_quotes(text) + " is not a time such as 10s, 500ms or 2m, up to three years";
			text = fmt::format("{}", *seconds);
			return std::string();
		},
		""};
}

CLI::Validator size_in_bytes()
{
	return {[](std::string &text) {
			auto bytes = bytes_of(text);
			if (!bytes)
				return in_quotes(text) + " is not a size such as 65536, 64K, 10M or 1G";
			text = fmt::format("{}", *bytes);
			return std::string();
		},
		""};
}

void forbid_flag_values(CLI::App &app)
{
	for (CLI::App *command : app.get_subcommands({}))
		for (CLI::Option *option : command->get_options())
			if (option->get_expected_max() == 0)
				option->disable_flag_override();
}

Error usage_error(const CLI::App &app, const CLI::ParseError &thrown)
{
	std::vector<CLI::App *> chosen = app.get_subcommands();
	const CLI::App *command = chosen.empty() ? nullptr : chosen.front();
	return make_error(Code::kUsage, "{}", message_of(app, command, thrown))
		.on(command ? command->get_name() : "")
		.with_hint(hint_of(app, command));
}

} // namespace bpfckpt::cli
