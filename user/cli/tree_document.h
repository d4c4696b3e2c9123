/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// The document of a captured tree with everything that stands in the way of a dump: shared by dump and check -t.
#pragma once

#include "user/collect/contents.h"
#include "user/collect/rseq.h"
#include "user/collect/snapshot.h"
#include "user/memory/page_transfer.h"
#include "user/policy/options.h"
#include "user/target/frozen_tree.h"

namespace bpfckpt::cli {

// What only a stopped tree gives; all NULL for a live one.
struct FrozenParts {
	const target::FrozenTree *tree = nullptr;
	const memory::PageDump *pages = nullptr; // NULL in a dry run
	const collect::Contents *contents = nullptr;
	const collect::CriticalSections *sections = nullptr;
};

// Fills context.document and context.findings, leaks included; context.take_memory and context.lean are asked.
Result<> build_tree_document(collect::Snapshot &snapshot, const policy::Options &options, const FrozenParts &frozen,
			     collect::Context &context);

} // namespace bpfckpt::cli
