/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// DirectoryWriter: a checkpoint directory while it is being written.
//
// Records are streamed, so memory stays bounded however large the tree is. The manifest is written last, under a
// temporary name, and renamed when everything else is on disk: a directory without a valid manifest.img is no
// checkpoint. Unless commit() succeeded, the destructor removes every file it created, and the directory if it created
// that.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "images/document.pb.h"
#include "images/manifest.pb.h"
#include "user/util/result.h"

namespace bpfckpt::images {

class DirectoryWriter {
public:
	// Creates `path` with mode 0700, or takes a directory that exists and is empty. No symbolic link is followed in
	// the last component. Errors: kUsage if it is not empty or no directory, else that of the system call.
	static Result<DirectoryWriter> create(const std::string &path);

	DirectoryWriter(DirectoryWriter &&) noexcept;
	DirectoryWriter &operator=(DirectoryWriter &&) noexcept;
	~DirectoryWriter();

	// A file without records, "pages.img": created empty, O_RDWR. The descriptor stays the writer's; size, map and
	// write it freely until commit(). The second call with one name gives the same descriptor.
	Result<int> raw_file(const std::string &name);

	// Append one record. Errors: that of write(2), with the path; ENOSPC is Code::kLimit.
	Result<> add(const File &file);
	Result<> add(const Ring &ring);
	Result<> add(const Memory &memory);
	Result<> add(const SharedMemory &memory);

	// Every record of the document, in its order, but those of memory that was added before. not_restorable goes
	// into the manifest. `complete` adds to each process, without its threads, and to each thread what is only in
	// its message while that is written: there may be thousands. Of a process without threads those that it adds
	// are written. The document is as before afterwards.
	struct Complete {
		std::function<void(Process &)> process = [](Process &) {};
		std::function<void(const Process &, Thread &)> thread = [](const Process &, Thread &) {};
	};
	Result<> add(Document &document, const Complete &complete);
	Result<> add(Document document);

	// Syncs and checksums every file, then publishes the manifest. The caller gives what only it knows (root_pid,
	// times, frozen_ns, xstate_size, vdso_hash); version, architecture, files and counts are filled in. Returns
	// what was written. On an error nothing is left of the checkpoint.
	Result<Manifest> commit(Manifest manifest, const std::function<Result<>()> &last = [] { return Result<>(); });

private:
	struct State;
	explicit DirectoryWriter(std::unique_ptr<State> state);

	std::unique_ptr<State> state_;
};

} // namespace bpfckpt::images
