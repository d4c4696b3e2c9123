// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/rearm.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <string_view>

#include <fmt/format.h>
#include <linux/io_uring.h>
#include <sys/wait.h>

#include "user/uring/provided.h"
#include "user/uring/sighting.h"

namespace bpfckpt::uring {

namespace {

using images::Request;

constexpr uint32_t kTimeoutFlags = (1U << 7) - 1; // up to IORING_TIMEOUT_MULTISHOT
constexpr uint32_t kPollLevel = 1U << 3;          // IORING_POLL_ADD_LEVEL

bool is_at(const Request &request, uring_place place)
{
	return std::string_view(request.where()) == name_of_place(place); // which compares lengths first
}

bool is_queued_work(const Request &request)
{
	return is_at(request, URING_PLACE_WQ_QUEUE) || is_at(request, URING_PLACE_WQ_HASHED);
}

bool is_waiting(const Request &request)
{
	return request.class_() == Request::REARMABLE;
}

bool is_to_be_issued(const Request &request)
{
	return request.where() == kToBeIssued;
}

// What is ready does not change between the dump and the submission, but by what the program would have seen too. Of
// some kinds it takes more than that to tell: restorable_polls.h.
bool is_steady(std::string_view kind)
{
	return kind == "pipe" || kind == "fifo" || kind == "eventfd" || kind == "timerfd" || kind == "socket" ||
	       kind == "inotify" || kind == "pidfd" || kind == "signalfd" || kind == "epoll";
}

std::string poll_obstacle(const Request &request, const images::File *file)
{
	if (request.op_flags() & kPollLevel && request.woken() && !is_to_be_issued(request))
		return "it has been woken, and would not be again";
	if (!request.multishot())
		return {};
	if (request.link())
		return "it repeats, and others are linked to it";
	if (!file || !is_steady(file->kind()))
		return fmt::format("it repeats, and whether a {} is ready cannot be told beforehand",
				   file ? file->kind() : "file");
	return {};
}

std::string timeout_obstacle(const Request &request)
{
	if (is_repeating_timeout(request) && request.accepted() != "timeout")
		return "it repeats, and its period would begin anew";
	if (request.op_flags() & ~kTimeoutFlags)
		return fmt::format("its flags {:#x} are not known", request.op_flags());
	return {};
}

// The kernel starts what is linked to it when it ends, which may be much later.
std::string repetition_obstacle(const Request &request)
{
	if (request.multishot() && request.link())
		return "it repeats, and others are linked to it";
	return {};
}

// A thread that exits has its futex waits cancelled (io_uring/futex.c: io_req_track_inflight()), and its works ended.
// What children do is told to the process that it was of. Of anything else there is no more to come than that it is
// cancelled, whoever has submitted it (io_uring/io_uring.c: io_should_terminate_tw()).
std::string exit_obstacle(const images::Ring &ring, const Request &request)
{
	if (!request.exited() || ring.has_sq_thread())
		return "the thread that submitted it is not known";
	if (request.woken())
		return "the thread that submitted it has exited, and its event has come";
	if (is_work(request) || request.opcode() == images::IORING_OP_FUTEX_WAIT ||
	    request.opcode() == images::IORING_OP_FUTEX_WAITV)
		return "the thread that submitted it has exited, which ends such a request";
	if (request.opcode() == images::IORING_OP_WAITID && !request.exited_from())
		return "the process that submitted it has ended";
	if (is_at(request, URING_PLACE_DEFERRED) &&
	    std::ranges::any_of(ring.in_flight(), [](const Request &other) { return is_work(other); }))
		return "the thread that submitted it has exited, and it waits for works of others (io-wq)";
	return {};
}

// Once one of these has begun, what it has done already is not known.
std::string not_begun_obstacle(const Request &request)
{
	return has_not_begun(request) ? "" : "restore does not submit it again once it has begun";
}

// To go on with it takes the socket as it is. Made anew, it is connected once more from the beginning.
std::string connect_obstacle(const Request &request, const images::File *file)
{
	bool again = request.accepted() == "connect" && is_at(request, URING_PLACE_POLL) && file &&
		     file->socket().state() == "SYN_SENT";
	return has_not_begun(request) || again ? "" : "its connection is being established";
}

bool is_pipe(const images::File &file)
{
	return file.kind() == "pipe" || file.kind() == "fifo";
}

// From a pipe to another, nothing has been moved as long as it waits (fs/splice.c: splice_pipe_to_pipe()). To anything
// else it moves piece by piece: nothing yet, if it waits for the first. Into a pipe it waits for room, and then with
// the pipe's lock for the input.
std::string splice_obstacle(const Request &request, const images::File *file, const images::File *input)
{
	if (has_not_begun(request))
		return {};
	if (!file || !input)
		return "its files are not known";
	if (is_pipe(*file) && (is_pipe(*input) || input->kind() == "socket"))
		return {};
	if (is_pipe(*input) && file->kind() == "socket")
		return input->pipe().queued() ? "how much of it is done already is not known" : "";
	return fmt::format("it moves data from a {} to a {}", input->kind(), file->kind());
}

// Where the kernel asks files for no waiting that cannot do so (pipes before v6.5, timerfds and the like), and in a
// chain whose beginning a worker had done. As long as it waits it has read nothing: a pipe gives what it has at once
// (fs/pipe.c: pipe_read()), the others each value as a whole, but a vector may take several of these.
std::string read_obstacle(const Request &request, const images::File *file)
{
	if (!is_at(request, URING_PLACE_WQ_WORKER) || (file && is_pipe(*file)))
		return {};
	bool whole = file && (file->kind() == "timerfd" || file->kind() == "eventfd" || file->kind() == "inotify");
	return whole && request.opcode() != images::IORING_OP_READV ? "" : "a worker is at it (io-wq)";
}

// Besides what all have in common.
std::string operation_obstacle(const Request &request, const images::File *file, const images::File *input)
{
	switch (request.opcode()) {
	case images::IORING_OP_POLL_ADD:
		return poll_obstacle(request, file);
	case images::IORING_OP_TIMEOUT:
	case images::IORING_OP_LINK_TIMEOUT:
		return timeout_obstacle(request);
	case images::IORING_OP_READ:
	case images::IORING_OP_READV:
	case images::IORING_OP_READ_FIXED:
		return read_obstacle(request, file);
	case images::IORING_OP_NOP:
	case images::IORING_OP_WRITE:
	case images::IORING_OP_WRITEV:
	case images::IORING_OP_WRITE_FIXED:
	case images::IORING_OP_READV_FIXED:
	case images::IORING_OP_WRITEV_FIXED:
	case images::IORING_OP_SEND:
	case images::IORING_OP_FUTEX_WAIT:
	case images::IORING_OP_FUTEX_WAITV:
	case images::IORING_OP_EPOLL_WAIT:
	case images::IORING_OP_SENDMSG:
	case images::IORING_OP_WAITID:
		return {};
	case images::IORING_OP_ACCEPT:
	case images::IORING_OP_READ_MULTISHOT:
	case images::IORING_OP_RECV:
	case images::IORING_OP_RECVMSG:
		return repetition_obstacle(request);
	case images::IORING_OP_CONNECT:
		return connect_obstacle(request, file);
	case images::IORING_OP_SPLICE:
	case images::IORING_OP_TEE:
		return splice_obstacle(request, file, input);
	case images::IORING_OP_OPENAT: // with a worker: of a FIFO, else it has an obstacle of its own
	case images::IORING_OP_OPENAT2:
		return has_worker(request) ? "" : not_begun_obstacle(request);
	case images::IORING_OP_POLL_REMOVE:
	case images::IORING_OP_TIMEOUT_REMOVE:
	case images::IORING_OP_ASYNC_CANCEL:
	case images::IORING_OP_FSYNC:
	case images::IORING_OP_SYNC_FILE_RANGE:
	case images::IORING_OP_FALLOCATE:
	case images::IORING_OP_FTRUNCATE:
	case images::IORING_OP_FADVISE:
	case images::IORING_OP_MADVISE:
	case images::IORING_OP_CLOSE:
	case images::IORING_OP_FIXED_FD_INSTALL:
	case images::IORING_OP_FILES_UPDATE:
	case images::IORING_OP_SOCKET:
	case images::IORING_OP_BIND:
	case images::IORING_OP_LISTEN:
	case images::IORING_OP_SHUTDOWN:
	case images::IORING_OP_PIPE:
	case images::IORING_OP_FUTEX_WAKE:
	case images::IORING_OP_MSG_RING:
	case images::IORING_OP_PROVIDE_BUFFERS:
	case images::IORING_OP_REMOVE_BUFFERS:
	case images::IORING_OP_STATX:
	case images::IORING_OP_RENAMEAT:
	case images::IORING_OP_UNLINKAT:
	case images::IORING_OP_MKDIRAT:
	case images::IORING_OP_SYMLINKAT:
	case images::IORING_OP_LINKAT:
	case images::IORING_OP_FSETXATTR:
	case images::IORING_OP_SETXATTR:
	case images::IORING_OP_FGETXATTR:
	case images::IORING_OP_GETXATTR:
	case images::IORING_OP_EPOLL_CTL:
	case images::IORING_OP_SEND_ZC:
	case images::IORING_OP_SENDMSG_ZC:
		return not_begun_obstacle(request);
	default:
		return "restore does not submit it again yet";
	}
}

// It takes them again: user/restore/buffer_ring.h.
std::string taken_obstacle(const Request &request, const images::BufferGroup *group)
{
	if (!group)
		return fmt::format("buffer group {}, of which it has taken one, is gone", request.buffer_group());
	if (is_work(request))
		return "it has taken a provided buffer, and waits for a worker (io-wq)";
	if (request.buffer_kept() && !group->incremental())
		return fmt::format("buffer group {}, of which it has taken a part of one, is another by now",
				   request.buffer_group());
	if (!is_bundle(request))
		return {};
	if (!group->ring() || group->incremental())
		return "it has taken several provided buffers of a group that is no plain ring of them";
	if (static_cast<uint32_t>(request.iovecs_size()) + request.buffers_left() > group->entries())
		return fmt::format("it has taken more provided buffers than group {} has", request.buffer_group());
	return {};
}

// For the moment of its submission a ring of buffers is registered in place of the group, which is none then. Who has
// taken a buffer of that could give it back to it.
std::string empty_group_obstacle(const images::Ring &ring, const Request &request)
{
	if (ring.has_restrictions())
		return "the ring's restrictions leave no way to show it a provided buffer";
	if (request.exited())
		return "the thread that submitted it has exited, and shows it no provided buffer";
	for (const Request &other : ring.in_flight())
		if (other.has_taken_buffer() && other.buffer_group() == request.buffer_group())
			return fmt::format("buffer group {} has none left for it, and others wait with its buffers",
					   request.buffer_group());
	return {};
}

// What a socket does waits first (IORING_RECVSEND_POLL_FIRST), a read looks for a buffer first.
std::string provided_obstacle(const images::Ring &ring, const Request &request)
{
	if (!(request.flags() & IOSQE_BUFFER_SELECT))
		return {};
	const images::BufferGroup *group = find_group(ring, request.buffer_group());
	bool is_ring = group && group->ring();
	switch (request.opcode()) {
	case images::IORING_OP_RECV:
	case images::IORING_OP_RECVMSG:
		return {};
	case images::IORING_OP_SEND:
		return request.has_taken_buffer() ? taken_obstacle(request, group) : "";
	case images::IORING_OP_READ:
	case images::IORING_OP_READ_MULTISHOT:
		if (request.has_taken_buffer() && is_ring) // it would give it back
			return fmt::format("buffer group {}, of which it has taken one, is a ring by now",
					   request.buffer_group());
		if (request.has_taken_buffer())
			return taken_obstacle(request, group);
		if (looks_into_empty(ring, request))
			return empty_group_obstacle(ring, request);
		if (!group || (!is_ring && group->buffers().empty()) ||
		    (is_ring && group->head() == group->tail() && !looks_into_ring(ring, request)))
			return fmt::format("buffer group {} has none left for it", request.buffer_group());
		return {};
	default:
		return "it takes a provided buffer";
	}
}

// What is linked to a request that may end at once begins before others have taken their buffers again.
std::string link_obstacle(const images::Ring &ring, const Request &request)
{
	if (!request.woken() && !is_at(request, URING_PLACE_TIMEOUT))
		return {};
	auto has_taken_one = [&](uint32_t group) {
		return std::ranges::any_of(ring.in_flight(), [&](const Request &one) {
			return one.has_taken_buffer() && one.buffer_group() == group;
		});
	};
	const Request *next = &request;
	for (int left = ring.in_flight_size(); left && next->link(); left--) {
		if (next->link() > static_cast<uint32_t>(ring.in_flight_size()))
			break;
		next = &ring.in_flight(static_cast<int>(next->link()) - 1);
		if (next->flags() & IOSQE_BUFFER_SELECT && has_taken_one(next->buffer_group()))
			return fmt::format(
				"it may end at once, and what is linked to it takes a buffer of group {}, as "
				"requests have that wait",
				next->buffer_group());
	}
	return {};
}

std::string file_obstacle(const Request &request, const images::File *file)
{
	if (!request.file())
		return {};
	return file ? "" : "its file is not known";
}

constexpr size_t kRanks = 8;
constexpr size_t kFutexRank = 4;

// One with IOSQE_IO_DRAIN that waits has passed its drain, and passes again only as the first of all (before v6.16 what
// comes later is not held back by it). Some timeouts count completions: they come before what may be told at once. Who
// has taken a provided buffer takes it again before others look for one. Works that have begun come before those behind
// them. What a drain holds back waits for all that was submitted before it, so it comes last.
size_t rank_of(const Request &request)
{
	if (request.flags() & IOSQE_IO_DRAIN && (is_to_be_issued(request) || !has_not_begun(request)))
		return 0;
	if (is_at(request, URING_PLACE_TIMEOUT))
		return 1;
	if (request.has_taken_buffer())
		return 2;
	if (waits_for_futex(request))
		return kFutexRank;
	if (has_worker(request))
		return 5;
	if (is_queued_work(request))
		return 6;
	return is_at(request, URING_PLACE_DEFERRED) ? 7 : 3;
}

// Any other operation may have done a part of its work, of which nothing is known.
bool may_wait_in_worker(const Request &request)
{
	return request.opcode() == images::IORING_OP_SPLICE || request.opcode() == images::IORING_OP_TEE ||
	       request.opcode() == images::IORING_OP_OPENAT || request.opcode() == images::IORING_OP_OPENAT2;
}

// Works are submitted as such: tried at once, an open of a FIFO would not wait.
std::string work_obstacle(const images::Ring &ring, const Request &request)
{
	if (has_worker(request) && !may_wait_in_worker(request))
		return "a worker is at it (io-wq)";
	if (ring.has_restrictions() && !(ring.restrictions().sqe_flags_allowed() & IOSQE_ASYNC))
		return "a worker is at it, and the ring's restrictions leave no way to give it to one";
	return {};
}

} // namespace

bool has_not_begun(const Request &request)
{
	return is_at(request, URING_PLACE_LINK) || is_at(request, URING_PLACE_DEFERRED) || is_to_be_issued(request) ||
	       is_queued_work(request);
}

std::string rearm_obstacle(const images::Ring &ring, const Request &request, const images::File *file,
			   const images::File *input)
{
	if (!request.obstacle().empty())
		return request.obstacle();
	if (request.sqe().size() != sizeof(io_uring_sqe))
		return "its SQE is not known";
	if (!request.tid())
		if (std::string obstacle = exit_obstacle(ring, request); !obstacle.empty())
			return obstacle;
	if (is_work(request))
		if (std::string obstacle = work_obstacle(ring, request); !obstacle.empty())
			return obstacle;
	if (is_at(request, URING_PLACE_DEFERRED) && ring.drain_disabled())
		return "it waits for all that was submitted before it, and the ring takes no such request any more";
	if (is_at(request, URING_PLACE_SUBMITTING))
		return "the chain that it begins is not submitted whole";
	if (std::string obstacle = provided_obstacle(ring, request); !obstacle.empty())
		return obstacle;
	if (std::string obstacle = link_obstacle(ring, request); !obstacle.empty())
		return obstacle;
	if (request.flags() & IOSQE_CQE_SKIP_SUCCESS && !ring.drain_disabled())
		return "its completion is left out, and it is not known by whom";
	if (request.bytes_done())
		return fmt::format("{} bytes of it are done already", request.bytes_done());
	if (std::string obstacle = file_obstacle(request, file); !obstacle.empty())
		return obstacle;
	return operation_obstacle(request, file, input);
}

// Of these the result is made up only when the queued work runs, or more follows from it than a completion.
std::string completion_obstacle(const images::Ring &ring, const Request &request)
{
	switch (request.opcode()) {
	case images::IORING_OP_NOP: // also what stands for a notification of a zero-copy send
	case images::IORING_OP_SEND_ZC:
	case images::IORING_OP_SENDMSG_ZC:
	case images::IORING_OP_FUTEX_WAITV:
	case images::IORING_OP_URING_CMD:
		return "what its completion says is not known";
	default:
		break;
	}
	if (request.multishot())
		return "it repeats";
	if (request.link())
		return "others are linked to it";
	if (request.flags() & IOSQE_BUFFER_SELECT)
		return "its buffer is not the program's any more";
	if (ring.layout().cqe_size() != sizeof(io_uring_cqe))
		return "its completion has 32 bytes";
	return {};
}

bool is_repeating_timeout(const Request &request)
{
	return request.opcode() == images::IORING_OP_TIMEOUT && request.multishot() &&
	       is_at(request, URING_PLACE_TIMEOUT) && request.repeats() != 1;
}

bool is_work(const Request &request)
{
	return is_queued_work(request) || has_worker(request);
}

// A read that waits in one is submitted as it was by the program.
bool has_worker(const Request &request)
{
	switch (request.opcode()) {
	case images::IORING_OP_READ:
	case images::IORING_OP_READV:
	case images::IORING_OP_READ_FIXED:
		return false;
	default:
		return is_at(request, URING_PLACE_WQ_WORKER);
	}
}

bool may_report_again(const Request &request)
{
	return request.opcode() == images::IORING_OP_POLL_ADD && request.multishot() && !request.woken() &&
	       !(request.op_flags() & kPollLevel);
}

bool waits_for_futex(const Request &request)
{
	return is_at(request, URING_PLACE_FUTEX);
}

std::vector<Chain> waiting_chains(const images::Ring &ring)
{
	auto size = static_cast<size_t>(ring.in_flight_size());
	std::vector<bool> linked(size);
	for (const Request &request : ring.in_flight())
		if (request.link() && request.link() <= size)
			linked[request.link() - 1] = true;
	std::array<std::vector<Chain>, kRanks> ranks; // a ring can hold thousands: each is asked for its rank once
	for (size_t i = 0; i < size; i++) {
		const Request *request = &ring.in_flight(static_cast<int>(i));
		if (linked[i] || !is_waiting(*request))
			continue;
		Chain &chain = ranks.at(rank_of(*request)).emplace_back();
		// A chain without a beginning is a ring of requests, which no kernel makes.
		for (chain.push_back(request); request->link() && chain.size() < size; chain.push_back(request))
			request = &ring.in_flight(static_cast<int>(request->link()) - 1);
	}
	// The ring's list has the newest first (io_uring/futex.c), who waits for one word is woken oldest first.
	std::ranges::reverse(ranks[kFutexRank]);
	std::vector<Chain> chains;
	for (std::vector<Chain> &rank : ranks)
		std::ranges::move(rank, std::back_inserter(chains));
	return chains;
}

bool is_work(const Chain &chain)
{
	return is_work(*chain.front());
}

bool is_held_back(const Chain &chain)
{
	return is_at(*chain.front(), URING_PLACE_DEFERRED);
}

uint32_t waiting_count(const images::Ring &ring)
{
	return static_cast<uint32_t>(std::ranges::count_if(ring.in_flight(), is_waiting));
}

} // namespace bpfckpt::uring
