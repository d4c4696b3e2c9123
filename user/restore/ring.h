/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Rings (struct io_ring_ctx), and the requests that wait in them.
//
// A ring is set up by a thread of the tree: the kernel charges its memory to that thread's address space, looks up
// buffers there, and lets nobody else submit with SINGLE_ISSUER. bpfckpt has the descriptor too, and registers whatever
// hangs on no process; the tables get the ring like any other file.
//
// Invariant: no thread of the tree ever enters a ring that goes away again. The kernel would remove the thread from it
// much later (io_ring_exit_work), by a task work that ends the thread's wait in epoll_wait(2) with EINTR.
#pragma once

#include <memory>

#include "user/restore/file.h"

namespace bpfckpt::restore {

class Rings {
public:
	Rings(Tree &tree, const Plan &plan, OpenFiles &files, const PageImage &pages);
	~Rings();
	Rings(const Rings &) = delete;
	Rings &operator=(const Rings &) = delete;

	// Makes them all, in processes that have their memory and their threads, and no descriptor; leaves it so.
	Result<> restore();
	// What waited in them waits again. The processes have their descriptors, which members of a chain look up when
	// their turn comes.
	Result<> rearm();
	// But for works of io-wq, and what waits behind these: a worker begins at once, with the credentials, the root
	// and the working directory that the thread has by then.
	Result<> rearm_works();

private:
	struct Parts;
	Tree &tree_;
	const Plan &plan_;
	OpenFiles &files_;
	const PageImage &pages_;
	std::unique_ptr<Parts> parts_;
};

} // namespace bpfckpt::restore
