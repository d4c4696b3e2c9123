// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "images/validate.h"

#include "images/format.h"
#include "user/util/page.h"

namespace bpfckpt::images {

namespace {

constexpr uint32_t kMaxSignal = 64;
constexpr uint32_t kMaxProtectionKey = 15;
constexpr uint32_t kMaxDescriptor = INT32_MAX & -64; // sysctl_nr_open_max (fs/file.c)
constexpr uint32_t kMaxPid = 4 << 20;                // PID_MAX_LIMIT (include/linux/threads.h)
// struct user_regs_struct of x86-64.
constexpr size_t kPrstatusSize = size_t{27} * 8;
constexpr size_t kSiginfoSize = 128;
constexpr size_t kMaxXstate = size_t{64} << 10;
constexpr size_t kMaxAffinity = 8192 / 8;
constexpr size_t kMaxAttributeName = 255;               // XATTR_NAME_MAX
constexpr size_t kMaxAttributeValue = size_t{64} << 10; // XATTR_SIZE_MAX
constexpr uint32_t kMaxRingEntries = 32768;
constexpr uint32_t kMaxCqEntries = 2 * kMaxRingEntries;

using Ids = DocumentIds;

// What an error is about. Only an error makes a string of it.
struct Name {
	const char *what;
	uint32_t number;
};

template <class... Args>
Error corrupt(Name object, fmt::format_string<Args...> format, Args &&...args)
{
	return make_error(Code::kCorrupt, format, std::forward<Args>(args)...)
		.on(fmt::format("{} {}", object.what, object.number));
}

uint32_t id_of(const Process &process)
{
	return process.pid();
}

uint32_t id_of(const auto &record)
{
	return record.id();
}

// "uring.img: ring 1", so that the user knows which file to look at.
Error in_file(Kind kind, Error error)
{
	for (const RecordFile &file : kRecordFiles)
		if (file.kind == kind)
			error.object = fmt::format("{}: {}", file.name, error.object);
	return error;
}

template <class Records>
Result<IdSet> ids_of(const Records &records, Kind kind, const char *what)
{
	IdSet ids(static_cast<size_t>(records.size()));
	for (const auto &record : records)
		if (id_of(record) == 0 || !ids.insert(id_of(record)))
			return in_file(kind, corrupt({what, id_of(record)}, "occurs twice, or is 0"));
	return ids;
}

template <class Records, class Verify>
Result<> each(const Records &records, Kind kind, Verify &&verify)
{
	for (const auto &record : records)
		if (Result<> result = verify(record); !result)
			return in_file(kind, std::move(result).error());
	return {};
}

// 0 stands for none.
Result<> refers_to(const IdSet &ids, uint32_t id, const char *what, Name object)
{
	if (id && !ids.contains(id))
		return corrupt(object, "refers to {} {}, which does not exist", what, id);
	return {};
}

Result<> is_path(const std::string &path, Name object)
{
	if (path.find('\0') != std::string::npos)
		return corrupt(object, "has a path with a zero byte");
	return {};
}

Result<> valid_signal(uint32_t signal, Name object)
{
	if (signal < 1 || signal > kMaxSignal)
		return corrupt(object, "has signal {}", signal);
	return {};
}

template <class Signals>
Result<> pending(const Signals &signals, Name object)
{
	for (const PendingSignal &signal : signals) {
		TRY(valid_signal(signal.signal(), object));
		if (!signal.siginfo().empty() && signal.siginfo().size() != kSiginfoSize)
			return corrupt(object, "has a siginfo of {} bytes", signal.siginfo().size());
	}
	return {};
}

// --- tasks ---------------------------------------------------------------------------------------------------------

Result<> thread_is_valid(const Thread &thread, const Ids &ids)
{
	Name object = {"thread", thread.tid()};
	if (!thread.prstatus().empty() && thread.prstatus().size() != kPrstatusSize)
		return corrupt(object, "has {} bytes of general registers", thread.prstatus().size());
	if (thread.xstate().size() > kMaxXstate)
		return corrupt(object, "has {} bytes of extended registers", thread.xstate().size());
	if (thread.scheduling().affinity().size() > kMaxAffinity)
		return corrupt(object, "has {} bytes of CPU mask", thread.scheduling().affinity().size());
	if (thread.has_syscall() && thread.syscall().args_size() != 0 && thread.syscall().args_size() != 6)
		return corrupt(object, "has {} syscall arguments", thread.syscall().args_size());
	for (const RegisteredRing &ring : thread.registered_rings()) {
		TRY(refers_to(ids.files, ring.file(), "file", object));
		TRY(refers_to(ids.rings, ring.ring(), "ring", object));
	}
	return pending(thread.pending_signals(), object);
}

bool is_worker(const Thread &thread)
{
	return thread.role() != Thread::USER && thread.role() != Thread::EXITED_LEADER;
}

Result<> threads_are_valid(const Process &process, const Ids &ids, Name object)
{
	std::unordered_set<uint32_t> tids;
	if (process.threads_size() && (process.threads(0).tid() != process.pid() || is_worker(process.threads(0))))
		return corrupt(object, "does not begin with its leader");
	for (const Thread &thread : process.threads()) {
		if (thread.tid() > kMaxPid)
			return corrupt(object, "has thread {}, a number that no kernel gives", thread.tid());
		if (thread.tid() == 0 || !tids.insert(thread.tid()).second)
			return corrupt(object, "has thread {} twice", thread.tid());
		if (thread.role() == Thread::EXITED_LEADER && thread.tid() != process.pid())
			return corrupt(object, "has an exited leader {}", thread.tid());
		TRY(thread_is_valid(thread, ids));
	}
	return {};
}

Result<> process_is_valid(const Process &process, const Ids &ids)
{
	Name object = {"pid", process.pid()};
	for (uint32_t id : {process.pid(), process.ppid(), process.parent_tid(), process.pgid(), process.sid()})
		if (id > kMaxPid)
			return corrupt(object, "has PID {}, a number that no kernel gives", id);
	if (process.exit_signal() > kMaxSignal)
		return corrupt(object, "has exit signal {}", process.exit_signal());
	TRY(threads_are_valid(process, ids, object));

	IdSet fds(static_cast<size_t>(process.files_size()));
	for (const FdEntry &entry : process.files()) {
		if (!fds.insert(entry.fd()))
			return corrupt(object, "has fd {} twice", entry.fd());
		if (entry.fd() > kMaxDescriptor)
			return corrupt(object, "has fd {}", entry.fd());
		if (!entry.file())
			return corrupt(object, "has fd {} without a file", entry.fd());
		TRY(refers_to(ids.files, entry.file(), "file", object));
	}
	std::unordered_set<uint32_t> timers;
	for (const PosixTimer &timer : process.timers())
		if (!timers.insert(timer.id()).second)
			return corrupt(object, "has timer {} twice", timer.id());
	for (const SignalAction &action : process.signal_actions())
		TRY(valid_signal(action.signal(), object));

	TRY(refers_to(ids.memory, process.address_space(), "address space", object));
	TRY(refers_to(ids.files, process.cwd_file(), "file", object));
	TRY(refers_to(ids.files, process.exe_file(), "file", object));
	for (const std::string *path : {&process.cwd(), &process.root(), &process.exe()})
		TRY(is_path(*path, object));
	return pending(process.pending_signals(), object);
}

// --- files ---------------------------------------------------------------------------------------------------------

Result<> file_is_valid(const File &file, const Ids &ids)
{
	Name object = {"file", file.id()};
	TRY(is_path(file.path(), object));
	for (const EpollItem &item : file.epoll().items()) {
		TRY(refers_to(ids.files, item.file(), "file", object));
		if (item.fd() > kMaxDescriptor)
			return corrupt(object, "watches descriptor {}", item.fd());
	}
	for (const FileLock &lock : file.locks())
		if (lock.start() > lock.end() || lock.end() > INT64_MAX)
			return corrupt(object, "has a lock from byte {} to {}", lock.start(), lock.end());
	for (const InotifyWatch &watch : file.inotify().watches())
		TRY(is_path(watch.path(), object));
	if (file.pipe().data().size() > file.pipe().size() && file.pipe().data().size() > file.pipe().queued())
		return corrupt(object, "has more data than the pipe can hold");
	for (const SocketMessage &message : file.socket().messages())
		if (!message.data().empty() && message.data().size() != message.length())
			return corrupt(object, "has a message whose length is wrong");
	TRY(refers_to(ids.shared_memory, file.memfd().shared_memory(), "shared memory", object));
	TRY(refers_to(ids.shared_memory, file.ghost().shared_memory(), "shared memory", object));
	return refers_to(ids.rings, file.io_uring().ring(), "ring", object);
}

// --- rings ---------------------------------------------------------------------------------------------------------

Result<> requests_are_valid(const Ring &ring, const Ids &ids, Name object)
{
	for (const Request &request : ring.in_flight()) {
		TRY(refers_to(ids.files, request.file(), "file", object));
		TRY(refers_to(ids.files, request.in_flight_file2(), "file", object));
		if (request.link() > static_cast<uint32_t>(ring.in_flight_size()))
			return corrupt(object, "has a request that is linked to number {} of {}", request.link(),
				       ring.in_flight_size());
		if (!request.sqe().empty() && request.sqe().size() != 64 && request.sqe().size() != 128)
			return corrupt(object, "has an SQE of {} bytes", request.sqe().size());
		if (request.sockaddr().size() > 128)
			return corrupt(object, "has a socket address of {} bytes", request.sockaddr().size());
		TRY(is_path(request.path(), object));
		TRY(is_path(request.path2(), object));
		if (request.attribute().size() > kMaxAttributeName || request.attribute().contains('\0'))
			return corrupt(object, "has an attribute with a name that no kernel takes");
		if (request.attribute_value().size() > kMaxAttributeValue)
			return corrupt(object, "has an attribute of {} bytes", request.attribute_value().size());
	}
	return {};
}

template <class Slots>
Result<> slots_are_valid(const Slots &slots, uint32_t size, Name object)
{
	IdSet seen(static_cast<size_t>(slots.size()));
	for (const auto &slot : slots) {
		if (slot.slot() >= size)
			return corrupt(object, "has slot {} in a table of {}", slot.slot(), size);
		if (!seen.insert(slot.slot()))
			return corrupt(object, "has slot {} twice", slot.slot());
	}
	return {};
}

// Pages of the buffer, by address, and what the page image has of them.
Result<> buffer_is_valid(const FixedBuffer &buffer, const Ids &ids, uint64_t pages_size, Name object)
{
	constexpr uint64_t kEnd = uint64_t{1} << 56; // of any address space
	if (buffer.address() > kEnd || buffer.length() > kEnd)
		return corrupt(object, "has a buffer outside of memory");
	uint64_t from = buffer.address() & ~(kPageSize - 1), end = buffer.address() + buffer.length();
	for (const PinnedRun &run : buffer.elsewhere()) {
		TRY(refers_to(ids.shared_memory, run.shared_memory(), "shared memory", object));
		if ((run.start() | run.length() | run.moved_to() | run.object_offset() | run.offset()) % kPageSize ||
		    !run.length() || run.start() < from || run.start() >= end ||
		    run.length() - kPageSize > end - run.start() - 1 || run.moved_to() > kEnd ||
		    (run.has_offset() && (run.offset() > pages_size || run.length() > pages_size - run.offset())))
			return corrupt(object, "has a buffer with pages that overlap, or are out of order or bounds");
		from = run.start() + run.length();
	}
	return refers_to(ids.memory, buffer.address_space(), "memory", object);
}

Result<> ring_is_valid(const Ring &ring, const Ids &ids, uint64_t pages_size)
{
	Name object = {"ring", ring.id()};
	TRY(refers_to(ids.files, ring.file(), "file", object));
	TRY(refers_to(ids.files, ring.eventfd().file(), "file", object));
	if (ring.sq_entries() > kMaxRingEntries || ring.cq_entries() > kMaxCqEntries)
		return corrupt(object, "has {} and {} entries", ring.sq_entries(), ring.cq_entries());
	if (static_cast<uint32_t>(ring.cqes_size()) > ring.cq_entries())
		return corrupt(object, "has {} completions in {} entries", ring.cqes_size(), ring.cq_entries());
	if (static_cast<uint32_t>(ring.unsubmitted_size()) > ring.sq_entries())
		return corrupt(object, "has {} submissions in {} entries", ring.unsubmitted_size(), ring.sq_entries());
	TRY(slots_are_valid(ring.fixed_files(), ring.fixed_file_slots(), object));
	TRY(slots_are_valid(ring.buffers(), ring.buffer_slots(), object));
	for (const FixedBuffer &buffer : ring.buffers())
		TRY(buffer_is_valid(buffer, ids, pages_size, object));
	for (const FixedFile &file : ring.fixed_files())
		TRY(refers_to(ids.files, file.file(), "file", object));
	for (const RingMapping &mapping : ring.mappings()) {
		TRY(refers_to(ids.memory, mapping.address_space(), "address space", object));
		if (mapping.start() >= mapping.end())
			return corrupt(object, "has an empty mapping");
	}
	return requests_are_valid(ring, ids, object);
}

// --- memory --------------------------------------------------------------------------------------------------------

bool is_page_aligned(uint64_t value)
{
	return value % kPageSize == 0;
}

// Sorted, disjoint, inside [0, limit) and inside the page image.
template <class Runs>
Result<> page_runs_are_valid(const Runs &runs, uint64_t limit, uint64_t pages_size, Name object)
{
	uint64_t last_end = 0;
	for (const PageRun &run : runs) {
		if (!is_page_aligned(run.start()) || !is_page_aligned(run.length()) || !is_page_aligned(run.offset()) ||
		    run.length() == 0)
			return corrupt(object, "has a run of pages that is not aligned");
		if (run.start() < last_end || run.start() > limit || run.length() > limit - run.start())
			return corrupt(object, "has runs of pages that overlap, are out of order or out of bounds");
		if (run.offset() > pages_size || run.length() > pages_size - run.offset())
			return corrupt(object, "has pages beyond the end of the page image");
		last_end = run.start() + run.length();
	}
	return {};
}

Result<> vma_is_valid(const Vma &vma, uint64_t last_end, const Ids &ids, Name object)
{
	if (!is_page_aligned(vma.start()) || !is_page_aligned(vma.end()) || vma.start() >= vma.end())
		return corrupt(object, "has a mapping {:#x}-{:#x}", vma.start(), vma.end());
	if (vma.start() < last_end)
		return corrupt(object, "has mappings that overlap or are out of order at {:#x}", vma.start());
	for (const Range &guard : vma.guards())
		if (guard.start() < vma.start() || guard.end() > vma.end() || guard.start() >= guard.end())
			return corrupt(object, "has a guard range outside of its mapping at {:#x}", vma.start());
	if (vma.protection_key() > kMaxProtectionKey)
		return corrupt(object, "has protection key {} at {:#x}", vma.protection_key(), vma.start());
	TRY(is_path(vma.name(), object));
	TRY(refers_to(ids.files, vma.file(), "file", object));
	TRY(refers_to(ids.shared_memory, vma.shared_memory(), "shared memory", object));
	return ids.all_rings ? refers_to(ids.rings, vma.ring(), "ring", object) : Result<>();
}

Result<> memory_is_valid(const Memory &memory, const Ids &ids, uint64_t pages_size)
{
	Name object = {"address space", memory.id()};
	uint64_t last_end = 0;
	for (const Vma &vma : memory.vmas()) {
		TRY(vma_is_valid(vma, last_end, ids, object));
		last_end = vma.end();
	}
	if (memory.layout().protection_keys() >> (kMaxProtectionKey + 1) ||
	    memory.layout().execute_only_key() > kMaxProtectionKey)
		return corrupt(object, "has protection keys {:#x} and {}", memory.layout().protection_keys(),
			       memory.layout().execute_only_key());
	TRY(refers_to(ids.files, memory.layout().exe_file(), "file", object));
	return page_runs_are_valid(memory.pages(), last_end, pages_size, object);
}

Result<> shared_memory_is_valid(const SharedMemory &memory, uint64_t pages_size)
{
	// The last page may be a partial one of the object, it is whole in the image.
	if (memory.size() > INT64_MAX)
		return corrupt(Name{"shared memory", memory.id()}, "has {} bytes", memory.size());
	uint64_t limit = (memory.size() + kPageSize - 1) / kPageSize * kPageSize;
	if (memory.has_sysv() && (memory.sysv().id() < 0 || memory.sysv().size() != memory.size()))
		return corrupt(Name{"shared memory", memory.id()}, "is segment {} of {} bytes", memory.sysv().id(),
			       memory.sysv().size());
	return page_runs_are_valid(memory.pages(), limit, pages_size, Name{"shared memory", memory.id()});
}

} // namespace

// Its ids are as many as there are files, so they are learned once; both lists only grow.
Result<> MemoryValidator::validate(const Memory &memory, uint64_t pages_size)
{
	auto learn = [](const auto &records, int &known, IdSet &ids) {
		for (; known < records.size(); known++)
			ids.insert(records[known].id());
	};
	learn(document_.files(), known_files_, ids_.files);
	learn(document_.shared_memory(), known_shared_memory_, ids_.shared_memory);
	if (Result<> valid = memory_is_valid(memory, ids_, pages_size); !valid)
		return in_file(Kind::kMemory, std::move(valid).error());
	return {};
}

TaskValidator::TaskValidator(const Document &document)
{
	auto learn = [](const auto &records, IdSet &ids) {
		for (const auto &record : records)
			ids.insert(record.id());
	};
	learn(document.files(), ids_.files);
	learn(document.rings(), ids_.rings);
	learn(document.memory(), ids_.memory);
}

Result<> TaskValidator::validate(const Process &process) const
{
	if (Result<> valid = process_is_valid(process, ids_); !valid)
		return in_file(Kind::kTask, std::move(valid).error());
	return {};
}

Result<> TaskValidator::validate(const Thread &thread) const
{
	if (Result<> valid = thread_is_valid(thread, ids_); !valid)
		return in_file(Kind::kTask, std::move(valid).error());
	return {};
}

Result<> validate(const Document &document, uint64_t pages_size)
{
	Ids ids;
	TRY(ids_of(document.processes(), Kind::kTask, "pid"));
	ids.files = TRY(ids_of(document.files(), Kind::kFile, "file"));
	ids.rings = TRY(ids_of(document.rings(), Kind::kRing, "ring"));
	ids.memory = TRY(ids_of(document.memory(), Kind::kMemory, "address space"));
	ids.shared_memory = TRY(ids_of(document.shared_memory(), Kind::kSharedMemory, "shared memory"));

	TRY(each(document.processes(), Kind::kTask,
		 [&](const Process &process) { return process_is_valid(process, ids); }));
	TRY(each(document.files(), Kind::kFile, [&](const File &file) { return file_is_valid(file, ids); }));
	TRY(each(document.rings(), Kind::kRing,
		 [&](const Ring &ring) { return ring_is_valid(ring, ids, pages_size); }));
	TRY(each(document.memory(), Kind::kMemory,
		 [&](const Memory &memory) { return memory_is_valid(memory, ids, pages_size); }));
	return each(document.shared_memory(), Kind::kSharedMemory,
		    [&](const SharedMemory &memory) { return shared_memory_is_valid(memory, pages_size); });
}

} // namespace bpfckpt::images
