// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "iterators/uring_reader.h"

#include <algorithm>
#include <thread>

#include "bpf/uring.skel.h"
#include "bpf/uring_request.skel.h"
#include "iterators/address_set.h"
#include "iterators/bpf_object.h"
#include "iterators/input_map.h"
#include "iterators/record_map.h"
#include "user/util/beside.h"

namespace bpfckpt::iterators {

UringCapacity UringCapacity::grown_to(const UringCapacity &needed) const
{
	auto grown = [](uint32_t have, uint32_t need) { return std::max(have, need + need / 8); };
	return {
		.rings = grown(rings, needed.rings),
		.attachments = grown(attachments, needed.attachments),
		.tasks = grown(tasks, needed.tasks),
		.requests = grown(requests, needed.requests),
		.files = grown(files, needed.files),
		.buffers = grown(buffers, needed.buffers),
		.bvecs = grown(bvecs, needed.bvecs),
		.personalities = grown(personalities, needed.personalities),
		.credential_groups = grown(credential_groups, needed.credential_groups),
		.groups = grown(groups, needed.groups),
		.provided = grown(provided, needed.provided),
		.overflow = grown(overflow, needed.overflow),
		.blobs = grown(blobs, needed.blobs),
		.pages = grown(pages, needed.pages),
		.regions = grown(regions, needed.regions),
	};
}

namespace {

Result<> run_program(const bpf_program *program)
{
	TRY(run_syscall_program(program, {}));
	return {};
}

} // namespace

struct UringReader::Objects {
	BpfObject<uring_bpf> ring;
	BpfObject<uring_request_bpf> request;

	InputMap ring_inputs;
	InputMap request_inputs;
	RecordMap<uring_ring_record> rings;
	RecordMap<uring_file_record> files;
	RecordMap<uring_buffer_record> buffers;
	RecordMap<uring_bvecs_record> bvecs;
	RecordMap<uring_personality_record> personalities;
	RecordMap<group_record> credential_groups;
	RecordMap<uring_group_record> groups;
	RecordMap<uring_provided_record> provided;
	RecordMap<uring_overflow_record> overflow;
	RecordMap<uring_page_record> pages;
	RecordMap<uring_region_record> regions;
	RecordMap<uring_request_record> requests;
	RecordMap<uring_blob_record> blobs;
	RecordMap<uring_attachment_record> attachments;
	RecordMap<uring_task_record> tasks;
	RecordMap<uring_count_record> counts;
	unsigned cpu_count = 0;

