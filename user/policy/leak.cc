// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/policy/leak.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <ranges>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include <unistd.h>

#include "user/collect/fd_index.h"
#include "user/target/tree_scan.h"

namespace bpfckpt::policy {

namespace {

constexpr unsigned kFmodeRead = 1;
constexpr unsigned kFmodeWrite = 2;
constexpr size_t kNamedHolders = 4;
constexpr int kMaxGenerations = 1000;

// Something of the tree that may be shared, and how to say so.
struct Suspect {
	std::string object;
	std::string what;
	bool certain = false; // the kernel's counts say so: it is a leak even if no holder is found
	uint32_t hidden = 0;  // File.id of what no fd of the tree names
};

// What each process of the tree has, of which only leaks get words.
struct ProcessPart {
	uint64_t address;
	uint32_t pid;
	const char *what;
};

using Suspects = std::map<uint64_t, Suspect>;

} // namespace

// Those whose sharing nobody can notice, or where it is accepted: see docs/support.md on shared file positions.
static bool may_be_shared(iterators::FileKind kind)
{
	switch (kind) {
	case FILE_KIND_REGULAR:
	case FILE_KIND_DIRECTORY:
	case FILE_KIND_PATH:
	case FILE_KIND_CHARDEV:
	case FILE_KIND_BLOCKDEV:
	case FILE_KIND_NAMESPACE:
	case FILE_KIND_PIDFD:
	case FILE_KIND_SHM: // by inode, see suspect_memory()
	case FILE_KIND_MEMFD:
		return true;
	default:
		return false;
	}
}

namespace {

// References to struct files that the tree itself explains, at most: by File.id. What only looks at a file (epoll)
// holds none; a request that uses a registered file may hold none of its own.
class KnownReferences {
public:
	explicit KnownReferences(const collect::Context &ctx) : mappings_(ctx.mappings_of_file)
	{
		for (const images::Process &process : ctx.document->processes())
			for (const images::Thread &thread : process.threads())
				for (const images::RegisteredRing &ring : thread.registered_rings())
					by_rings_[ring.file()]++;
		for (const images::Ring &ring : ctx.document->rings())
			add(ring);
	}
	[[nodiscard]] uint32_t of(uint32_t file) const { return by_rings(file) + find(mappings_, file); }
	// Slots, requests, registered descriptors.
	[[nodiscard]] uint32_t by_rings(uint32_t file) const { return find(by_rings_, file); }

private:
	using Counts = std::unordered_map<uint32_t, uint32_t>;

	static uint32_t find(const Counts &counts, uint32_t file)
	{
		auto it = counts.find(file);
		return it == counts.end() ? 0 : it->second;
	}
	void add(const images::Ring &ring)
	{
		for (const images::FixedFile &fixed : ring.fixed_files())
			by_rings_[fixed.file()]++;
		for (const images::Request &request : ring.in_flight()) {
			by_rings_[request.file()]++;
			by_rings_[request.in_flight_file2()]++;
		}
	}

