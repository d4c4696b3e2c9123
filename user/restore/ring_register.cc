// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What is registered with a ring: files, buffers, personalities, an eventfd.
#include <algorithm>
#include <array>
#include <csignal>

#include <fcntl.h>
#include <sys/syscall.h>

#include "user/restore/credentials.h"
#include "user/restore/ring_parts.h"
#include "user/target/stub_process.h"
#include "user/uring/worker_limits.h"
#include "user/util/io.h"
#include "user/util/uring_abi.h"

namespace bpfckpt::restore {

using target::SyscallBatch;

static constexpr int kSkipSlot = -2; // IORING_REGISTER_FILES_SKIP

// --- files ---------------------------------------------------------------------------------------------------------

namespace {
struct FileRange { // struct io_uring_file_index_range
	uint32_t offset;
	uint32_t length;
	uint64_t reserved;
};
} // namespace

// The allocator begins to search at the hint, so what counts is the first free slot behind it; clearing a slot moves
// the hint there (io_uring/filetable.h: io_file_bitmap_clear).
static Result<> set_allocation(const NewRing &ring, const std::vector<int> &fds)
{
	uint32_t start = ring.image.file_alloc_start(), end = ring.image.file_alloc_end();
	if (start != 0 || end != fds.size()) {
		FileRange range = {.offset = start, .length = end - start, .reserved = 0};
		TRY(register_here(ring, IORING_REGISTER_FILE_ALLOC_RANGE, &range, 0, "its range of free slots"));
	}
	for (uint32_t i = start; i < end; i++) {
		uint32_t slot =
			start + (std::max(ring.image.file_alloc_hint(), start) - start + i - start) % (end - start);
		if (fds[slot] != kSkipSlot)
			continue;
		UniqueFd none(open("/dev/null", O_RDONLY | O_CLOEXEC));
		for (int fd : {none.get(), -1}) {
			io_uring_rsrc_update update = {};
			update.offset = slot;
			update.data = reinterpret_cast<uint64_t>(&fd);
			TRY(register_here(ring, IORING_REGISTER_FILES_UPDATE, &update, 1, "a file"));
		}
		break;
	}
	return {};
}

Result<> register_files(const NewRing &ring, const OpenFiles &files)
{
	uint32_t slots = ring.image.fixed_file_slots();
	if (!slots)
		return {};
	io_uring_rsrc_register table = {};
	table.nr = slots;
	table.flags = kSparse;
	TRY(register_here(ring, IORING_REGISTER_FILES2, &table, sizeof(table), "a table of files"));
	std::vector<int> fds(slots, kSkipSlot);
	std::vector<uint64_t> tags(slots, 0);
	for (const images::FixedFile &file : ring.image.fixed_files()) {
		fds.at(file.slot()) = files.fd(file.file());
		tags.at(file.slot()) = file.tag();
		if (files.fd(file.file()) < 0)
			return make_error(Code::kInternal, "file {} of slot {} was not opened", file.file(),
					  file.slot())
				.on(ring.name());
	}
	io_uring_rsrc_update2 update = {};
	update.data = reinterpret_cast<uint64_t>(fds.data());
	update.tags = reinterpret_cast<uint64_t>(tags.data());
	update.nr = slots;
	if (ring.image.fixed_files_size())
		TRY(register_here(ring, IORING_REGISTER_FILES_UPDATE2, &update, sizeof(update), "files"));
	return set_allocation(ring, fds);
}

// --- memory region -------------------------------------------------------------------------------------------------

namespace {
struct RegionArguments { // struct io_uring_mem_region_reg and io_uring_region_desc
	uint64_t descriptor;
	uint64_t flags;
	uint64_t reserved[2];
	uint64_t user_address;
	uint64_t size;
	uint32_t kind;
	uint32_t id;
	uint64_t mmap_offset;
	uint64_t more_reserved[4];
};
} // namespace

Result<> register_region(const NewRing &ring)
{
	constexpr unsigned kRegisterRegion = 34;       // IORING_REGISTER_MEM_REGION (v6.14)
	constexpr uint32_t kOfUser = 1, kForWaits = 1; // IORING_MEM_REGION_TYPE_USER, IORING_MEM_REGION_REG_WAIT_ARG
	if (!ring.image.region_pages())
		return {};
	RegionArguments arguments = {};
	arguments.flags = ring.image.region_has_waits() ? kForWaits : 0;
	arguments.user_address = ring.image.region_user_address();
	arguments.size = uint64_t{ring.image.region_pages()} * 4096;
	arguments.kind = ring.image.region_of_user() ? kOfUser : 0;
	SyscallBatch batch;
	target::Blob blob =
		batch.data(std::as_bytes(std::span(&arguments, 1)),
			   {{offsetof(RegionArguments, descriptor), offsetof(RegionArguments, user_address)}});
	batch.add(SYS_io_uring_register, ring.number, kRegisterRegion, blob, 1);
	TRY(batch.run(ring.maker));
	if (ring.image.region_of_user())
		return {};
	RingMemory memory = TRY(RingMemory::map(ring.fd, arguments.size, kMapRegion));
	memory.write(0, as_bytes(ring.image.region_content()));
	return {};
}

// --- busy polling --------------------------------------------------------------------------------------------------

Result<> register_napi(const NewRing &ring)
{
	constexpr unsigned kRegisterNapi = 27; // IORING_REGISTER_NAPI (v6.9)
	if (!ring.image.has_napi())
		return {};
	struct { // struct io_uring_napi
		uint32_t microseconds;
		uint8_t prefer;
		uint8_t operation;
		uint8_t pad[2];
		uint32_t strategy;
		uint32_t reserved;
	} arguments = {};
	arguments.microseconds = static_cast<uint32_t>(ring.image.napi().busy_poll_ns() / 1000);
	arguments.prefer = ring.image.napi().prefer();
	TRY(register_here(ring, kRegisterNapi, &arguments, 1, "busy polling"));
	return {};
}

// --- personalities -------------------------------------------------------------------------------------------------

namespace {

// IDs are given in rising order and start again at 1 behind the last (xa_alloc_cyclic), so all between are taken and
// given back.
class PersonalityIds {
public:
	explicit PersonalityIds(const NewRing &ring) : ring_(ring) {}

