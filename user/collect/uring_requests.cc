// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Requests in flight: each once, with the count that proves that none was missed.
#include <cstring>

#include <algorithm>
#include <array>
#include <optional>
#include <ranges>
#include <unordered_map>
#include <unordered_set>

#include <linux/io_uring.h>

#include "user/collect/uring_index.h"
#include "user/collect/uring_request_file.h"
#include "user/uring/classify.h"
#include "user/uring/decode.h"
#include "user/uring/fixed_vector.h"
#include "user/uring/opcode.h"
#include "user/uring/provided.h"

namespace bpfckpt::collect {

namespace {

// Bits 0 to 6 of io_kiocb.flags are the IOSQE_* flags, in all versions.
constexpr uint32_t kSqeFlags = 0x7f;

// What a request points to, put together from its blobs, by kind.
using Attached = std::array<std::vector<uint8_t>, URING_BLOB_KINDS>;

// A request that was met in two places has its blobs twice: the first of each is taken.
Attached attached_by(std::span<const uring_blob_record *const> blobs)
{
	Attached attached;
	for (const uring_blob_record *blob : blobs) {
		if (blob->kind >= attached.size())
			continue;
		std::vector<uint8_t> &bytes = attached[blob->kind];
		if (blob->offset == bytes.size() && bytes.size() < blob->total)
			bytes.insert(bytes.end(), blob->data,
				     blob->data + std::min<uint32_t>(blob->length, URING_BLOB_BYTES));
	}
	return attached;
}

std::vector<images::IoVec> parse_iovecs(std::span<const uint8_t> bytes)
{
	std::vector<images::IoVec> result;
	for (size_t i = 0; i + 16 <= bytes.size(); i += 16) {
		uint64_t words[2];
		std::memcpy(words, bytes.data() + i, sizeof(words));
		result.emplace_back();
		result.back().set_address(words[0]);
		result.back().set_length(words[1]);
	}
	return result;
}

std::vector<uring_bvec> parse_bvecs(std::span<const uint8_t> bytes)
{
	std::vector<uring_bvec> result(bytes.size() / sizeof(uring_bvec));
	std::memcpy(result.data(), bytes.data(), result.size() * sizeof(uring_bvec));
	return result;
}

// Those of a buffer in two slots come twice: the first are taken.
std::vector<uring_bvec> pages_of(const UringIndex &index, uint64_t imu)
{
	std::vector<uring_bvec> pages;
	for (const uring_bvecs_record *record : UringIndex::of(index.bvecs, imu))
		if (record->first == pages.size())
			pages.insert(pages.end(), record->bvec,
				     record->bvec + std::min<uint32_t>(record->count, URING_BVEC_CHUNK));
	return pages;
}

bool is_fixed_vector(const uring_request_record &record)
{
	return record.opcode == images::IORING_OP_READV_FIXED || record.opcode == images::IORING_OP_WRITEV_FIXED;
}

// Nothing: it was not read to its end.
std::optional<std::string> parse_name(std::span<const uint8_t> bytes)
{
	std::string_view text(reinterpret_cast<const char *>(bytes.data()), bytes.size());
	size_t end = text.find('\0');
	if (end == std::string_view::npos)
		return {};
	return std::string(text.substr(0, end));
}

// The slot that a request was submitted with; nothing: something else has been put there since.
std::optional<uint32_t> fixed_slot(const UringIndex &index, const uring_request_record &record)
{
	if (record.file_node) {
		auto slot = index.slots_by_node.find(record.file_node);
		if (slot == index.slots_by_node.end())
			return {};
		return slot->second->slot;
	}
	for (const uring_file_record *slot : UringIndex::of(index.slots_by_file, record.file))
		if (slot->ring == record.ring)
			return slot->slot;
	return {};
}

// Nothing: it is no longer registered. 0 is the submitter: that of a ring with an SQ thread is among the personalities.
std::optional<uint32_t> personality_of(const UringIndex &index, const uring_request_record &record)
{
	for (const uring_personality_record *personality : UringIndex::of(index.personalities, record.ring))
		if (personality->credentials.cred == record.creds)
			return personality->id;
	// io-wq sets the credentials, too: those are the thread's own.
	auto own = index.own_creds.find(record.tctx);
	if (own != index.own_creds.end() && own->second == record.creds)
		return 0;
	return {};
}

// Before 6.13 there are no nodes: reads and writes are prepared with the buffer itself (io_uring/rw.c).
bool keeps_buffer(const uring::RequestSource &source)
{
	if (source.layout->request_flag("REQ_F_BUF_NODE"))
		return source.has_flag("REQ_F_BUF_NODE");
	return source.record->opcode == images::IORING_OP_READ_FIXED ||
	       source.record->opcode == images::IORING_OP_WRITE_FIXED;
}

// The buffer that a request holds is still the one in its slot.
bool has_its_buffer(const UringIndex &index, const uring_request_record &record)
{
	auto buffers = UringIndex::of(index.buffers, record.ring);
	return std::ranges::any_of(buffers, [&](const uring_buffer_record *buffer) {
		return (buffer->node ? buffer->node : buffer->imu) == record.buffer && buffer->slot == record.buf_index;
	});
}

// What was asked for, as far as the kernel keeps it: it sets some of these bits itself (io_uring/io_uring.c).
uint32_t submitted_flags(const uring::RequestSource &source, bool linked)
{
	const uring_request_record &record = *source.record;
	uint32_t flags = record.req_flags & kSqeFlags;
	if (!linked)
		flags &= ~static_cast<uint32_t>(IOSQE_IO_LINK | IOSQE_IO_HARDLINK);
	bool punted = is_punted(record);
	// Armed on poll, or held back by a drain: it may be the kernel that marked it so.
	bool drained = flags & IOSQE_IO_DRAIN;
	if (!punted && record.place != URING_PLACE_LINK && (drained || !source.is_to_be_issued()))
		flags &= ~static_cast<uint32_t>(IOSQE_ASYNC);
	return flags;
}

bool is_splice(const uring_request_record &record)
{
	return record.opcode == images::IORING_OP_SPLICE || record.opcode == images::IORING_OP_TEE;
}

class Collector {
public:
	Collector(const UringIndex &index, const uring_ring_record &ring_record, const Context &context)
		: index_(index), record_(ring_record), context_(context)
	{
	}
	void collect(images::Ring &ring);

private:
	void add(const uring::Sighting &sighting, images::Request &request);
	std::vector<images::IoVec> fixed_iovecs(const uring::RequestSource &source, const Attached &attached);
	[[nodiscard]] uint32_t pid_of(const images::Request &request) const;
	[[nodiscard]] std::string name_input(const uring::RequestSource &source, images::Request &request) const;
	[[nodiscard]] std::string name_file(const uring_request_record &record, uring::RequestSource &source,
					    images::Request &request) const;
	void find_timed_out(std::span<const uring::Sighting> sightings);
	[[nodiscard]] bool has_more_behind_timeout(const uring_request_record &record) const;
	[[nodiscard]] bool is_orphan(const uring::Sighting &sighting) const;
	void add_links(std::span<const uring::Sighting> sightings, images::Ring &ring) const;
	void add_messages(images::Ring &ring);
	void prove(images::Ring &ring);

