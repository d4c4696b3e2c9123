// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The sequence of a dump. Before the freeze: everything that can be found, loaded, allocated. Inside: BPF passes, the
// content of pipes and pages. After: messages, files, checksums. The source is released by destructors whatever fails.
#include "user/cli/dump.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <unordered_map>

#include <fmt/core.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "images/directory_writer.h"
#include "images/validate.h"
#include "iterators/kernel_btf.h"
#include "iterators/sleeper_reader.h"
#include "user/cli/dump_stats.h"
#include "user/cli/log_file.h"
#include "user/cli/report.h"
#include "user/cli/tree_document.h"
#include "user/memory/vdso.h"
#include "user/target/sleep_deadline.h"
#include "user/uring/inexact.h"
#include "user/util/interrupt.h"
#include "user/util/kept_heap.h"
#include "user/util/log.h"
#include "user/util/urgency.h"
#include "user/util/xstate.h"

namespace bpfckpt::cli {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::nanoseconds;
using Clock = std::chrono::steady_clock;

class Dump {
public:
	Dump(const DumpOptions &options, const Log &log) : options_(options), log_(log) {}

	Result<> run();
	[[nodiscard]] const Findings &findings() const { return context_.findings; }
	[[nodiscard]] const DumpStats &stats() const { return stats_; }

private:
	Result<> prepare();
	Result<> freeze();
	Result<> read();
	Result<> build();
	Result<> write_memory(const images::Memory &memory);
	Result<bool> check_processes(const collect::WholeProcesses &processes) const;
	Result<> write();
	Result<> finish();
	Result<> thaw();

	[[nodiscard]] policy::Options policy() const
	{
		return {.tcp_established = options_.tcp_established,
			.leak_ignore_all = options_.ignore_leaks,
			.inexact = options_.inexact,
			.ghost_limit = options_.ghost_limit};
	}
	[[nodiscard]] std::chrono::milliseconds drain_limit() const
	{
		auto limit = std::chrono::duration<double>(options_.drain_timeout_seconds);
		return duration_cast<std::chrono::milliseconds>(limit);
	}
	[[nodiscard]] images::Manifest manifest() const;
	std::optional<target::SleepDeadline> deadline_of(pid_t tid);
	void count_objects();