	// With the credentials that bpfckpt has.
	Result<> advance_to(uint32_t id)
	{
		for (start_again(id); next_ != id; start_again(id)) {
			int got = TRY(register_here(ring_, IORING_REGISTER_PERSONALITY, nullptr, 0, "a personality"));
			TRY(register_here(ring_, IORING_UNREGISTER_PERSONALITY, nullptr, static_cast<unsigned>(got),
					  "a personality"));
			next_ = static_cast<uint32_t>(got) + 1;
			if (++steps_ > 3 * kMost)
				return make_error(Code::kInternal, "personality {} does not come", id).on(ring_.name());
		}
		return {};
	}
	void taken() { next_++; }

private:
	static constexpr uint32_t kMost = 65535; // USHRT_MAX

	void start_again(uint32_t wanted)
	{
		if (next_ > kMost && wanted <= kMost)
			next_ = 1;
	}

	const NewRing &ring_;
	uint32_t next_ = 1;
	uint32_t steps_ = 0;
};

} // namespace

// A process of its own takes on the credentials: no thread that has them could give them back.
static Result<> register_personality(const NewRing &ring, const images::Personality &image)
{
	target::Tracee helper = TRY(target::clone_stub_process(0, SIGCHLD, ring.maker.stub()));
	SyscallBatch batch;
	OpenFiles::add_tool(batch, 0);
	batch.add(SYS_pidfd_getfd, 0, ring.fd, 0);
	add_credentials(batch, image.credentials());
	size_t call = batch.add(SYS_io_uring_register, 1, IORING_REGISTER_PERSONALITY, 0, 0);
	Result<> done = batch.run(helper);
	target::kill_and_reap(helper.pid());
	TRY(std::move(done));
	if (batch.result(call) != image.id())
		return make_error(Code::kInternal, "personality {} came as {}", image.id(), batch.result(call))
			.on(ring.name());
	return {};
}

Result<> register_personalities(const NewRing &ring)
{
	uint32_t next = ring.image.next_personality();
	if (!next)
		return {};
	std::vector<const images::Personality *> order;
	for (const images::Personality &personality : ring.image.personalities())
		order.push_back(&personality);
	// Those that were given before the numbers started again come first.
	std::ranges::sort(order, {},
			  [&](const images::Personality *one) { return std::pair(one->id() < next, one->id()); });
	PersonalityIds ids(ring);
	for (const images::Personality *personality : order) {
		TRY(ids.advance_to(personality->id()));
		TRY(register_personality(ring, *personality));
		ids.taken();
	}
	return ids.advance_to(next);
}

// --- workers -------------------------------------------------------------------------------------------------------

// Of a ring with an SQ thread it is this one's workers that it sets (io_uring/register.c: __io_register_iowq_aff()).
static Result<> register_sq_thread_cpus(const NewRing &ring)
{
	const std::string *cpus =
		ring.has_sq_thread() ? uring::cpus_to_set(ring.image, ring.image.sq_thread().tid()) : nullptr;
	if (!cpus)
		return {};
	SyscallBatch batch;
	batch.add(SYS_io_uring_register, ring.number, IORING_REGISTER_IOWQ_AFF,
		  batch.data(std::as_bytes(std::span(*cpus))), cpus->size());
	return batch.run(ring.maker);
}

Result<> register_worker_limits(const NewRing &ring)
{
	TRY(register_sq_thread_cpus(ring));
	std::array<uint32_t, 2> limits = {ring.image.bounded_limit(), ring.image.unbounded_limit()};
	if (!limits[0] && !limits[1])
		return {};
	SyscallBatch batch;
	batch.add(SYS_io_uring_register, ring.number, IORING_REGISTER_IOWQ_MAX_WORKERS, batch.exchange(limits),
		  limits.size());
	return batch.run(ring.maker);
}

// --- restrictions --------------------------------------------------------------------------------------------------

Result<> register_restrictions(const NewRing &ring)
{
	const images::Restrictions &image = ring.image.restrictions();
	std::vector<io_uring_restriction> list;
	auto add = [&](uint16_t kind, uint32_t what) {
		io_uring_restriction &one = list.emplace_back();
		one.opcode = kind;
		one.register_op = static_cast<uint8_t>(what); // a union of three bytes
	};
	for (uint32_t op : image.register_ops())
		add(IORING_RESTRICTION_REGISTER_OP, op);
	for (uint32_t op : image.sqe_ops())
		add(IORING_RESTRICTION_SQE_OP, op);
	if (image.sqe_flags_allowed())
		add(IORING_RESTRICTION_SQE_FLAGS_ALLOWED, image.sqe_flags_allowed());
	if (image.sqe_flags_required())
		add(IORING_RESTRICTION_SQE_FLAGS_REQUIRED, image.sqe_flags_required());
	TRY(register_here(ring, IORING_REGISTER_RESTRICTIONS, list.data(), static_cast<unsigned>(list.size()),
			  "restrictions"));
	return {};
}

// --- eventfd -------------------------------------------------------------------------------------------------------

// The issuer of a ring with SINGLE_ISSUER has to do it, now that it is enabled.
Result<> register_eventfd(const NewRing &ring, const OpenFiles &files)
{
	if (!ring.image.has_eventfd())
		return {};
	const images::RingEventfd &eventfd = ring.image.eventfd();
	int source = files.fd(eventfd.file());
	if (source < 0 && !eventfd.unreadable())
		return Error(Code::kInternal, "its eventfd was not opened").on(ring.name());
	int number = ring.number + 1;
	SyscallBatch batch;
	// One that nobody can read may as well be new.
	size_t got = source < 0 ? batch.add(SYS_eventfd2, 0, 0) : batch.add(SYS_pidfd_getfd, kToolNumber, source, 0);
	batch.add(SYS_io_uring_register, ring.number,
		  eventfd.async() ? IORING_REGISTER_EVENTFD_ASYNC : IORING_REGISTER_EVENTFD, batch.value(number), 1);
	TRY(batch.run(ring.maker));
	if (batch.result(got) != number)
		return make_error(Code::kInternal, "descriptor {} came as {}", number, batch.result(got))
			.on(ring.name());
	return {};
}

} // namespace bpfckpt::restore
