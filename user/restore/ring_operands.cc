// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/ring_operands.h"

#include <algorithm>
#include <ranges>

#include <linux/openat2.h>
#include <sys/epoll.h>

#include "user/uring/rearm.h"

namespace bpfckpt::restore {

using images::Request;

namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr uint32_t kTimeoutUpdates = 1U << 1 | 1U << 4; // IORING_TIMEOUT_UPDATE, IORING_LINK_TIMEOUT_UPDATE
// The kernel never tells a program this flag, MSG_CMSG_COMPAT (net/socket.c: ____sys_recvmsg()): where it still stands,
// nothing has been received.
constexpr int kNothingReceived = static_cast<int>(1U << 31);

// struct futex_waitv
struct FutexWait {
	uint64_t value;
	uint64_t address;
	uint32_t flags;
	uint32_t reserved;
};

void *pointer(uint64_t address)
{
	return reinterpret_cast<void *>(address); // NOLINT(performance-no-int-to-ptr): of the program
}

bool is_timeout(const Request &request)
{
	return request.opcode() == images::IORING_OP_TIMEOUT || request.opcode() == images::IORING_OP_LINK_TIMEOUT;
}

template <class T>
std::span<const std::byte> bytes_of(const T &object)
{
	return std::as_bytes(std::span(&object, 1));
}

} // namespace

// --- what the kernel copies ----------------------------------------------------------------------------------------

// Each of at most six pieces begins at a multiple of 8.
size_t Operands::most_bytes(const Request &request)
{
	return sizeof(msghdr) + sizeof(open_how) + static_cast<size_t>(request.iovecs_size()) * sizeof(iovec) +
	       static_cast<size_t>(request.futexes_size()) * sizeof(FutexWait) + request.sockaddr().size() +
	       request.path().size() + request.path2().size() + request.attribute().size() + 3 +
	       request.attribute_value().size() + 6 * sizeof(uint64_t);
}

void Operands::clear()
{
	bytes_.clear();
	receive_headers_.clear();
}

uint64_t Operands::put(const void *data, size_t size)
{
	size_t at = (bytes_.size() + 7) & ~size_t{7};
	auto bytes = std::span(static_cast<const std::byte *>(data), size);
	bytes_.resize(at);
	bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
	return mapping_ + at;
}

uint64_t Operands::put_time(int64_t nanoseconds)
{
	nanoseconds = std::max<int64_t>(nanoseconds, 0);
	int64_t time[2] = {nanoseconds / kSecond, nanoseconds % kSecond}; // struct __kernel_timespec
	return put(time, sizeof(time));
}

uint64_t Operands::put_iovecs(const Request &request)
{
	std::vector<iovec> iovecs;
	for (const images::IoVec &one : request.iovecs())
		iovecs.push_back({pointer(one.address()), one.length()});
	return put(iovecs.data(), iovecs.size() * sizeof(iovec));
}

uint64_t Operands::put_futexes(const Request &request)
{
	std::vector<FutexWait> waits;
	for (const images::FutexWaiter &one : request.futexes())
		waits.push_back({one.value(), one.address(), one.flags(), 0});
	return put(waits.data(), waits.size() * sizeof(FutexWait));
}

// Control data is looked at when the message is sent or received: where that lies is the program's own address.
void Operands::add_message(const Request &request, io_uring_sqe &sqe)
{
	msghdr header = {};
	if (request.multishot()) { // of it the kernel takes two lengths; the rest is in each provided buffer
		header.msg_namelen = static_cast<socklen_t>(request.address2());
		header.msg_controllen = request.message_control_length();
		sqe.addr = put(&header, sizeof(header));
		return;
	}
	header.msg_iov = static_cast<iovec *>(pointer(put_iovecs(request)));
	header.msg_iovlen = static_cast<size_t>(request.iovecs_size());
	header.msg_control = pointer(request.message_control());
	header.msg_controllen = request.message_control_length();
	if (request.opcode() == images::IORING_OP_RECVMSG && !request.exited()) { // else nothing comes any more
		header.msg_name = pointer(request.address2());
		receive_headers_.push_back({request.address(), header});
		return;
	}
	header.msg_namelen = static_cast<socklen_t>(request.sockaddr().size());
	if (header.msg_namelen)
		header.msg_name = pointer(put(request.sockaddr().data(), request.sockaddr().size()));
	sqe.addr = put(&header, sizeof(header));
}

uint64_t Operands::put_name(const std::string &name)
{
	return put(name.c_str(), name.size() + 1);
}

void Operands::add_open(const Request &request, io_uring_sqe &sqe)
{
	sqe.addr = put_name(request.path());
	if (request.opcode() != images::IORING_OP_OPENAT2)
		return;
	open_how how = {.flags = request.op_flags(), .mode = request.length(), .resolve = request.address3()};
	sqe.addr2 = put(&how, sizeof(how));
	sqe.len = sizeof(how);
	sqe.open_flags = 0;
	sqe.addr3 = 0;
}

void Operands::add_attribute(const Request &request, io_uring_sqe &sqe)
{
	bool by_path = request.opcode() == images::IORING_OP_SETXATTR || request.opcode() == images::IORING_OP_GETXATTR;
	sqe.addr = put_name(request.attribute());
	if (by_path)
		sqe.addr3 = put_name(request.path());
	if (!request.attribute_value().empty())
		sqe.addr2 = put(request.attribute_value().data(), request.attribute_value().size());
}

