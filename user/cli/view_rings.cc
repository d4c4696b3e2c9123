// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Rings: what people ask for and cannot get from fdinfo comes first, the requests in flight.

#include "user/cli/names.h"
#include "user/cli/view_parts.h"
#include "user/uring/opcode.h"

namespace bpfckpt::cli {

namespace {

using namespace images;

constexpr std::string_view kIndent = "    ";

std::string opcode_name(Opcode opcode)
{
	const std::string &name = Opcode_Name(opcode);
	return name.empty() ? fmt::format("opcode {}", static_cast<int>(opcode)) : name;
}

std::string request_flags(const Request &request)
{
	std::string text = sqe_flags(request.flags());
	if (request.multishot())
		text += text.empty() ? "multishot" : "|multishot";
	return text;
}

std::string request_file(const View &view, const Request &request)
{
	bool fixed = request.flags() & 1; // IOSQE_FIXED_FILE
	if (request.file())
		return (fixed ? fmt::format("slot {}, ", request.fixed_slot()) : "") + view.file_name(request.file());
	// It looks its file up when it begins.
	bool waits = request.where() == "link member" || request.where() == "deferred";
	if (!waits || !uring::uses_file(static_cast<uint8_t>(request.opcode())))
		return "";
	return fixed ? fmt::format("slot {}", request.fixed_slot()) : fmt::format("fd {}", request.fd());
}

bool has_length(const Request &request)
{
	return request.opcode() != IORING_OP_POLL_ADD && request.opcode() != IORING_OP_TIMEOUT &&
	       request.opcode() != IORING_OP_WAITID;
}

std::string provided_buffer(const Request &request)
{
	if (!request.has_taken_buffer())
		return fmt::format("buffer group {}", request.buffer_group());
	if (request.iovecs_size() > 1)
		return fmt::format("has {} buffers of group {}, from {} on", request.iovecs_size(),
				   request.buffer_group(), request.taken_buffer());
	return fmt::format("has {}buffer {} of group {}", request.buffer_kept() ? "a part of " : "",
			   request.taken_buffer(), request.buffer_group());
}

std::string request_detail(const View &view, const Request &request)
{
	std::string text;
	auto add = [&text](const std::string &part) { text += (text.empty() ? "" : ", ") + part; };
	if (request.opcode() == IORING_OP_POLL_ADD && request.poll_events())
		add(poll_events(request.poll_events()));
	if (request.timeout_count())
		add(fmt::format("or {}", count_of(request.timeout_count(), "completion")));
	if (request.opcode() == IORING_OP_FUTEX_WAIT)
		add(fmt::format("at {:#x}", request.address()));
	if (request.length() && has_length(request))
		add(human_bytes(request.length()));
	if (request.flags() & 1u << 5)
		add(provided_buffer(request));
	if (!request.path().empty())
		add(printable(request.path()));
	if (!request.path2().empty())
		add("and " + printable(request.path2()));
	if (!request.attribute().empty())
		add(printable(request.attribute()));
	if (request.opcode() == IORING_OP_EPOLL_CTL)
		add(fmt::format("fd {} in epoll fd {}", request.offset(), request.fd()));
	if (request.in_flight_file2())
		add("from " + view.file_name(request.in_flight_file2()));
	if (request.link())
		add(fmt::format("then #{}", request.link()));
	if (request.class_() == Request::COMPLETED)
		add(fmt::format("completed with {}", errno_name(request.result())));
	if (!request.accepted().empty())
		add(fmt::format("accepted as inexact: {}", printable(request.accepted())));
	return text;
}

std::string remaining_of(const Request &request)
{
	bool timeout = request.opcode() == IORING_OP_TIMEOUT || request.opcode() == IORING_OP_LINK_TIMEOUT;
	if (!timeout && !request.remaining_ns())
		return "";
	return request.remaining_ns() > 0 ? human_duration(request.remaining_ns()) : "due";
}

void view_requests(View &view, const Ring &ring)
{
	if (ring.in_flight().empty())
		return;
	Table table({{"#", Table::Align::kRight},
		     {"OPCODE"},
		     {"USER_DATA"},
		     {"WHERE"},
		     {"FLAGS"},
		     {"REMAINING", Table::Align::kRight},
		     {"THREAD", Table::Align::kRight},
		     {"FILE"},
		     {"DETAIL"}});
	int index = 0;
	for (const Request &request : ring.in_flight())
		table.row({fmt::format("{}", ++index), opcode_name(request.opcode()),
			   fmt::format("{:#x}", request.user_data()), printable(request.where()),
			   request_flags(request), remaining_of(request),
			   request.tid() ? fmt::format("{}", request.tid()) : "gone", request_file(view, request),
			   request_detail(view, request)});
	view.table(table, kIndent);
}

void view_in_flight(View &view, const Ring &ring)
{
	std::string text = fmt::format("{}", ring.in_flight_size());
	if (ring.notifications())
		text += fmt::format(" and {}", count_of(ring.notifications(), "notification"));
	if (ring.complete())
		text += ring.in_flight_size() ? ", as many as the kernel counts" : "";
	else
		text += view.palette().paint(Tone::kBad,
					     fmt::format(", but the kernel counts {}", ring.in_flight_count()));
	if (ring.drain_active())
		text += ", drain active";
	view.field("in flight", text);
	view_requests(view, ring);
}

void view_queues(View &view, const Ring &ring)
{
	std::string submission =
		fmt::format("head {} tail {} of {} entries", ring.sq_head(), ring.sq_tail(), ring.sq_entries());
	if (ring.unsubmitted_size())
		submission += fmt::format(", {} not submitted", ring.unsubmitted_size());
	if (ring.sq_dropped())
		submission += fmt::format(", {} dropped", ring.sq_dropped());
	if (ring.sq_flags())
		submission += ", " + sq_ring_flags(ring.sq_flags());
	view.field("submission", submission);
	std::string completion =
		fmt::format("head {} tail {} of {} entries", ring.cq_head(), ring.cq_tail(), ring.cq_entries());
	if (ring.cqes_size())
		completion += fmt::format(", {} not read", ring.cqes_size());
	if (ring.overflow_size())
		completion += fmt::format(", {} in the overflow list", ring.overflow_size());
	if (ring.cq_overflow_count())
		completion += fmt::format(", {} lost", ring.cq_overflow_count());
	if (ring.cq_flags())
		completion += ", " + cq_ring_flags(ring.cq_flags());
	view.field("completion", completion);
}

void add_cqes(Table &table, const google::protobuf::RepeatedPtrField<Cqe> &cqes, const char *where)
{
	for (const Cqe &cqe : cqes)
		table.row(
			{where, fmt::format("{:#x}", cqe.user_data()), errno_name(cqe.res()), cqe_flags(cqe.flags())});
}

void view_entries(View &view, const Ring &ring)
{
	Table submissions({{"NOT SUBMITTED"}, {"USER_DATA"}});
	for (const Sqe &sqe : ring.unsubmitted())
		submissions.row({opcode_name(sqe.opcode()), fmt::format("{:#x}", sqe.user_data())});
	view.table(submissions, kIndent);
	Table completions({{"NOT READ"}, {"USER_DATA"}, {"RESULT"}, {"FLAGS"}});
	add_cqes(completions, ring.cqes(), "in the ring");
	add_cqes(completions, ring.overflow(), "overflow list");
	view.table(completions, kIndent);
}

void view_fixed_files(View &view, const Ring &ring)
{
	if (!ring.fixed_file_slots())
		return;
	view.field("fixed files", fmt::format("{} in {} slots", ring.fixed_files_size(), ring.fixed_file_slots()));
	Table table({{"SLOT", Table::Align::kRight}, {"FILE"}, {"HELD BY"}, {"TAG"}});
	for (const FixedFile &file : ring.fixed_files())
		table.row({fmt::format("{}", file.slot()), view.file_name(file.file()), view.holders(file.file()),
			   file.tag() ? fmt::format("{:#x}", file.tag()) : ""});
	view.table(table, kIndent);
}

void view_buffers(View &view, const Ring &ring)
{
	if (ring.buffer_slots()) {
		view.field("fixed buffers", fmt::format("{} in {} slots", ring.buffers_size(), ring.buffer_slots()));
		Table table({{"SLOT", Table::Align::kRight},
			     {"ADDRESS", Table::Align::kRight},
			     {"SIZE", Table::Align::kRight},
			     {"TAG"},
			     {"STATE"}});
		for (const FixedBuffer &buffer : ring.buffers())
			table.row({fmt::format("{}", buffer.slot()), fmt::format("{:#x}", buffer.address()),
				   human_bytes(buffer.length()), buffer.tag() ? fmt::format("{:#x}", buffer.tag()) : "",
				   buffer.pages_differ() ? "pages were replaced" : ""});
		view.table(table, kIndent);
	}
	if (ring.buffer_groups().empty())
		return;
	view.field("buffer groups", fmt::format("{}", ring.buffer_groups_size()));
	Table table({{"GROUP", Table::Align::kRight}, {"KIND"}, {"ENTRIES", Table::Align::kRight}, {"HEAD"}, {"TAIL"}});
	for (const BufferGroup &group : ring.buffer_groups()) {
		bool is_ring = group.ring();
		table.row({fmt::format("{}", group.id()),
			   !is_ring              ? "provided"
			   : group.incremental() ? "incremental ring"
						 : "ring",
			   fmt::format("{}", group.entries()), is_ring ? fmt::format("{}", group.head()) : "",
			   is_ring ? fmt::format("{}", group.tail()) : ""});
	}
	view.table(table, kIndent);
}

std::string restrictions_of(const Ring &ring)
{
	if (!ring.has_restrictions())
		return "";
	const Restrictions &restrictions = ring.restrictions();
	auto flags_or_none = [](uint32_t flags) { return flags ? sqe_flags(flags) : "none"; };
	return fmt::format("{} and {} allowed, SQE flags: {} allowed, {} required",
			   count_of(static_cast<uint64_t>(restrictions.sqe_ops_size()), "opcode"),
			   count_of(static_cast<uint64_t>(restrictions.register_ops_size()), "register operation"),
			   flags_or_none(restrictions.sqe_flags_allowed()),
			   flags_or_none(restrictions.sqe_flags_required()));
}

std::string sq_thread_of(const Ring &ring)
{
	if (!ring.has_sq_thread())
		return "";
	const SqThread &thread = ring.sq_thread();
	std::string text = fmt::format("tid {}, idle after {} ms", thread.tid(), thread.idle_ms());
	if (thread.pinned())
		text += fmt::format(", on CPU {}", thread.cpu());
	return text + (thread.sleeping() ? ", asleep" : "");
}

std::string eventfd_of(const View &view, const RingEventfd &eventfd)
{
	std::string name = "no descriptor of the tree";
	if (eventfd.file())
		name = view.file_name(eventfd.file());
	else if (eventfd.unreadable())
		name = "no descriptor";
	return name + (eventfd.async() ? ", async only" : "");
}

void view_others(View &view, const Ring &ring)
{
	view.field("SQ thread", sq_thread_of(ring));
	if (ring.has_eventfd())
		view.field("eventfd", eventfd_of(view, ring.eventfd()));
	for (const Personality &personality : ring.personalities())
		view.field("personality",
			   fmt::format("{}: uid {} gid {}", personality.id(), personality.credentials().euid(),
				       personality.credentials().egid()));
	view.field("restrictions", restrictions_of(ring));
	for (const TaskContext &task : ring.tasks())
		view.field("used by", fmt::format("tid {}, {}, {} running", task.tid(),
						  count_of(task.workers(), "worker"), task.running()));
	for (const RingMapping &mapping : ring.mappings())
		view.field("mapped", fmt::format("{:x}-{:x} in address space {}", mapping.start(), mapping.end(),
						 mapping.address_space()));
	for (const std::string &text : ring.unsupported())
		view.field("unsupported", view.palette().paint(Tone::kBad, printable(text)));
}

void view_ring(View &view, const Ring &ring)
{
	view.heading(fmt::format("Ring {}: {}", ring.id(), view.holders(ring.file())));
	view.field("flags", ring_setup_flags(ring.flags()) + (ring.disabled() ? " (not yet enabled)" : ""));
	view_queues(view, ring);
	view_in_flight(view, ring);
	view_entries(view, ring);
	view_fixed_files(view, ring);
	view_buffers(view, ring);
	view_others(view, ring);
	view.blank();
}

} // namespace

void view_rings(View &view)
{
	for (const Ring &ring : view.document().rings())
		view_ring(view, ring);
}

} // namespace bpfckpt::cli
