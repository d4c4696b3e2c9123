/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Files in the JSON of inspect and show.
#pragma once

#include <functional>

#include "selftests/scenarios/driver.h"

namespace bpfckpt::selftests {

// The file behind a descriptor of the process `pid`; 0: of the first process. Null if there is none.
inline Json file_at(const Json &document, int fd, pid_t pid = 0)
{
	for (const Json &process : document["processes"]) {
		if (pid && number(process["pid"]) != static_cast<uint64_t>(pid))
			continue;
		Json entry = where(process.value("files", Json::array()), "fd", fd);
		Json files = entry.empty() ? Json() : where(document["files"], "id", entry[0]["file"]);
		return files.empty() ? Json() : files[0];
	}
	return {};
}

// What proto3 leaves out when it is 0.
inline uint64_t number_at(const Json &message, const char *key)
{
	return message.contains(key) ? number(message[key]) : 0;
}

using Facts = std::function<int(const char *)>;

// run_scenario(), for a `verify` that needs what the program told.
void run_with_facts(const std::string &program, const std::function<void(const Json &, const Facts &)> &verify);

} // namespace bpfckpt::selftests