	const DumpOptions &options_;
	const Log &log_;
	DumpStats stats_;
	Clock::time_point start_ = Clock::now();
	Clock::time_point frozen_at_;
	std::optional<Urgency> urgency_;    // while the tree is stopped
	std::optional<KeptHeap> kept_heap_; // until everything is read
	InterruptGuard interrupt_;
	images::Document document_;
	images::MemoryValidator memory_validator_{document_};
	collect::Context context_;
	std::optional<collect::Snapshot> snapshot_;
	std::optional<iterators::SleeperReader> sleepers_;
	std::optional<target::SleepDeadlines> deadlines_;
	bool captured_ = false; // in the freeze
	std::optional<images::DirectoryWriter> writer_;
	std::optional<memory::PageDump> pages_;
	std::optional<collect::Contents> contents_;
	std::optional<collect::CriticalSections> sections_;
	std::vector<uring::RingDrain> drained_;
	// Last, so that it is the first to be undone: nothing else is worth the target's time.
	std::optional<target::FrozenTree> tree_;
};

// The records are those of the stopped tasks; after a freeze that has failed there are none yet.
std::optional<target::SleepDeadline> Dump::deadline_of(pid_t tid)
{
	if (!deadlines_ && !captured_)
		(void)snapshot_->capture_tasks();
	if (!deadlines_)
		deadlines_ = target::sleep_deadlines(sleepers_->sleepers(), snapshot_->tasks().tasks());
	auto found = deadlines_->find(static_cast<uint32_t>(tid));
	return found == deadlines_->end() ? std::nullopt : std::optional(found->second);
}

Result<> Dump::prepare()
{
	target::FreezeOptions freeze;
	freeze.root = options_.pid;
	freeze.timeout = duration_cast<nanoseconds>(std::chrono::duration<double>(options_.timeout_seconds));
	freeze.to_signal = !options_.leave_running && !options_.dry_run;
	freeze.cancelled = [this] { return interrupt_.interrupted(); };
	freeze.before_interrupt = [this] { return sleepers_->run(); };
	freeze.deadline_of = [this](pid_t tid) { return deadline_of(tid); };
	freeze.wait_argument_of = [this](pid_t tid, const images::InterruptedSyscall &call) {
		return snapshot_->wait_argument(tid, call);
	};
	tree_ = TRY(target::FrozenTree::prepare(std::move(freeze)));
	if (!options_.dry_run)
		writer_ = TRY(images::DirectoryWriter::create(options_.images_dir));
	log_.steps("found {} processes", tree_->pids().size());

	snapshot_ = TRY(collect::Snapshot::load(tree_->pids().size()));
	TRY(snapshot_->attach(tree_->pids()));
	// Once on the running tree: the maps get their size, and what is touched first is touched now.
	TRY(snapshot_->capture());
	TRY(snapshot_->prepare_pages());
	std::vector<uint64_t> tasks;
	for (const task_record &task : snapshot_->tasks().tasks())
		tasks.push_back(task.task);
	sleepers_ = TRY(iterators::SleeperReader::load(static_cast<uint32_t>(tasks.size())));
	TRY(sleepers_->look_at(tasks));
	iterators::KernelBtf::forget();
	log_.steps("loaded, attached and tried the BPF programs");
	if (!options_.dry_run) {
		int pages_fd = TRY(writer_->raw_file(memory::kPagesFile));
		std::vector<pid_t> tids;
		for (const iterators::AddressSpace &space : snapshot_->vmas().spaces())
			tids.push_back(space.tid);
		pages_ = TRY(memory::PageDump::prepare(pages_fd, tids));
		log_.steps("allocated the page image");
	}
	return interrupt_.check();
}

Result<> Dump::freeze()
{
	kept_heap_.emplace();
	urgency_.emplace();
	frozen_at_ = Clock::now();
	TRY(tree_->freeze());
	if (tree_->changed_since_prepare())
		TRY(snapshot_->attach(tree_->pids()));
	return {};
}

Result<> Dump::read()
{
	TRY(snapshot_->capture());
	captured_ = true;
	TRY(interrupt_.check());
	Clock::time_point drain_start = Clock::now();
	auto may_go_on = [this] { return interrupt_.check(); };
	auto result = snapshot_->drain(options_.drain, drain_limit(), *tree_, may_go_on);
	// What has not finished by then is a reason against restore, not against looking.
	if (!result && !(options_.forensic && result.error().code == Code::kTimeout && tree_->frozen()))
		return std::move(result).error();
	uring::DrainReport drained = result.value_or(uring::DrainReport());
	// What came to its end meanwhile may have changed anything: the position of a file, the count of an eventfd.
	if (!result || drained.rounds > 1)
		TRY(snapshot_->capture());
	stats_.drain = Clock::now() - drain_start;
	stats_.drain_rounds = drained.rounds;
	drained_ = std::move(drained.rings);
	snapshot_->look_at_names();
	contents_ = TRY(snapshot_->read_contents());
	sections_ = collect::CriticalSections::read(snapshot_->tasks().tasks(), *tree_);
	TRY(snapshot_->read_loose_pages());
	if (pages_) {
		memory::PageDump::Parents parents;
		for (const target::FrozenProcess &process : tree_->processes())
			parents[process.pid] = process.ppid;
		TRY(pages_->copy(snapshot_->vmas(), parents, snapshot_->shared_objects(), snapshot_->loose_pages(),
				 may_go_on));
	}
	return interrupt_.check();
}

Result<> Dump::thaw()
{
	TRY(tree_->thaw());
	stats_.frozen = Clock::now() - frozen_at_;
	urgency_.reset();
	log_.steps("frozen for {} us", duration_cast<microseconds>(stats_.frozen).count());
	return {};
}

Result<> Dump::build()
{
	if (pages_)
		TRY(pages_->finish());
	document_.set_version(1);
	document_.set_command("dump");
	context_.document = &document_;
	context_.lean = true;
	context_.take_memory = [this](const images::Memory &memory) { return write_memory(memory); };
	TRY(build_tree_document(*snapshot_, policy(),
				{.tree = &*tree_,
				 .pages = pages_ ? &*pages_ : nullptr,
				 .contents = contents_ ? &*contents_ : nullptr,
				 .sections = sections_ ? &*sections_ : nullptr},
				context_));
	count_objects();
	log_.steps("built the messages: {} findings", context_.findings.size());
	if (!context_.findings.empty() && !options_.forensic)
		return Error(Code::kUnsupported, "the tree cannot be dumped");
	for (const Error &finding : context_.findings) {
		images::Reason *reason = document_.add_not_restorable();
		reason->set_code(name_of(finding.code));
		reason->set_object(finding.object);
		reason->set_message(finding.message);
		reason->set_hint(finding.hint);
	}
	return interrupt_.check();
}

void Dump::count_objects()
{
	stats_.processes = document_.processes_size();
	for (const images::Process &process : document_.processes())
		stats_.threads += std::max(process.threads_size(), 1); // an only one need not be there
	for (const uring::RingDrain &drain : drained_)
		stats_.rings.push_back({.id = context_.ids.rings.find(drain.ring), .drain = drain});
	for (const images::Ring &ring : document_.rings())
		stats_.requests += ring.in_flight_size();
	stats_.accepted = uring::accepted_in(document_);
	stats_.page_bytes = pages_ ? pages_->bytes() : 0;
	stats_.fixed_syscalls = tree_->stats().fixed_syscalls;
}

images::Manifest Dump::manifest() const
{
	images::Manifest manifest;
	utsname host = {};
	uname(&host);
	manifest.set_kernel_release(host.release);
	manifest.set_bpfckpt_version(BPFCKPT_VERSION);
	manifest.set_created_ns(static_cast<uint64_t>(context_.time.realtime_ns));
	manifest.set_monotonic_ns(static_cast<uint64_t>(context_.time.monotonic_ns));
	manifest.set_boottime_ns(static_cast<uint64_t>(context_.time.boottime_ns));
	manifest.set_root_pid(static_cast<uint32_t>(options_.pid));
	manifest.set_frozen_ns(static_cast<uint64_t>(stats_.frozen.count()));
	manifest.set_vdso_hash(memory::vdso_hash());
	manifest.set_xstate_features(xstate_features());
	for (const target::FrozenProcess &process : tree_->processes())
		for (const target::FrozenThread &thread : process.threads)
			if (size_t size = thread.xstate.size()) {
				manifest.set_xstate_size(size);
				return manifest;
			}
	return manifest;
}

// What every reader would refuse is no checkpoint: found out while the source is still there.
static Result<> check(Result<> valid)
{
	if (!valid)
		return make_error(Code::kInternal, "the capture contradicts itself").because(std::move(valid).error());
	return {};
}

Result<> Dump::write_memory(const images::Memory &memory)
{
	if (!writer_)
		return {};
	TRY(interrupt_.check());
	tree_->take_ends();
	TRY(check(memory_validator_.validate(memory, UINT64_MAX)));
	return writer_->add(memory);
}

// Whoever was not stopped has changed what was read.
static Result<> was_stopped(const images::Process &process, const images::Thread &thread)
{
	if (thread.role() != images::Thread::USER || process.state() == images::Process::ZOMBIE ||
	    !thread.prstatus().empty())
		return {};
	return make_error(Code::kInternal, "thread {} ({}) was not stopped", thread.tid(), thread.comm())
		.on(fmt::format("pid {} ({})", process.pid(), process.comm()))
		.with_hint("it may have begun or ended meanwhile: try again");
}

// Whether the processes are what a reader accepts; and whether a thread is inside the vDSO.
Result<bool> Dump::check_processes(const collect::WholeProcesses &processes) const
{
	std::unordered_map<uint32_t, memory::Range> vdsos; // by Memory.id
	for (const images::Memory &memory : document_.memory())
		vdsos[memory.id()] = memory::vdso_code(memory);
	for (const collect::VdsoPlace &place : context_.vdsos)
		vdsos[place.memory] = {place.start, place.end};
	images::TaskValidator validator(document_);
	bool inside = false;
	TRY(processes.visit([&](const images::Process &process) { return check(validator.validate(process)); },
			    [&](const images::Process &process, const images::Thread &thread) -> Result<> {
				    inside |= memory::is_inside(thread, vdsos[process.address_space()]);
				    Result<> stopped = was_stopped(process, thread);
				    return stopped ? check(validator.validate(thread)) : stopped;
			    }));
	return inside;
}

Result<> Dump::write()
{
	if (!writer_)
		return {};
	TRY(check(images::validate(document_, UINT64_MAX)));
	collect::WholeProcesses processes = snapshot_->whole_processes(&*tree_, context_);
	bool inside_vdso = TRY(check_processes(processes));
	TRY(interrupt_.check());
	TRY(writer_->add(document_, {.process = [&](images::Process &process) { processes.complete(process); },
				     .thread =
					     [&](const images::Process &process, images::Thread &thread) {
						     processes.complete(process, thread);
						     processes.add_extended_registers(thread);
					     }}));
	// The last moment to be told to stop: barriers change rings for good, and then there is a checkpoint.
	auto last = [this]() -> Result<> {
		TRY(interrupt_.check());
		tree_->take_ends();
		if (options_.drain == uring::DrainMode::kNop)
			stats_.barriers = TRY(collect::ask_barriers(document_, *tree_, drain_limit()));
		return {};
	};
	images::Manifest described = manifest();
	TRY(memory::save_vdso(inside_vdso, *described.mutable_vdso()));
	images::Manifest written = TRY(writer_->commit(std::move(described), last));
	interrupt_.commit();
	log_.steps("committed {} files to {}", written.files_size() + 1, options_.images_dir);
	return {};
}

// What becomes of the tree once the images are safe.
Result<> Dump::finish()
{
	if (options_.leave_running || options_.dry_run)
		return {};
	Result<> done = options_.leave_stopped ? tree_->leave_stopped() : tree_->kill();
	if (!options_.leave_stopped)
		stats_.frozen = Clock::now() - frozen_at_;
	return done;
}

Result<> Dump::run()
{
	TRY(prepare());
	TRY(freeze());
	log_.steps("froze {} processes, {} threads", tree_->stats().processes, tree_->stats().threads);
	TRY(read());
	// A tree that goes on does so as soon as everything is read; one that is to end stays stopped until the images
	// are safe.
	if (options_.leave_running || options_.dry_run)
		TRY(thaw());
	else
		stats_.frozen = Clock::now() - frozen_at_;
	kept_heap_.reset(); // which takes its time
	TRY(build());
	TRY(write());
	TRY(finish());
	stats_.injected_syscalls = tree_->stats().injected_syscalls;
	stats_.wall = Clock::now() - start_;
	return {};
}

std::string fate_of_tree(const DumpOptions &options)
{
	if (options.dry_run)
		return "dry run: nothing was written, the tree runs on";
	if (options.leave_running)
		return "the tree runs on";
	return options.leave_stopped ? "the tree is left stopped" : "the tree was killed";
}

std::string summary_of(const DumpStats &stats, const DumpOptions &options)
{
	return fmt::format("dumped {} processes, {} threads, {} rings, {} requests in flight, {:.1f} MiB of pages; "
			   "frozen for {:.3f} ms; {}\n",
			   stats.processes, stats.threads, stats.rings.size(), stats.requests,
			   static_cast<double>(stats.page_bytes) / (1 << 20),
			   static_cast<double>(stats.frozen.count()) / 1e6, fate_of_tree(options));
}

Result<> check_options(const DumpOptions &options)
{
	if (options.images_dir.empty() && !options.dry_run)
		return Error(Code::kUsage, "no directory for the images")
			.with_hint("give one with -D DIR, or try --dry-run");
	// It changes rings for good.
	if (options.drain == uring::DrainMode::kNop &&
	    (options.leave_running || options.leave_stopped || options.dry_run))
		return Error(Code::kUsage, "--drain=nop is for a tree that ends with the dump")
			.with_hint("the others are --drain=auto, observe, enter and off");
	return {};
}

} // namespace

int run_dump(const DumpOptions &options)
{
	if (Result<> checked = check_options(options); !checked)
		return report_error(checked.error());
	Result<Log> log = open_log(options.log);
	if (!log)
		return report_error(log.error());
	Dump dump(options, *log);
	Result<> done = dump.run();
	if (!done) {
		log->steps("failed: {}", done.error().message);
		if (done.error().code == Code::kUnsupported && !dump.findings().empty())
			return report_findings(fmt::format("pid {} cannot be dumped", options.pid), dump.findings());
		return report_error(done.error());
	}
	const DumpStats &stats = dump.stats();
	std::string text = options.stats == StatsFormat::kJson
				   ? json_of(stats)
				   : summary_of(stats, options) + accepted_of(stats) +
					     (options.stats == StatsFormat::kText ? drains_of(stats) : "");
	// While signals are held back: what is done is said, if anybody listens.
	std::fputs(text.c_str(), stdout);
	std::fflush(stdout);
	return 0;
}

} // namespace bpfckpt::cli
