/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// BpfObject<Skeleton>: owner of one BPF object, and the two ways of running its programs.
#pragma once

#include <memory>
#include <span>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "user/util/result.h"
#include "user/util/unique_fd.h"

namespace bpfckpt::iterators
{

// Owns a skeleton made by bpftool. `Skeleton` is e.g. task_bpf with its static functions open, load, destroy.
template <class Skeleton>
class BpfObject
{
public:
	// Opened, not yet loaded: sizes of maps and read-only variables may still be set through ->.
	static Result<BpfObject> open()
	{
		BpfObject object(Skeleton::open());
		if (!object.skeleton_)
			return errno_error(errno, "cannot open BPF object");
		return object;
	}

	// Errors: Permission without CAP_BPF and CAP_PERFMON, KernelLacks without BTF or with a kernel type that is not
	// there.
	Result<> load()
	{
		int err = -Skeleton::load(skeleton_.get());
		if (err == 0)
			return {};
		if (err == EPERM || err == EACCES)
			return errno_error(err, "cannot load BPF object")
				.with_hint("run as root (CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE)");
		Error error = errno_error(err, "the kernel refuses a BPF object");
		error.code = Code::kKernelLacks;
		return std::move(error).with_hint("bpfckpt check shows what this kernel offers");
	}

	Skeleton *operator->() const { return skeleton_.get(); }

private:
	struct Destroy {
		void operator()(Skeleton *skeleton) const { Skeleton::destroy(skeleton); }
	};
	explicit BpfObject(Skeleton *skeleton) : skeleton_(skeleton) {}

	std::unique_ptr<Skeleton, Destroy> skeleton_;
};

// Which tasks an iterator visits. Numbers are those of the PID namespace of the caller (kernel/bpf/task_iter.c).
struct IterFilter {
	unsigned pid = 0; // all threads of this process; 0: no filter
	unsigned tid = 0; // this task only
};

// An attached iterator program. attach() allocates, run() only opens and drains the iterator: attach before the freeze.
class IterLink
{
public:
	static Result<IterLink> attach(bpf_program *program, IterFilter filter = {});
	// One whole pass. The program writes to maps; its seq_file must stay empty.
	Result<> run() const;

private:
	struct Destroy {
		void operator()(bpf_link *link) const { bpf_link__destroy(link); }
	};
	std::unique_ptr<bpf_link, Destroy> link_;
};

// Runs a SEC("syscall") program once with `context` as its argument; returns the program's return value.
Result<int> run_syscall_program(const bpf_program *program, std::span<std::byte> context);

} // namespace bpfckpt::iterators
