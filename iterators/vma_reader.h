/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// VmaReader: address spaces and their VMAs through the task_vma iterator, one pass for each process.
//
// The iterator is filtered by the thread id of the leader: filtered by process it visits each thread that has unshared
// its files, and tells all VMAs again (kernel/bpf/task_iter.c: task_seq_get_next()).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "iterators/vma_list.h"
#include "iterators/vma_record.h"
#include "user/util/result.h"

namespace bpfckpt::iterators {

// One address space. Processes that share an mm (CLONE_VM) are listed together, and its VMAs are told once.
struct AddressSpace {
	const mm_record *mm = nullptr;
	VmaList vmas; // by address
	std::vector<pid_t> pids;
	pid_t tid = 0; // a thread through which /proc and process_vm_readv(2) reach it: the leader may have exited
};

inline constexpr unsigned long kThpExceptAdvised = 2; // PR_THP_DISABLE_EXCEPT_ADVISED, since v6.18

// By what a VMA's kind is known. Learned from mappings of our own; 0: this kernel has no such kind.
struct VmaKinds {
	uint64_t special_ops = 0; // vdso, vvar: special_mapping_vmops
	uint64_t sysv_ops = 0;    // shm_vm_ops
	uint64_t aio_ops = 0;     // aio_ring_vm_ops
	uint64_t ring_f_op = 0;   // io_uring_fops
	uint64_t secretmem_f_op = 0;
	uint64_t thp_disabled = 0;     // bits of mm_record.flags: prctl(PR_SET_THP_DISABLE)
	uint64_t thp_advised_only = 0; // the same with PR_THP_DISABLE_EXCEPT_ADVISED, since v6.18
	uint32_t shmem_device = 0;     // s_dev of the kernel's own tmpfs: memfd, shared anonymous and SysV memory
};

// All that one round has read: views of the maps, valid until the next one.
struct VmaRecords {
	std::span<const AddressSpace> spaces = {};
	VmaKinds kinds = {};
	std::span<const vma_name_record> names = {};
	std::span<const mm_auxv_record> auxvs = {};

	// Empty: it has none.
	[[nodiscard]] std::string_view name_of(const vma_record &vma) const;
	[[nodiscard]] std::span<const __u64> auxv_of(const mm_record &mm) const;
};

// How many records of each kind there is room for, of all processes together; of VMAs, names and vectors that are the
// same, one.
struct VmaCapacity {
	uint32_t vmas = 4096;
	uint32_t spaces = 256;
	uint32_t names = 1024;
	uint32_t auxvs = 256;
};

class VmaReader {
public:
	// Before the freeze; takes some ms.
	static Result<VmaReader> load(const VmaCapacity &capacity = {});
	VmaReader(VmaReader &&) noexcept;
	VmaReader &operator=(VmaReader &&) noexcept;
	~VmaReader();

	// The processes whose address spaces run() tells; replaces those of an earlier call.
	Result<> attach(std::span<const pid_t> pids);
	// One pass for each process. Code::kLimit if the map was too small: load(needed()) and do it again.
	// A process that has no address space (any more) has no AddressSpace afterwards.
	Result<> run();

	[[nodiscard]] std::span<const AddressSpace> spaces() const;
	[[nodiscard]] VmaRecords records() const;
	// struct file of every mapping and executable, each once.
	[[nodiscard]] std::vector<uint64_t> files() const;
	// What there is, or, where that was not enough, an eighth more than it takes.
	[[nodiscard]] VmaCapacity needed() const;
	[[nodiscard]] const VmaKinds &kinds() const;

private:
	struct State;
	explicit VmaReader(std::unique_ptr<State> state);
	std::unique_ptr<State> state_;
};

} // namespace bpfckpt::iterators
