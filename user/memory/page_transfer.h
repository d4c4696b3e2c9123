/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// PageDump: the content of address spaces and of shared memory objects, from stopped processes into pages.img.
//
// Three phases, because of the frozen window. prepare(), before the freeze: estimates the size from the running target
// and allocates the file. copy(), inside the freeze: finds the pages and copies them. finish(), after the thaw: cuts
// the file to its real size. The memory that it needs does not grow with the target's. A full disk is an error
// (Code::kLimit), never SIGBUS.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include <sys/types.h>

#include "iterators/vma_reader.h"
#include "user/memory/range.h"
#include "user/memory/shared_object.h"
#include "user/util/interrupt.h"
#include "user/util/result.h"

namespace bpfckpt::memory {

inline constexpr char kPagesFile[] = "pages.img";

// Consecutive pages, consecutive in pages.img too.
struct CopiedRun {
	Range range;         // addresses, or bytes of the object
	uint64_t offset = 0; // in pages.img
};

struct SpacePages {
	uint64_t mm = 0; // struct mm_struct
	std::vector<CopiedRun> runs;
	std::vector<Range> guards; // MADV_GUARD_INSTALL
};

struct SharedPages {
	SharedObject object;
	std::vector<CopiedRun> runs;
};

// Pages that were read elsewhere. They must stay where they are until they are copied.
struct LooseBytes {
	std::span<const std::byte> bytes;
	std::span<const SharedPages> objects; // whose pages are among them: offsets are within `bytes`
};

class PageDump {
public:
	// `pids` still run. `pages_fd` is pages.img, empty and open for reading and writing; it must stay open until
	// finish().
	static Result<PageDump> prepare(int pages_fd, std::span<const pid_t> pids);
	PageDump(PageDump &&) noexcept;
	PageDump &operator=(PageDump &&) noexcept;
	~PageDump();

	// All processes of `vmas` are stopped. `parents`: of each process; private pages that fork left shared with the
	// parent are copied once, and both have the same offset. `shared`: objects without a path that are open (memfd,
	// deleted files); those that are mapped are found without help. Every object is copied once, however often it
	// is named.
	using Parents = std::unordered_map<pid_t, pid_t>;
	// `loose`: pages that nothing of these has, read already.
	Result<> copy(const iterators::VmaReader &vmas, const Parents &parents, std::span<const SharedObject> shared,
		      const LooseBytes &loose, const MayGoOn &may_go_on);
	Result<> finish();

	[[nodiscard]] std::span<const SpacePages> spaces() const;
	// Its runs and guards are needed no more. Quick for what was asked for last.
	void forget(uint64_t mm) const;
	[[nodiscard]] std::span<const SharedPages> shared() const;
	// Where `loose` begins in pages.img.
	[[nodiscard]] uint64_t loose_offset() const;
	[[nodiscard]] uint64_t bytes() const;

private:
	struct State;
	explicit PageDump(std::unique_ptr<State> state);
	std::unique_ptr<State> state_;
};

} // namespace bpfckpt::memory
