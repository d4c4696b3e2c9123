/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// A step that must not be left half done. A child that shares memory and descriptors with bpfckpt waits
// beside it; when bpfckpt dies before commit(), it undoes what there is, afterwards it finishes the rest.
//
// It is told by the kernel, which clears a word of a dying thread (set_tid_address(2)) with its memory, long before it
// lets go of what the thread traces (kernel/exit.c: do_exit(), exit_mm(), exit_notify()).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include <sys/types.h>

#include "user/util/mapping.h"
#include "user/util/result.h"

namespace bpfckpt {

class Guard {
public:
	struct Work {
		std::function<Result<>()> prepare; // before start() returns: what `undo` would have to take back
		std::function<void()> undo;
		std::function<void()> finish;
	};
	// The caller must be the only thread of bpfckpt that allocates until finish(). Errors: those of clone(2) and of
	// `prepare`.
	static Result<std::unique_ptr<Guard>> start(Work work);
	// Undoes, unless it was committed.
	~Guard();
	Guard(const Guard &) = delete;
	Guard &operator=(const Guard &) = delete;

	// The point of no return: one store.
	void commit() { committed_ = true; }
	[[nodiscard]] bool committed() const { return committed_; }
	// Has the rest done, and waits for it.
	void finish();

private:
	explicit Guard(Work work) : work_(std::move(work)) {}
	static int run(void *guard);
	void watch();

	Work work_;
	Mapping stack_;
	pid_t child_ = 0;
	Result<> prepared_;
	std::atomic<uint32_t> ready_ = 0;
	std::atomic<uint32_t> waiting_ = 1; // 0: bpfckpt has died, or wants it to go on
	std::atomic<bool> committed_ = false;
};

} // namespace bpfckpt
