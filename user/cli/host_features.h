/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What the host offers, each feature tried out rather than derived from a kernel version, with what depends on it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "user/util/result.h"

namespace bpfckpt::cli {

// One thing to try. `run` gives a word of detail (may be empty), or says why it does not work: kPermission if it is
// there but not for us.
struct Probe {
	const char *group;
	const char *name;
	const char *needed_for;
	const char *without; // what happens without it; nullptr: nothing works that needs it
	Result<std::string> (*run)();
};

std::span<const Probe> bpf_probes();
std::span<const Probe> kernel_probes();
std::span<const Probe> uring_probes();

struct Feature {
	enum class State { kPresent, kDenied, kAbsent };
	std::string group;
	std::string name;
	std::string needed_for;
	std::string without;
	State state = State::kPresent;
	bool required = true;
	std::string detail;

	[[nodiscard]] bool missing() const { return required && state != State::kPresent; }
};

// Capabilities first: what is denied further down is denied for want of one of them.
std::vector<Feature> probe_host();

} // namespace bpfckpt::cli
