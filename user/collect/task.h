/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Processes and threads: task, process and signal records -> Document.processes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "iterators/task_reader.h"
#include "user/collect/context.h"
#include "user/collect/mount_table.h"

namespace bpfckpt::collect {

// What only a path says. A running process may change it, so it is read in the frozen window: about 10 us a process.
struct ProcessPaths {
	unsigned pid = 0;
	std::string cwd;
	std::string root;
	std::string exe;
	// Of a working directory that was deleted.
	bool cwd_deleted = false;
	bool cwd_lost = false; // on a file system in which nobody can make it anew
	// The name leads elsewhere, or nowhere: under a mount, or of a tree that is not mounted (any more).
	bool cwd_astray = false;
	bool root_astray = false;
	uint32_t cwd_mode = 0;
	uint32_t cwd_uid = 0;
	uint32_t cwd_gid = 0;
	uint64_t cwd_device = 0;
	uint64_t cwd_inode = 0;
};

// As readlink(2) on /proc/PID/cwd ends then.
inline constexpr std::string_view kDeletedMark = " (deleted)";

// Only as many bytes as the highest allowed CPU needs. What lies behind nr_cpu_ids is not part of the mask: where masks
// are allocated (CONFIG_CPUMASK_OFFSTACK), it is other memory of the kernel.
std::string affinity_of(std::span<const __u64> cpus, unsigned cpu_count);

// Of those that bpfckpt itself is in: for Context.own_namespaces.
std::unordered_set<uint64_t> own_namespaces();

// Empty strings for what cannot be read; nothing of zombies. By pid. `mounts`: bpfckpt's. No server is asked, which may
// be a process that is stopped: of a name on its file system it is known in which mount it lies, no more.
std::vector<ProcessPaths> read_process_paths(std::span<const task_record> tasks, const MountTable &mounts);

// nullptr: a zombie. `paths`: by pid.
const ProcessPaths *paths_of(std::span<const ProcessPaths> paths, uint32_t pid);

// The pids of `root` and all its descendants, zombies too, parents before their children; empty if there is no `root`.
std::vector<unsigned> descendants(std::span<const tree_record> tasks, unsigned root);

// Adds a Process for every process record, parents before their children, with all its threads. Left to others:
// registers, system calls, files, timers, and RegisteredRing.ring. What a dump cannot carry over is a finding.
void collect_tasks(const iterators::TaskRecords &records, std::span<const ProcessPaths> paths, Context &context);

// Process.cgroup, of a tree that is there.
void collect_cgroups(Context &context);

// A security label that bpfckpt does not have itself, in a tree that is there.
void refuse_other_labels(Context &context);

// Descriptors of processes whose leaders have exited, where the kernel has no pidfd of another thread.
void refuse_unreachable_descriptors(Context &context);

// For other collectors: a struct cred with its groups.
void collect_credentials(const task_credentials &record, std::span<const group_record> groups,
			 images::Credentials *message);

} // namespace bpfckpt::collect
