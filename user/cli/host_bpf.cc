// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// BPF: each interface by itself, so that the user learns which one is missing, and then our own programs.
#include <array>
#include <memory>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "iterators/file_reader.h"
#include "iterators/kernel_symbols.h"
#include "iterators/sleeper_reader.h"
#include "iterators/task_reader.h"
#include "iterators/uring_reader.h"
#include "iterators/vma_reader.h"
#include "user/cli/host_features.h"
#include "user/util/unique_fd.h"

namespace bpfckpt::cli {

namespace {

constexpr const char *kAll = "everything that reads a live process";

using Btf = std::unique_ptr<btf, decltype(&btf__free)>;

Result<Btf> load_btf()
{
	Btf types(btf__load_vmlinux_btf(), btf__free);
	if (!types) {
		int err = errno;
		if (err == EPERM || err == EACCES)
			return errno_error(err, "cannot read /sys/kernel/btf/vmlinux");
		return make_error(Code::kKernelLacks, "the kernel was built without CONFIG_DEBUG_INFO_BTF");
	}
	return types;
}

Result<std::string> probe_btf()
{
	Btf types = TRY(load_btf());
	return fmt::format("{} types", btf__type_cnt(types.get()));
}

// "return 0;"
constexpr std::array<bpf_insn, 2> kReturnZero = {
	bpf_insn{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .src_reg = 0, .off = 0, .imm = 0},
	bpf_insn{.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
};

Result<UniqueFd> load_program(bpf_prog_type type, const bpf_prog_load_opts &options)
{
	UniqueFd fd(bpf_prog_load(type, "bpfckpt_check", "GPL", kReturnZero.data(), kReturnZero.size(), &options));
	if (fd.valid())
		return fd;
	int err = errno;
	if (err == EPERM || err == EACCES)
		return errno_error(err, "not allowed");
	return make_error(Code::kKernelLacks, "{}", strerror(err));
}

template <const char *kTarget>
Result<std::string> probe_iterator()
{
	Btf types = TRY(load_btf());
	std::string function = fmt::format("bpf_iter_{}", kTarget);
	int id = btf__find_by_name_kind(types.get(), function.c_str(), BTF_KIND_FUNC);
	if (id < 0)
		return make_error(Code::kKernelLacks, "no {} in BTF", function);
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_TRACE_ITER, .prog_flags = BPF_F_SLEEPABLE,
		    .attach_btf_id = static_cast<__u32>(id));
	UniqueFd program = TRY(load_program(BPF_PROG_TYPE_TRACING, options));
	UniqueFd link(bpf_link_create(program.get(), 0, BPF_TRACE_ITER, nullptr));
	if (!link.valid())
		return errno_error(errno, "cannot attach");
	return "";
}

constexpr char kTask[] = "task";
constexpr char kTaskFile[] = "task_file";
constexpr char kTaskVma[] = "task_vma";

Result<std::string> probe_syscall_program()
{
	LIBBPF_OPTS(bpf_prog_load_opts, options, .prog_flags = BPF_F_SLEEPABLE);
	TRY(load_program(BPF_PROG_TYPE_SYSCALL, options));
	return "";
}

Result<std::string> probe_mmapable_array()
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
	UniqueFd fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "bpfckpt_check", 4, 8, 1, &options));
	if (!fd.valid())
		return errno_error(errno, "cannot create");
	return "";
}

template <bpf_func_id kHelper>
Result<std::string> probe_helper()
{
	// libbpf can try helpers with this type only; ours have the same set.
	int result = libbpf_probe_bpf_helper(BPF_PROG_TYPE_KPROBE, kHelper, nullptr);
	if (result == 1)
		return "";
	if (result < 0)
		return errno_error(-result, "cannot be tried");
	return make_error(Code::kKernelLacks, "unknown to the kernel");
}

template <class Reader>
Result<std::string> without_detail(Result<Reader> reader)
{
	if (!reader)
		return std::move(reader).error();
	return "";
}

Result<std::string> probe_task_reader()
{
	return without_detail(iterators::TaskReader::load());
}

Result<std::string> probe_sleeper_reader()
{
	return without_detail(iterators::SleeperReader::load(1));
}

Result<std::string> probe_file_reader()
{
	return without_detail(iterators::FileReader::load({}));
}

Result<std::string> probe_vma_reader()
{
	return without_detail(iterators::VmaReader::load());
}

Result<std::string> probe_kernel_symbols()
{
	const uint64_t nothing = 1;
	return without_detail(iterators::kernel_symbols({&nothing, 1}));
}

Result<std::string> probe_uring_reader()
{
	return without_detail(iterators::UringReader::load());
}

constexpr auto kProbes = std::to_array<Probe>({
	{"BPF", "BTF of the kernel", kAll, nullptr, probe_btf},
	{"BPF", "iterator task", "threads, signals, credentials, timers", nullptr, probe_iterator<kTask>},
	{"BPF", "iterator task_file", "open files", nullptr, probe_iterator<kTaskFile>},
	{"BPF", "iterator task_vma", "address spaces", nullptr, probe_iterator<kTaskVma>},
	{"BPF", "program type syscall", "walks from rings and files", nullptr, probe_syscall_program},
	{"BPF", "array map with mmap", "records from BPF", nullptr, probe_mmapable_array},
	{"BPF", "helper bpf_probe_read_kernel", kAll, nullptr, probe_helper<BPF_FUNC_probe_read_kernel>},
	{"BPF", "helper bpf_loop", "walks of any length", nullptr, probe_helper<BPF_FUNC_loop>},
	{"BPF", "bpfckpt's task programs", "threads, signals, credentials, timers", nullptr, probe_task_reader},
	{"BPF", "bpfckpt's sleeper programs", "the time that a sleeping thread has left", nullptr,
	 probe_sleeper_reader},
	{"BPF", "bpfckpt's file programs", "open files", nullptr, probe_file_reader},
	{"BPF", "bpfckpt's memory programs", "address spaces", nullptr, probe_vma_reader},
	{"BPF", "bpfckpt's symbol program", "calls that the kernel restarts, task work of rings", nullptr,
	 probe_kernel_symbols},
	{"BPF", "bpfckpt's io_uring programs", "rings and requests in flight", nullptr, probe_uring_reader},
});

} // namespace

std::span<const Probe> bpf_probes()
{
	// What fails is in the report already: these objects are loaded without BpfObject.
	libbpf_set_print(nullptr);
	return kProbes;
}

} // namespace bpfckpt::cli
