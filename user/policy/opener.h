/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Files that show and allow what their opener might see and do (file->f_cred): frame numbers in a pagemap, addresses in
// kallsyms, moves between cgroups. Restore lets the process that has one open it again, so it must have been the
// opener.
#pragma once

#include <string_view>

#include "images/document.pb.h"
#include "iterators/file_reader.h"
#include "iterators/task_reader.h"
#include "user/collect/context.h"

namespace bpfckpt::policy {

// Regular files of /proc, /sys, cgroups and the like.
[[nodiscard]] bool asks_who_opened(const images::File &file);

// Who opens such a file at restore: the first process that has it open. nullptr: bpfckpt itself does, because that
// process has all the privileges that such files ask for, or because there is none.
[[nodiscard]] const images::Process *opener_of(const images::Document &document, const images::File &file);

// "/proc/12/maps" is 12 and "/maps"; "/proc/self/maps" 0 and "self/maps". pid 0: it is of no process.
struct ProcPath {
	uint32_t pid = 0;
	std::string_view rest = {};
};
[[nodiscard]] ProcPath proc_path_of(const images::File &file);

// After collect_files(): those that another than opener_of() has opened are findings.
void refuse_other_openers(const iterators::FileReader &files, const iterators::TaskRecords &records,
			  collect::Context &context);

} // namespace bpfckpt::policy
