// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "iterators/bpf_object.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <string_view>
#include <utility>

#include <sys/resource.h>
#include <unistd.h>

namespace bpfckpt::iterators {

// Before a program of a section "iter/NAME" is loaded. Registered for a type that needs no BTF of the kernel, so that
// libbpf does not parse it; here it becomes what it is.
static int prepare_iterator(bpf_program *program, bpf_prog_load_opts *options, long)
{
	Result<std::shared_ptr<const KernelBtf>> kernel = KernelBtf::get();
	std::string_view section = bpf_program__section_name(program);
	section.remove_prefix(std::min(section.find('/') + 1, section.size()));
	options->attach_btf_id = kernel ? (*kernel)->iterator_id("bpf_iter_" + std::string(section)) : 0;
	if (!options->attach_btf_id)
		return -ENOENT;
	options->expected_attach_type = BPF_TRACE_ITER;
	return bpf_program__set_type(program, BPF_PROG_TYPE_TRACING);
}

// libbpf's callback has no context: what one thread loads, the same thread is told about.
static thread_local std::string complaint;

static int remember(libbpf_print_level level, const char *format, va_list args)
{
	if (level != LIBBPF_WARN)
		return 0;
	va_list again;
	va_copy(again, args);
	int length = vsnprintf(nullptr, 0, format, again);
	va_end(again);
	if (length < 0)
		return 0;
	std::string text(static_cast<size_t>(length) + 1, '\0');
	vsnprintf(text.data(), text.size(), format, args);
	text.pop_back();
	// The log of the verifier can be megabytes; its end says why.
	constexpr size_t kEnough = 1024;
	complaint += text;
	complaint.erase(0, complaint.size() - std::min(complaint.size(), kEnough));
	return length;
}

std::string libbpf_complaint()
{
	std::string line = std::exchange(complaint, {});
	line.erase(line.find_last_not_of('\n') + 1);
	for (size_t at; (at = line.find('\n')) != std::string::npos;)
		line.replace(at, 1, "; ");
	return line;
}

Error load_error(int err)
{
	if (err == EPERM || err == EACCES)
		return errno_error(err, "cannot load BPF object")
			.with_hint("run as root (CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE)");
	Error error = errno_error(err, "the kernel refuses a BPF object")
			      .because(make_error(Code::kInternal, "{}", libbpf_complaint()));
	if (err == ENOMEM || err == E2BIG) {
		error.code = Code::kLimit;
		return std::move(error).with_hint("the records of this tree need more memory than there is");
	}
	error.code = Code::kKernelLacks;
	return std::move(error).with_hint("bpfckpt check shows what this kernel offers");
}

Result<> handle_iterator_sections()
{
	static const int kHandler = [] {
		libbpf_set_print(remember);
		LIBBPF_OPTS(libbpf_prog_handler_opts, options, .prog_prepare_load_fn = prepare_iterator);
		return libbpf_register_prog_handler("iter+", BPF_PROG_TYPE_SYSCALL, BPF_TRACE_ITER, &options);
	}();
	if (kHandler < 0)
		return errno_error(-kHandler, "cannot register a handler for BPF iterators");
	return {};
}

Result<IterLink> IterLink::attach(bpf_program *program, IterFilter filter)
{
	bpf_iter_link_info info = {};
	info.task.pid = filter.pid;
	info.task.tid = filter.tid;
	LIBBPF_OPTS(bpf_iter_attach_opts, options);
	if (filter.pid || filter.tid) {
		options.link_info = &info;
		options.link_info_len = sizeof(info);
	}
	IterLink result;
	result.link_.reset(bpf_program__attach_iter(program, &options));
	if (!result.link_)
		return errno_error(errno, "cannot attach BPF iterator").on(bpf_program__name(program));
	return result;
}

Result<> IterLink::run() const
{
	// The PID namespace is that of the task that creates the iterator (kernel/bpf/task_iter.c: init_seq_pidns()).
	UniqueFd fd(bpf_iter_create(bpf_link__fd(link_.get())));
	if (!fd.valid())
		return errno_error(errno, "cannot create BPF iterator");
	char byte[64];
	for (;;) {
		ssize_t got = ::read(fd.get(), byte, sizeof(byte));
		if (got == 0)
			return {};
		// EAGAIN: a million objects have gone by without output (kernel/bpf/bpf_iter.c: bpf_seq_read()).
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got < 0)
			return errno_error(errno, "BPF iterator failed");
		return Error(Code::kInternal, "a BPF iterator wrote to its seq_file");
	}
}

// Four readers have links, and the rest is for a pidfd of each process, and files of the tree. Those of thousands of
// processes would be memory that has to be found first.
static size_t link_limit(size_t processes)
{
	constexpr size_t kReserve = 256, kReaders = 4, kAlways = 512;
	rlimit limit = {};
	::getrlimit(RLIMIT_NOFILE, &limit);
	size_t taken = processes + kReserve;
	size_t room = limit.rlim_cur > taken ? (limit.rlim_cur - taken) / kReaders : 0;
	return std::min<size_t>(room, std::max<size_t>(limit.rlim_cur / 16, kAlways));
}

Result<> IterLinks::attach(bpf_program *program, std::vector<IterFilter> filters)
{
	program_ = program;
	filters_ = std::move(filters);
	links_.clear();
	size_t kept = std::min(filters_.size(), link_limit(filters_.size()));
	links_.reserve(kept);
	while (links_.size() < kept)
		links_.push_back(TRY(IterLink::attach(program_, filters_[links_.size()])));
	return {};
}

Result<> IterLinks::run(size_t index) const
{
	if (index < links_.size())
		return links_[index].run();
	return TRY(IterLink::attach(program_, filters_[index])).run();
}

Result<> IterLinks::run() const
{
	for (size_t i = 0; i < filters_.size(); i++)
		TRY(run(i));
	return {};
}

std::vector<IterFilter> each_process(std::span<const unsigned> pids)
{
	std::vector<IterFilter> filters;
	for (unsigned pid : pids)
		filters.push_back({.pid = pid});
	return filters;
}

std::vector<IterFilter> each_leader(std::span<const unsigned> pids)
{
	std::vector<IterFilter> filters;
	for (unsigned pid : pids)
		filters.push_back({.tid = pid});
	return filters;
}

Result<int> run_syscall_program(const bpf_program *program, std::span<std::byte> context)
{
	LIBBPF_OPTS(bpf_test_run_opts, options);
	options.ctx_in = context.data();
	options.ctx_size_in = static_cast<__u32>(context.size());
	int err = bpf_prog_test_run_opts(bpf_program__fd(program), &options);
	if (err)
		return errno_error(-err, "cannot run BPF program").on(bpf_program__name(program));
	return static_cast<int>(options.retval);
}

} // namespace bpfckpt::iterators
