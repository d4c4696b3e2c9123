// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/cli/host_features.h"

#include <algorithm>
#include <array>

#include <sys/capability.h>

namespace bpfckpt::cli {

namespace {

struct Capability {
	cap_value_t value;
	const char *name;
	const char *needed_for;
	const char *without;
};

constexpr auto kCapabilities = std::to_array<Capability>({
	{CAP_BPF, "CAP_BPF", "loading BPF programs", nullptr},
	{CAP_PERFMON, "CAP_PERFMON", "reading kernel structures from BPF", nullptr},
	{CAP_SYS_PTRACE, "CAP_SYS_PTRACE", "stopping and reading processes of other users", nullptr},
	{CAP_SYS_ADMIN, "CAP_SYS_ADMIN", "namespaces, files of other processes", nullptr},
	{CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE", "/proc and files of other users", nullptr},
	{CAP_KILL, "CAP_KILL", "ending the source after a dump", nullptr},
	{CAP_SETUID, "CAP_SETUID", "restoring credentials", nullptr},
	{CAP_SETGID, "CAP_SETGID", "restoring credentials", nullptr},
	{CAP_SETPCAP, "CAP_SETPCAP", "restoring capabilities and securebits", nullptr},
	{CAP_SYS_NICE, "CAP_SYS_NICE", "restoring scheduling", nullptr},
	{CAP_CHECKPOINT_RESTORE, "CAP_CHECKPOINT_RESTORE", "restoring process ids", nullptr},
	{CAP_SYS_RESOURCE, "CAP_SYS_RESOURCE", "raising resource limits at restore",
	 "only processes whose limits are within our own"},
	{CAP_NET_ADMIN, "CAP_NET_ADMIN", "TCP connections", "only processes without TCP connections"},
});

bool has(cap_value_t capability)
{
	cap_t set = ::cap_get_proc();
	cap_flag_value_t value = CAP_CLEAR;
	if (set)
		::cap_get_flag(set, capability, CAP_EFFECTIVE, &value);
	::cap_free(set);
	return value == CAP_SET;
}

Feature probe_capability(const Capability &capability)
{
	Feature feature{"capabilities",
			capability.name,
			capability.needed_for,
			capability.without ? capability.without : "",
			Feature::State::kPresent,
			!capability.without,
			""};
	// include/linux/capability.h: bpf_capable(), perfmon_capable(), checkpoint_restore_ns_capable()
	constexpr std::array kWithAdmin = {CAP_BPF, CAP_PERFMON, CAP_CHECKPOINT_RESTORE};
	if (has(capability.value))
		return feature;
	if (std::ranges::find(kWithAdmin, capability.value) != kWithAdmin.end() && has(CAP_SYS_ADMIN))
		feature.detail = "by CAP_SYS_ADMIN";
	else
		feature.state = Feature::State::kDenied;
	return feature;
}

Feature run_probe(const Probe &probe)
{
	Feature feature{probe.group,
			probe.name,
			probe.needed_for,
			probe.without ? probe.without : "",
			Feature::State::kPresent,
			!probe.without,
			""};
	Result<std::string> result = probe.run();
	if (result) {
		feature.detail = *result;
		return feature;
	}
	const Error &error = result.error();
	feature.state = error.code == Code::kPermission ? Feature::State::kDenied : Feature::State::kAbsent;
	feature.detail = error.message;
	return feature;
}

} // namespace

std::vector<Feature> probe_host()
{
	std::vector<Feature> features;
	features.reserve(std::size(kCapabilities));
	for (const Capability &capability : kCapabilities)
		features.push_back(probe_capability(capability));
	for (std::span<const Probe> probes : {bpf_probes(), kernel_probes(), uring_probes()})
		for (const Probe &probe : probes)
			features.push_back(run_probe(probe));
	return features;
}

} // namespace bpfckpt::cli
