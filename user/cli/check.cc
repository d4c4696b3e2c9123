// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/cli/check.h"

#include <algorithm>

#include <unistd.h>

#include "user/cli/host_features.h"
#include "user/cli/json_text.h"
#include "user/cli/report.h"
#include "user/cli/terminal.h"
#include "user/cli/view.h"

namespace bpfckpt::cli {

namespace {

using State = Feature::State;

const char *word_of(State state)
{
	switch (state) {
	case State::kPresent:
		return "present";
	case State::kDenied:
		return "denied";
	case State::kAbsent:
		return "absent";
	}
	return "";
}

int status_of(const std::vector<Feature> &features)
{
	int status = 0;
	for (const Feature &feature : features) {
		// What is denied says nothing about the kernel: the capability has to come first.
		if (feature.missing() && feature.state == State::kDenied)
			return exit_status(Code::kPermission);
		if (feature.missing())
			status = exit_status(Code::kKernelLacks);
	}
	return status;
}

std::string remark_on(const Feature &feature)
{
	std::string text = feature.detail;
	if (feature.state != State::kPresent && !feature.required)
		text += fmt::format("{}without it: {}", text.empty() ? "" : "; ", feature.without);
	return text;
}

std::string text_of(const std::vector<Feature> &features, const Palette &palette)
{
	std::string text;
	for (size_t i = 0; i < features.size();) {
		Table table({{"STATE"}, {"FEATURE"}, {"NEEDED FOR"}, {"REMARK"}});
		std::string group = features[i].group;
		for (; i < features.size() && features[i].group == group; i++)
			table.row({word_of(features[i].state), features[i].name, features[i].needed_for,
				   remark_on(features[i])});
		text += palette.paint(Tone::kHeading, group) + "\n" + table.text(palette) + "\n";
	}
	return text;
}

std::string summary_of(const std::vector<Feature> &features, const Palette &palette)
{
	if (!status_of(features))
		return palette.paint(Tone::kGood, "Looks good.") + "\n";
	std::string text = palette.paint(Tone::kBad, "Missing:") + "\n";
	for (const Feature &feature : features)
		if (feature.missing())
			text += fmt::format("  {} ({}): {}\n", feature.name, word_of(feature.state),
					    feature.needed_for);
	return text;
}

std::string json_of(const std::vector<Feature> &features)
{
	std::string text = fmt::format("{{\n \"version\": 1,\n \"command\": \"check\",\n \"ok\": {},\n \"features\": [",
				       !status_of(features));
	const char *separator = "\n";
	for (const Feature &feature : features) {
		text += fmt::format("{}  {{\"group\": {}, \"name\": {}, \"state\": \"{}\", \"required\": {}, "
				    "\"needed_for\": {}, \"without\": {}, \"detail\": {}}}",
				    separator, json_string(feature.group), json_string(feature.name),
				    word_of(feature.state), feature.required, json_string(feature.needed_for),
				    json_string(feature.without), json_string(feature.detail));
		separator = ",\n";
	}
	return text + "\n ]\n}\n";
}

} // namespace

int run_check(const CheckOptions &options)
{
	std::vector<Feature> features = probe_host();
	Palette palette(wants_colour(STDOUT_FILENO));
	Result<> result =
		print(options.json ? json_of(features) : text_of(features, palette) + summary_of(features, palette));
	return result ? status_of(features) : report_error(result.error());
}

int report_check_target(pid_t pid, const Findings &findings, const CheckOptions &options)
{
	std::string text;
	if (options.json)
		text = findings_json("check", pid, findings);
	else if (findings.empty())
		text = fmt::format("pid {} can be dumped.\n", pid);
	else
		text = fmt::format("pid {} cannot be dumped: {}\n{}", pid, count_of(findings.size(), "obstacle"),
				   findings_text(findings));
	if (Result<> result = print(text); !result)
		return report_error(result.error());
	return findings.empty() ? 0 : exit_status(Code::kUnsupported);
}

} // namespace bpfckpt::cli