	const Counts &mappings_;
	Counts by_rings_;
};

} // namespace

// flock(2) and F_OFD_SETLK lock for a struct file: who shares it has the lock, too, and keeps it when the tree ends.
static std::unordered_set<uint64_t> locked_files(const iterators::FileReader &reader)
{
	std::unordered_set<uint64_t> files;
	for (const lock_record &lock : reader.records().locks)
		if (lock.kind == LOCK_FLOCK || (lock.kind == LOCK_POSIX && lock.owner == lock.file))
			files.insert(lock.file);
	return files;
}

static std::string describe_ring(const images::Document &document, const images::Ring &ring)
{
	for (const images::Process &process : document.processes())
		for (const images::FdEntry &fd : process.files())
			if (fd.file() == ring.file())
				return fmt::format("ring {} (fd {} of pid {} ({}))", ring.id(), fd.fd(), process.pid(),
						   process.comm());
	return fmt::format("ring {}", ring.id());
}

// What only a ring has.
static std::string describe_hidden(const images::Document &document, uint32_t file)
{
	for (const images::Ring &ring : document.rings()) {
		for (const images::FixedFile &fixed : ring.fixed_files())
			if (fixed.file() == file)
				return fmt::format("fixed file {} of {}", fixed.slot(), describe_ring(document, ring));
		for (const images::Request &request : ring.in_flight())
			if (request.file() == file || request.in_flight_file2() == file)
				return "a request of " + describe_ring(document, ring);
		if (ring.file() == file)
			return fmt::format("ring {}", ring.id());
	}
	return fmt::format("file {}", file);
}

// Of a running tree a thread inside a system call may hold one more for that moment.
static void suspect_files(const iterators::FileReader &reader, const collect::FdIndex &fds, const collect::Context &ctx,
			  Suspects &suspects)
{
	KnownReferences known(ctx);
	std::unordered_set<uint64_t> locked = locked_files(reader);
	for (const file_record &record : reader.files()) {
		uint32_t id = ctx.ids.files.find(record.file);
		uint32_t slots = fds.slots_of(record.file);
		uint32_t held = slots ? slots : std::min(known.by_rings(id), 1u);
		if (held == 0 || suspects.contains(record.inode) || record.count <= held ||
		    (may_be_shared(iterators::kind_of(record)) && !locked.contains(record.file)))
			continue;
		suspects[record.file] = {fds.describe(record.file, id), reader.path_of(record) + " is shared with",
					 !ctx.live && record.count > slots + known.of(id), slots ? 0 : id};
	}
}

// Every mapping of a segment counts (ipc/shm.c: shm_nattch).
static bool is_attached_outside(const collect::Context &ctx, uint64_t inode)
{
	const images::Document &document = *ctx.document;
	auto object = std::ranges::find(document.shared_memory(), ctx.ids.shared_memory.find(inode),
					&images::SharedMemory::id);
	if (ctx.live || object == document.shared_memory().end() || !object->has_sysv())
		return false;
	uint64_t mappings = 0;
	for (const images::Memory &memory : document.memory())
		for (const images::Vma &vma : memory.vmas())
			mappings += vma.kind() == images::Vma::SYSV_SHM && vma.shared_memory() == object->id();
	return object->sysv().attached() > mappings;
}

static void suspect_memory(const iterators::FileReader &reader, const collect::FdIndex &fds,
			   const collect::Context &ctx, Suspects &suspects)
{
	for (const file_record &record : reader.files()) {
		auto kind = iterators::kind_of(record);
		if (kind == FILE_KIND_MEMFD || kind == FILE_KIND_SHM)
			suspects[record.inode] = {fds.describe(record.file, ctx.ids.files.find(record.file)),
						  "the memory of " + reader.path_of(record) + " is shared with",
						  is_attached_outside(ctx, record.inode)};
	}
}

// Every struct file of a pipe counts once in its readers or writers (fs/pipe.c: fifo_open()).
static void suspect_pipes(const iterators::FileReader &reader, const collect::FdIndex &fds, const collect::Context &ctx,
			  Suspects &suspects)
{
	struct Ends {
		const file_record *any = nullptr;
		uint32_t readers = 0;
		uint32_t writers = 0;
	};
	std::unordered_map<uint64_t, Ends> pipes;
	for (const file_record &record : reader.files()) {
		auto kind = iterators::kind_of(record);
		if (kind != FILE_KIND_PIPE && kind != FILE_KIND_FIFO)
			continue;
		Ends &ends = pipes[record.inode];
		ends.readers += (record.f_mode & kFmodeRead) != 0;
		ends.writers += (record.f_mode & kFmodeWrite) != 0;
		if (!ends.any || fds.holders_of(ends.any->file).empty())
			ends.any = &record;
	}
	for (const auto &[inode, ends] : pipes) {
		const file_pipe &pipe = ends.any->pipe;
		if (pipe.readers <= ends.readers && pipe.writers <= ends.writers)
			continue;
		const char *which = pipe.readers <= ends.readers   ? "a write end"
				    : pipe.writers <= ends.writers ? "a read end"
								   : "both ends";
		suspects[inode] = {
			fds.describe(ends.any->file, ctx.ids.files.find(ends.any->file)),
			fmt::format("{} of {} {} also held by", which, reader.path_of(*ends.any),
				    pipe.readers <= ends.readers || pipe.writers <= ends.writers ? "is" : "are"),
			true};
	}
}

static void suspect_peers(const iterators::FileReader &reader, const collect::FdIndex &fds, const collect::Context &ctx,
			  Suspects &suspects)
{
	std::unordered_set<uint64_t> inside;
	for (const socket_record &record : reader.sockets())
		inside.insert(record.sk);
	for (const socket_record &record : reader.sockets())
		if (record.peer_sk && !inside.contains(record.peer_sk))
			suspects[record.peer_sk] = {
				fds.describe(record.file, ctx.ids.files.find(record.file)),
				fmt::format("the peer of unix socket socket:[{}] is held by", record.ino), true};
}

// By address, each once: the last thread that has it stands for all.
static std::vector<ProcessPart> parts_of(std::span<const SharedObjects> tree)
{
	std::vector<ProcessPart> parts;
	parts.reserve(3 * tree.size());
	for (const SharedObjects &process : tree | std::views::reverse) {
		parts.push_back({process.mm, process.pid, "its address space is shared with"});
		parts.push_back({process.files, process.pid, "its fd table is shared with"});
		parts.push_back({process.fs, process.pid, "its working directory and root are shared with"});
	}
	std::ranges::stable_sort(parts, {}, &ProcessPart::address);
	auto [repeated, end] = std::ranges::unique(parts, {}, &ProcessPart::address);
	parts.erase(repeated, end);
	std::erase_if(parts, [](const ProcessPart &part) { return !part.address; });
	return parts;
}

static std::string name_of(const holder_record &holder)
{
	std::string comm(holder.comm, strnlen(holder.comm, sizeof(holder.comm)));
	std::string who = holder.pid ? fmt::format("pid {} ({})", holder.pid, comm)
				     : fmt::format("a process of another PID namespace ({})", comm);
	return holder.fd == HOLDER_TASK ? who : fmt::format("fd {} of {}", holder.fd, who);
}

static std::string join(const std::set<std::string> &names)
{
	std::string text;
	size_t written = 0;
	for (const std::string &name : names) {
		if (written == kNamedHolders)
			return text + fmt::format(" and {} more", names.size() - written);
		text += (written++ ? ", " : "") + name;
	}
	return text;
}

// The tree may run on by now. A process that it has forked since belongs to it, and one that has ended shares nothing
// any more.
static bool is_outside(std::span<const uint32_t> inside, uint32_t pid)
{
	for (int generations = 0; pid > 1 && generations < kMaxGenerations; generations++) {
		if (std::ranges::binary_search(inside, pid))
			return false;
		Result<target::TaskStat> stat = target::read_task_stat(fmt::format("/proc/{}/stat", pid));
		if (!stat)
			return false;
		pid = static_cast<uint32_t>(stat->ppid);
	}
	return true;
}

Result<> find_leaks(iterators::FileReader &reader, std::span<const SharedObjects> tree, const Options &options,
		    collect::Context &ctx)
{
	if (options.leak_ignore_all)
		return {};
	collect::FdIndex fds(reader.fds(), *ctx.document);
	Suspects suspects;
	suspect_memory(reader, fds, ctx, suspects);
	suspect_pipes(reader, fds, ctx, suspects);
	suspect_peers(reader, fds, ctx, suspects);
	suspect_files(reader, fds, ctx, suspects);
	std::vector<ProcessPart> parts = parts_of(tree);

	std::vector<uint64_t> wanted;
	wanted.reserve(suspects.size() + parts.size());
	for (const ProcessPart &part : parts)
		wanted.push_back(part.address);
	for (const auto &[address, suspect] : suspects)
		wanted.push_back(address);
	// What we borrowed of the target does not count, nor does the target.
	std::vector<uint32_t> inside = {static_cast<uint32_t>(::getpid())};
	for (const images::Process &process : ctx.document->processes())
		inside.push_back(process.pid());
	std::ranges::sort(inside);
	TRY(reader.find_holders(wanted, inside));
	std::map<uint64_t, std::set<std::string>> outside;
	for (const holder_record &holder : reader.holders())
		if (is_outside(inside, holder.pid))
			outside[holder.object].insert(name_of(holder));
	auto refuse = [&ctx](const std::string &object, const std::string &what, const std::string &names) {
		ctx.refuse(object, what + " " + names + ", outside of the tree",
			   "dump a tree that holds both sides, or accept the loss: --leak all=ignore");
	};
	for (const ProcessPart &part : parts) {
		auto names = outside.find(part.address);
		// Of a process that has ended since the address may be that of another's by now.
		if (names != outside.end() && reader.is_held_inside(part.address))
			refuse(fmt::format("pid {}", part.pid), part.what, join(names->second));
	}
	for (const auto &[address, suspect] : suspects) {
		std::string names = join(outside[address]);
		if (names.empty() && suspect.certain)
			names = "no open fd of any process (in flight in a socket, or closed meanwhile)";
		if (!names.empty())
			refuse(suspect.hidden ? describe_hidden(*ctx.document, suspect.hidden) : suspect.object,
			       suspect.what, names);
	}
	return {};
}

} // namespace bpfckpt::policy
