/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Consistency of a document: ids are unique, references lead somewhere, ranges are ordered and in bounds, counts and
// sizes are what the kernel allows. Whoever uses a document that passed need not check again.
#pragma once

#include <cstdint>

#include "images/document.pb.h"
#include "user/util/id_set.h"
#include "user/util/result.h"

namespace bpfckpt::images {

// `pages_size`: of pages.img, which page runs point into. The first problem found, as Code::kCorrupt with its object.
Result<> validate(const Document &document, uint64_t pages_size);

// What a reference may lead to.
struct DocumentIds {
	IdSet files;
	IdSet rings;
	IdSet memory;
	IdSet shared_memory;
	bool all_rings = true; // otherwise none is known yet
};

// The same for address spaces that are not in the document: it has all files, and the shared memory that they refer to,
// but the rings may come later.
class MemoryValidator {
public:
	explicit MemoryValidator(const Document &document) : document_(document) { ids_.all_rings = false; }
	Result<> validate(const Memory &memory, uint64_t pages_size);

private:
	const Document &document_;
	DocumentIds ids_;
	int known_files_ = 0;
	int known_shared_memory_ = 0;
};

// The same for processes and threads of which the document has only a part.
class TaskValidator {
public:
	explicit TaskValidator(const Document &document);
	// Without its threads.
	Result<> validate(const Process &process) const;
	Result<> validate(const Thread &thread) const;

private:
	DocumentIds ids_;
};

} // namespace bpfckpt::images