void Operands::add_epoll_event(const Request &request, io_uring_sqe &sqe)
{
	if (request.length() == EPOLL_CTL_DEL)
		return;
	epoll_event event = {};
	event.events = request.poll_events();
	event.data.u64 = request.event_data();
	sqe.addr = put(&event, sizeof(event));
}

void Operands::add(const Request &request, io_uring_sqe &sqe)
{
	switch (request.opcode()) {
	case images::IORING_OP_SENDMSG:
	case images::IORING_OP_SENDMSG_ZC:
	case images::IORING_OP_RECVMSG:
		return add_message(request, sqe);
	case images::IORING_OP_OPENAT:
	case images::IORING_OP_OPENAT2:
		return add_open(request, sqe);
	case images::IORING_OP_STATX:
	case images::IORING_OP_UNLINKAT:
	case images::IORING_OP_MKDIRAT:
		sqe.addr = put_name(request.path());
		return;
	case images::IORING_OP_RENAMEAT:
	case images::IORING_OP_SYMLINKAT:
	case images::IORING_OP_LINKAT:
		sqe.addr = put_name(request.path());
		sqe.addr2 = put_name(request.path2());
		return;
	case images::IORING_OP_FSETXATTR:
	case images::IORING_OP_SETXATTR:
	case images::IORING_OP_FGETXATTR:
	case images::IORING_OP_GETXATTR:
		return add_attribute(request, sqe);
	case images::IORING_OP_EPOLL_CTL:
		return add_epoll_event(request, sqe);
	case images::IORING_OP_CONNECT:
	case images::IORING_OP_BIND:
		sqe.addr = put(request.sockaddr().data(), request.sockaddr().size());
		return;
	case images::IORING_OP_TIMEOUT_REMOVE:
		if (request.op_flags() & kTimeoutUpdates)
			sqe.addr2 = put_time(request.timeout_ns());
		return;
	default:
		break;
	}
	// One that repeats takes its period with it.
	bool whole = sqe.timeout_flags & IORING_TIMEOUT_ABS || uring::is_repeating_timeout(request);
	if (is_timeout(request))
		sqe.addr = put_time(whole ? request.timeout_ns() : request.remaining_ns());
	if (request.iovecs_size() && !request.has_taken_buffer())
		sqe.addr = put_iovecs(request);
	if (request.futexes_size())
		sqe.addr = put_futexes(request);
	if (!request.sockaddr().empty())
		sqe.addr2 = put(request.sockaddr().data(), request.sockaddr().size());
}

std::vector<FutexWord> futex_words(const Request &request)
{
	std::vector<FutexWord> words;
	if (!uring::waits_for_futex(request))
		return words;
	if (request.opcode() == images::IORING_OP_FUTEX_WAIT)
		words.push_back({request.address(), static_cast<uint32_t>(request.fd()), request.address2()});
	for (const images::FutexWaiter &one : request.futexes())
		words.push_back({one.address(), one.flags(), one.value()});
	return words;
}

// --- what is the program's -----------------------------------------------------------------------------------------

Result<> Loans::write(const Word &word)
{
	return thread_.write(word.address, bytes_of(word.value).first(word.size));
}

Result<> Loans::lend(const FutexWord &futex)
{
	Word word = {futex.address, 1U << (futex.flags & 3), futex.value}, now = word; // FUTEX2_SIZE_MASK
	TRY(thread_.read(word.address, std::as_writable_bytes(std::span(&now.value, 1)).first(word.size)));
	if (now.value == word.value)
		return {};
	words_.push_back(now);
	return write(word);
}

// The length of the name is what the program has there now: of the one at the submission the kernel keeps nothing but
// that it was not negative (net/socket.c: __copy_msghdr(), move_addr_to_user()).
Result<> Loans::lend(const ReceiveHeader &header)
{
	Header loan = {header.address, {}, header.content};
	TRY(thread_.read(loan.address, std::as_writable_bytes(std::span(&loan.before, 1))));
	if (static_cast<int>(loan.before.msg_namelen) >= 0)
		loan.lent.msg_namelen = loan.before.msg_namelen;
	loan.lent.msg_flags = kNothingReceived;
	headers_.push_back(loan);
	return thread_.write(loan.address, bytes_of(loan.lent));
}

Result<> Loans::give_back(const Header &header)
{
	msghdr back = header.before, now;
	TRY(thread_.read(header.address, std::as_writable_bytes(std::span(&now, 1))));
	if (now.msg_flags != kNothingReceived) {
		back.msg_flags = now.msg_flags;
		back.msg_controllen = now.msg_controllen;
		if (now.msg_namelen != header.lent.msg_namelen)
			back.msg_namelen = now.msg_namelen;
	}
	return thread_.write(header.address, bytes_of(back));
}

Result<> Loans::give_back()
{
	for (const Word &word : words_ | std::views::reverse)
		TRY(write(word));
	for (const Header &header : headers_ | std::views::reverse)
		TRY(give_back(header));
	words_.clear();
	headers_.clear();
	return {};
}

} // namespace bpfckpt::restore