	Objects(BpfObject<uring_bpf> ring_in, BpfObject<uring_request_bpf> request_in)
		: ring(std::move(ring_in)), request(std::move(request_in))
	{
	}
	Result<> map_records();
	void clear();
	Result<> walk_requests();
	Result<> walk_tasks();
	Result<> walk_rings(const std::function<Result<>()> &next);
	[[nodiscard]] bool is_large() const;
	[[nodiscard]] bool overflowed() const;
};

Result<> UringReader::Objects::map_records()
{
	auto *r = ring.operator->();
	ring_inputs = TRY(InputMap::create(r->maps.uring_inputs, &r->bss->uring_inputs_count));
	rings = TRY(RecordMap<uring_ring_record>::create(r->maps.uring_rings, &r->bss->uring_rings_count));
	files = TRY(RecordMap<uring_file_record>::create(r->maps.uring_files, &r->bss->uring_files_count));
	buffers = TRY(RecordMap<uring_buffer_record>::create(r->maps.uring_buffers, &r->bss->uring_buffers_count));
	bvecs = TRY(RecordMap<uring_bvecs_record>::create(r->maps.uring_bvecs, &r->bss->uring_bvecs_count));
	credential_groups = TRY(RecordMap<group_record>::create(r->maps.groups, &r->bss->groups_count));
	personalities = TRY(RecordMap<uring_personality_record>::create(r->maps.uring_personalities,
									&r->bss->uring_personalities_count));
	groups = TRY(RecordMap<uring_group_record>::create(r->maps.uring_groups, &r->bss->uring_groups_count));
	provided = TRY(RecordMap<uring_provided_record>::create(r->maps.uring_provided, &r->bss->uring_provided_count));
	overflow = TRY(RecordMap<uring_overflow_record>::create(r->maps.uring_overflow, &r->bss->uring_overflow_count));
	pages = TRY(RecordMap<uring_page_record>::create(r->maps.uring_pages, &r->bss->uring_pages_count));
	regions = TRY(RecordMap<uring_region_record>::create(r->maps.uring_regions, &r->bss->uring_regions_count));

	auto *q = request.operator->();
	request_inputs = TRY(InputMap::create(q->maps.uring_inputs, &q->bss->uring_inputs_count));
	requests = TRY(RecordMap<uring_request_record>::create(q->maps.uring_requests, &q->bss->uring_requests_count));
	blobs = TRY(RecordMap<uring_blob_record>::create(q->maps.uring_blobs, &q->bss->uring_blobs_count));
	attachments = TRY(RecordMap<uring_attachment_record>::create(q->maps.uring_attachments,
								     &q->bss->uring_attachments_count));
	tasks = TRY(RecordMap<uring_task_record>::create(q->maps.uring_tasks, &q->bss->uring_tasks_count));
	counts = TRY(RecordMap<uring_count_record>::create(q->maps.uring_counts, &q->bss->uring_counts_count));
	return {};
}

void UringReader::Objects::clear()
{
	rings.clear();
	files.clear();
	buffers.clear();
	bvecs.clear();
	personalities.clear();
	credential_groups.clear();
	groups.clear();
	provided.clear();
	overflow.clear();
	pages.clear();
	regions.clear();
	requests.clear();
	blobs.clear();
	attachments.clear();
	tasks.clear();
	counts.clear();
	ring->bss->last_group_info = 0;
	request->bss->uring_followed = 0;
	request->bss->truncated = 0;
}

bool UringReader::Objects::overflowed() const
{
	return rings.overflowed() || files.overflowed() || buffers.overflowed() || bvecs.overflowed() ||
	       personalities.overflowed() || credential_groups.overflowed() || groups.overflowed() ||
	       provided.overflowed() || overflow.overflowed() || pages.overflowed() || regions.overflowed() ||
	       requests.overflowed() || blobs.overflowed() || attachments.overflowed() || tasks.overflowed() ||
	       counts.overflowed();
}

// Threads whose work queues may hold requests: those attached to a ring, and those that a request names although they
// have left it (their context lives as long as its requests).
Result<> UringReader::Objects::walk_tasks()
{
	AddressSet seen;
	for (;;) {
		std::vector<uint64_t> found;
		uint64_t last = 0;
		auto add = [&](uint64_t tctx) {
			// Requests of one thread lie side by side.
			if (tctx && tctx != last && found.size() < request_inputs.capacity() && seen.insert(tctx))
				found.push_back(tctx);
			last = tctx;
		};
		for (const auto &record : attachments.records())
			add(record.tctx);
		for (const auto &record : requests.records())
			add(record.tctx);
		if (!found.empty()) {
			request_inputs.set(found);
			TRY(run_program(request->progs.uring_walk_tasks));
		}
		uint32_t before = request->bss->uring_requests_count;
		TRY(run_program(request->progs.uring_follow_requests));
		if (found.empty() && before == request->bss->uring_requests_count)
			return {};
	}
}

Result<> UringReader::Objects::walk_requests()
{
	TRY(run_program(request->progs.uring_walk_requests));
	return walk_tasks();
}

Result<> UringReader::Objects::walk_rings(const std::function<Result<>()> &next)
{
	TRY(run_program(ring->progs.uring_walk_rings));
	return next ? next() : Result<>();
}

// After a round: whether the next one is worth a thread, which takes as long to start as some hundred records to read.
bool UringReader::Objects::is_large() const
{
	constexpr uint32_t kLarge = 1024;
	return requests.needed() > kLarge && files.needed() + bvecs.needed() > kLarge;
}

UringReader::UringReader(std::unique_ptr<Objects> objects) : objects_(std::move(objects)) {}
UringReader::UringReader(UringReader &&) noexcept = default;
UringReader &UringReader::operator=(UringReader &&) noexcept = default;
UringReader::~UringReader() = default;

static void size_maps(uring_bpf &ring, uring_request_bpf &request, const UringCapacity &capacity)
{
	auto at_least_one = [](bpf_map *map, uint32_t entries) {
		bpf_map__set_max_entries(map, std::max(entries, 1U));
	};
	at_least_one(ring.maps.uring_inputs, capacity.rings);
	at_least_one(ring.maps.uring_rings, capacity.rings);
	at_least_one(ring.maps.uring_files, capacity.files);
	at_least_one(ring.maps.uring_buffers, capacity.buffers);
	at_least_one(ring.maps.uring_bvecs, capacity.bvecs);
	at_least_one(ring.maps.uring_personalities, capacity.personalities);
	at_least_one(ring.maps.groups, capacity.credential_groups);
	at_least_one(ring.maps.uring_groups, capacity.groups);
	at_least_one(ring.maps.uring_provided, capacity.provided);
	at_least_one(ring.maps.uring_overflow, capacity.overflow);
	at_least_one(ring.maps.uring_pages, capacity.pages);
	at_least_one(ring.maps.uring_regions, capacity.regions);
	at_least_one(request.maps.uring_inputs, std::max(capacity.rings, capacity.tasks));
	at_least_one(request.maps.uring_requests, capacity.requests);
	at_least_one(request.maps.uring_blobs, capacity.blobs);
	at_least_one(request.maps.uring_attachments, capacity.attachments);
	at_least_one(request.maps.uring_tasks, capacity.tasks);
	at_least_one(request.maps.uring_counts, capacity.rings * 2);
}

UringReader UringReader::when_needed()
{
	return UringReader(nullptr);
}

Result<UringReader> UringReader::load(const UringCapacity &capacity)
{
	auto ring = TRY(BpfObject<uring_bpf>::open());
	auto request = TRY(BpfObject<uring_request_bpf>::open());
	size_maps(*ring.operator->(), *request.operator->(), capacity);

	Result<> ring_loaded;
	std::jthread other([&] { ring_loaded = ring.load(); });
	TRY(request.load());
	other.join();
	TRY(std::move(ring_loaded));

	auto objects = std::make_unique<Objects>(std::move(ring), std::move(request));
	TRY(objects->map_records());
	int cpus = libbpf_num_possible_cpus();
	if (cpus < 0)
		return errno_error(-cpus, "cannot count the CPUs");
	objects->cpu_count = static_cast<unsigned>(cpus);
	return UringReader(std::move(objects));
}

Result<> UringReader::run(std::span<const uint64_t> rings, const std::function<Result<>()> &next)
{
	std::vector<uint64_t> unique(rings.begin(), rings.end());
	std::ranges::sort(unique);
	unique.erase(std::ranges::unique(unique).begin(), unique.end());

	if (!objects_ && unique.empty())
		return {};
	if (!objects_)
		*this = TRY(load());
	Objects &o = *objects_;
	const bool beside = o.is_large();
	o.clear();
	wanted_rings_ = static_cast<uint32_t>(unique.size());
	if (unique.empty())
		return {};
	if (unique.size() > o.ring_inputs.capacity())
		return make_error(Code::kLimit, "{} rings, room for {}", unique.size(), o.ring_inputs.capacity());

	o.ring_inputs.set(unique);
	o.request_inputs.set(unique);
	TRY(run_program(o.request->progs.uring_count_requests));
	Beside registered([&] { return o.walk_rings(next); }, beside);
	TRY(o.walk_requests());
	TRY(registered.join());
	o.request_inputs.set(unique);
	TRY(run_program(o.request->progs.uring_count_requests));
	if (o.overflowed())
		return make_error(Code::kLimit, "the rings hold more than there is room for");
	return {};
}

UringCapacity UringReader::needed() const
{
	if (!objects_)
		return {};
	const Objects &o = *objects_;
	return {
		.rings = std::max(wanted_rings_, o.rings.needed()),
		.attachments = o.attachments.needed(),
		// Each attachment beyond the room for them may be a thread of its own.
		.tasks = std::max(o.tasks.needed(), o.attachments.needed()),
		.requests = o.requests.needed(),
		.files = o.files.needed(),
		.buffers = o.buffers.needed(),
		.bvecs = o.bvecs.needed(),
		.personalities = o.personalities.needed(),
		.credential_groups = o.credential_groups.needed(),
		.groups = o.groups.needed(),
		.provided = o.provided.needed(),
		.overflow = o.overflow.needed(),
		.blobs = o.blobs.needed(),
		.pages = o.pages.needed(),
		.regions = o.regions.needed(),
	};
}

UringRecords UringReader::records() const
{
	if (!objects_)
		return {};
	const Objects &o = *objects_;
	return {
		.rings = o.rings.records(),
		.counts = o.counts.records(),
		.attachments = o.attachments.records(),
		.tasks = o.tasks.records(),
		.requests = o.requests.records(),
		.files = o.files.records(),
		.buffers = o.buffers.records(),
		.bvecs = o.bvecs.records(),
		.personalities = o.personalities.records(),
		.credential_groups = o.credential_groups.records(),
		.groups = o.groups.records(),
		.provided = o.provided.records(),
		.overflow = o.overflow.records(),
		.blobs = o.blobs.records(),
		.pages = o.pages.records(),
		.regions = o.regions.records(),
		.cpu_count = o.cpu_count,
		.truncated = o.request->bss->truncated != 0,
	};
}

std::vector<uint64_t> UringReader::registered_files() const
{
	std::vector<uint64_t> result;
	for (const auto &record : records().files)
		result.push_back(record.file);
	return result;
}

std::vector<uint64_t> UringReader::files_of_requests() const
{
	if (!objects_)
		return {};
	const Objects &o = *objects_;
	AddressSet wanted;
	for (const auto &record : o.rings.records())
		wanted.insert(record.ring);
	std::vector<uint64_t> result;
	result.reserve(o.requests.records().size());
	for (const auto &record : o.requests.records())
		if (record.file && wanted.contains(record.ring))
			result.push_back(record.file);
	return result;
}

} // namespace bpfckpt::iterators