	const UringIndex &index_;
	const uring_ring_record &record_;
	const Context &context_;
	uint32_t completions_ = 0;
	std::unordered_map<uint64_t, uint64_t> timed_out_; // struct io_kiocb: that of its LINK_TIMEOUT
	std::unordered_map<uint64_t, uring::BufferPlaces>
		buffers_; // by struct io_rsrc_node, of vectors that are issued
};

// 0: its thread is none of the tree.
uint32_t Collector::pid_of(const images::Request &request) const
{
	const images::Process *process = process_of(*context_.document, request.tid());
	return process ? process->pid() : 0;
}

// The input of a splice or tee: the kernel looks it up when a worker begins, and keeps the file on that worker's stack.
// What is told here is what the descriptor names now; check_inputs() holds it against the references. Of a fixed slot
// the request has the node, since v6.13. Returns why there is none.
std::string Collector::name_input(const uring::RequestSource &source, images::Request &request) const
{
	if (request.op_flags() & SPLICE_F_FD_IN_FIXED) {
		bool begun = source.record->place == URING_PLACE_WQ_WORKER;
		auto splice = source.command("io_splice");
		if (begun && !splice.has("rsrc_node"))
			return "which fixed file is its input is not known on this kernel";
		for (const uring_file_record *slot : UringIndex::of(index_.fixed_files, record_.ring))
			if (slot->slot == static_cast<uint32_t>(request.fd()) &&
			    (!begun || slot->node == splice.get("rsrc_node")))
				request.set_in_flight_file2(context_.ids.files.find(slot->file));
	} else {
		request.set_in_flight_file2(context_.ids.files.find(
			index_.fds.file_at(pid_of(request), static_cast<uint32_t>(request.fd()))));
	}
	return request.in_flight_file2() ? "" : fmt::format("its input, descriptor {}, is closed", request.fd());
}

// Fills what tells which file a request is about. Returns why that cannot be told.
std::string Collector::name_file(const uring_request_record &record, uring::RequestSource &source,
				 images::Request &request) const
{
	bool fixed = request.flags() & IOSQE_FIXED_FILE;
	request.set_file(context_.ids.files.find(record.file));
	if (!has_begun(record)) {
		source.descriptor = static_cast<int>(record.cqe_flags);
		if (fixed)
			request.set_fixed_slot(record.cqe_flags);
		else if (uring::uses_file(record.opcode) && !request.exited() && // those never look
			 !index_.fds.file_at(pid_of(request), record.cqe_flags))
			return fmt::format("its file, descriptor {}, is closed", source.descriptor);
		if (!fixed && uring::uses_file(record.opcode))
			request.set_fd(source.descriptor);
		return {};
	}
	auto slot = fixed ? fixed_slot(index_, record) : std::nullopt;
	source.descriptor = slot ? static_cast<int>(*slot) : -1;
	request.set_fixed_slot(slot.value_or(0));
	if (record.file && !request.file())
		return "its file could not be described";
	if (fixed && record.file && !slot)
		return "the fixed slot that it was submitted with has been replaced";
	// A worker looks it up, and when it does so is not known to who submits it.
	if (is_punted(record) && record.file && !fixed) {
		auto number = index_.fds.descriptor_of(pid_of(request), record.file);
		if (!number)
			return "no descriptor of its file is left";
		source.descriptor = static_cast<int>(*number);
	}
	return {};
}

// Of a vector of parts of a registered buffer: as passed, or, once it is issued, where its pages are in that buffer.
// Nothing: that is not known.
std::vector<images::IoVec> Collector::fixed_iovecs(const uring::RequestSource &source, const Attached &attached)
{
	const uring_request_record &record = *source.record;
	if (source.has_flag("REQ_F_IMPORT_BUFFER")) {
		auto iovecs = parse_iovecs(attached[URING_BLOB_IOVECS]);
		bool whole = iovecs.size() == source.command("io_rw").get("len");
		return whole ? iovecs : std::vector<images::IoVec>();
	}
	auto iter = source.async_data("io_async_rw");
	auto parts = parse_bvecs(attached[URING_BLOB_BVECS]);
	if (parts.size() != iter.get("iter.nr_segs") || iter.get("iter.iov_offset"))
		return {};
	for (const uring_buffer_record *buffer : UringIndex::of(index_.buffers, record.ring)) {
		if (buffer->node != record.buffer)
			continue;
		auto places = buffers_.find(buffer->node);
		if (places == buffers_.end())
			places = buffers_.try_emplace(buffer->node, buffer->address, pages_of(index_, buffer->imu))
					 .first;
		return places->second.iovecs_of(parts);
	}
	return {};
}

void Collector::add(const uring::Sighting &sighting, images::Request &request)
{
	const uring_request_record &record = *sighting.record;
	Attached attached = attached_by(UringIndex::of(index_.blobs, record.request));
	uring::RequestSource source;
	source.record = &record;
	source.layout = &index_.layout;
	if (source.has_flag("REQ_F_ASYNC_DATA")) {
		source.async = attached[URING_BLOB_ASYNC];
		source.iovecs = is_fixed_vector(record) ? fixed_iovecs(source, attached)
							: parse_iovecs(attached[URING_BLOB_IOVECS]);
	}
	source.path = parse_name(attached[URING_BLOB_PATH]);
	source.path2 = parse_name(attached[URING_BLOB_PATH2]);
	source.attribute = parse_name(attached[URING_BLOB_ATTRIBUTE]);
	source.attribute_value = attached[URING_BLOB_VALUE];
	source.taken_buffer = attached[URING_BLOB_KBUF];
	source.command_sqe = attached[URING_BLOB_COMMAND];
	if (sighting.queued)
		source.work = index_.function(sighting.work);
	source.completions = completions_;
	source.now = [this](uint32_t clock) { return context_.time.on(clock); };

	request.set_opcode(static_cast<images::Opcode>(record.opcode));
	request.set_user_data(record.user_data);
	request.set_where(source.is_to_be_issued() ? std::string(uring::kToBeIssued)
						   : uring::name_of_place(record.place));
	request.set_flags(submitted_flags(source, record.link || timed_out_.contains(record.request)));
	request.set_woken(sighting.queued);
	std::optional<uint32_t> personality = source.has_flag("REQ_F_CREDS") ? personality_of(index_, record) : 0;
	request.set_personality(personality.value_or(0));
	auto thread = index_.tids.find(record.tctx);
	request.set_tid(thread == index_.tids.end() ? 0 : thread->second);
	if (!request.tid() && record.exited_from) {
		auto process = context_.ids.processes.find(record.exited_from);
		request.set_exited(true);
		request.set_exited_from(process == context_.ids.processes.end() ? 0 : process->second);
	}

	std::string no_file = name_file(record, source, request);
	std::string obstacle = uring::decode_request(source, request);
	if (obstacle.empty())
		obstacle = no_file;
	if (obstacle.empty() && !request.has_taken_buffer() &&
	    (source.has_flag("REQ_F_BUFFER_SELECTED") || source.has_flag("REQ_F_BUFFER_RING")))
		obstacle = "it has taken a provided buffer already";
	if (obstacle.empty() && is_splice(record))
		obstacle = name_input(source, request);
	if (obstacle.empty() && source.is_cancelled_poll())
		obstacle = "it has been cancelled, and its thread has not come for that";
	if (obstacle.empty() && is_orphan(sighting))
		obstacle = "it has expired, and what it is to cancel was not found";
	if (obstacle.empty() && has_more_behind_timeout(record))
		obstacle = "it has just timed out, and others are linked to it";
	if (obstacle.empty() && !personality && !request.exited()) // nobody works with them any more
		obstacle = "the credentials that it was submitted with are no longer registered";
	if (obstacle.empty() && keeps_buffer(source) && !has_its_buffer(index_, record))
		obstacle = "the registered buffer that it was submitted with has been replaced";
	uring::classify(source, sighting, source.work, index_.workers.is_bounded(record), obstacle, request);
	request.set_obstacle(obstacle);
}

void Collector::add_messages(images::Ring &ring)
{
	for (const auto *record : uring::messages(UringIndex::of(index_.requests, record_.ring))) {
		images::Cqe *cqe = ring.add_messages();
		cqe->set_user_data(record->user_data);
		cqe->set_res(record->res);
		cqe->set_flags(record->cqe_flags);
	}
}

// The set is whole if it has as many members as the kernel counts, and nothing moved while it was taken.
void Collector::prove(images::Ring &ring)
{
	uring::Proof proof = uring::proof_of(UringIndex::of(index_.counts, record_.ring));
	ring.set_in_flight_count(proof.counted);
	ring.set_complete(!index_.records.truncated &&
			  proof.holds(static_cast<size_t>(ring.in_flight_size()) + ring.notifications()));
}

// A timeout that has expired is cut out of its chain, and cancels what was before it when its queued work runs
// (io_uring/timeout.c: io_link_timeout_fn()). Submitted again behind it, it does the same.
void Collector::find_timed_out(std::span<const uring::Sighting> sightings)
{
	for (const uring::Sighting &sighting : sightings) {
		if (sighting.record->opcode != images::IORING_OP_LINK_TIMEOUT || !sighting.queued ||
		    !index_.function(sighting.work).starts_with("io_req_task_link_timeout"))
			continue;
		iterators::KernelObject timeout(index_.layout, "io_timeout", sighting.record->command);
		uint64_t before = timeout.get("prev");
		if (std::ranges::any_of(sightings, [&](const auto &one) { return one.record->request == before; }))
			timed_out_.emplace(before, sighting.record->request);
	}
}

// It has expired, and what it belongs to is on no list.
bool Collector::is_orphan(const uring::Sighting &sighting) const
{
	auto is_it = [&](const auto &entry) { return entry.second == sighting.record->request; };
	return sighting.queued && index_.function(sighting.work).starts_with("io_req_task_link_timeout") &&
	       std::ranges::none_of(timed_out_, is_it);
}

// Up to 6.18 the timer cuts the timeout out, 7.2 leaves that to the queued work.
bool Collector::has_more_behind_timeout(const uring_request_record &record) const
{
	auto timeout = timed_out_.find(record.request);
	return timeout != timed_out_.end() && record.link && record.link != timeout->second;
}

void Collector::add_links(std::span<const uring::Sighting> sightings, images::Ring &ring) const
{
	std::unordered_map<uint64_t, uint32_t> numbers;
	for (const uring::Sighting &sighting : sightings)
		numbers.emplace(sighting.record->request, static_cast<uint32_t>(numbers.size() + 1));
	for (int i = 0; i < ring.in_flight_size(); i++) {
		const uring_request_record &record = *sightings[static_cast<size_t>(i)].record;
		auto timeout = timed_out_.find(record.request);
		uint64_t next = timeout == timed_out_.end() ? record.link : timeout->second;
		if (auto number = numbers.find(next); number != numbers.end())
			ring.mutable_in_flight(i)->set_link(number->second);
	}
}

// A classic group that is used up is as good as none, but for a request that has taken its last buffer. So is one of a
// ring that was unregistered since: it is provided with that buffer as a classic one.
static void add_used_up_groups(images::Ring &ring)
{
	for (const images::Request &request : ring.in_flight())
		if (request.has_taken_buffer() && !uring::find_group(ring, request.buffer_group()))
			ring.add_buffer_groups()->set_id(request.buffer_group());
}

void Collector::collect(images::Ring &ring)
{
	if (auto counts = UringIndex::of(index_.counts, record_.ring); !counts.empty())
		completions_ = counts.back()->counters.cached_cq_tail - record_.cq_timeouts;
	auto sightings = uring::sightings(UringIndex::of(index_.requests, record_.ring));
	find_timed_out(sightings);
	std::unordered_set<uint64_t> notifications;
	for (const uring::Sighting &sighting : sightings) {
		add(sighting, *ring.add_in_flight());
		notifications.insert(uring::notification_of(*sighting.record, index_.layout));
	}
	for (const uring::Sighting &sighting : sightings)
		notifications.erase(sighting.record->request); // its turn to be told has come
	notifications.erase(0);
	ring.set_notifications(static_cast<uint32_t>(notifications.size()));
	add_links(sightings, ring);
	add_used_up_groups(ring);
	// Not counted before v6.16.
	if (!ring.held_by_drain())
		ring.set_held_by_drain(static_cast<uint32_t>(std::ranges::count(
			sightings, URING_PLACE_DEFERRED, [](const auto &one) { return one.record->place; })));
	add_messages(ring);
	prove(ring);
}

} // namespace

void collect_requests(const UringIndex &index, const uring_ring_record &record, const Context &context,
		      images::Ring &ring)
{
	Collector(index, record, context).collect(ring);
}

} // namespace bpfckpt::collect
