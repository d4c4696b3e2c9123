// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/contents.h"

#include <climits>
#include <functional>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/collect/borrower.h"
#include "user/collect/loose_pages.h"
#include "user/collect/queue_pieces.h"
#include "user/target/loan_guard.h"
#include "user/util/page.h"
#include "user/util/unique_fd.h"

namespace bpfckpt::collect {

constexpr unsigned kFmodeRead = 1;
constexpr unsigned kListen = 10; // TCP_LISTEN

namespace {

// A pipe of our own that takes the buffers of another by tee(2), which shares pages and moves nothing.
class ScratchPipe {
public:
	static Result<ScratchPipe> create()
	{
		int ends[2];
		if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
			return errno_error(errno, "cannot create a pipe");
		ScratchPipe pipe;
		pipe.read_.reset(ends[0]);
		pipe.write_.reset(ends[1]);
		return pipe;
	}

	// All of it, or nothing.
	std::optional<std::string> copy(int source, const file_pipe &pipe)
	{
		int size = static_cast<int>(pipe.slots * kPageSize);
		if (::fcntl(write_.get(), F_GETPIPE_SZ) < size && ::fcntl(write_.get(), F_SETPIPE_SZ, size) < 0)
			return {};
		if (::tee(source, write_.get(), INT_MAX, SPLICE_F_NONBLOCK) < 0)
			return {};
		std::string bytes(pipe.queued + 1, '\0'); // one more shows what should not be there
		size_t filled = 0;
		ssize_t got;
		while (filled < bytes.size() &&
		       (got = ::read(read_.get(), bytes.data() + filled, bytes.size() - filled)) > 0)
			filled += static_cast<size_t>(got);
		if (filled != pipe.queued)
			return {};
		bytes.resize(filled);
		return bytes;
	}

private:
	UniqueFd read_;
	UniqueFd write_;
};

} // namespace

// tee(2) wants a read end; where the tree has none, a new one on the same pipe serves for this moment.
static UniqueFd read_end_of(const file_record &record, Borrower &borrower)
{
	if (record.f_mode & kFmodeRead)
		return borrower.borrow(record.file);
	const fd_record *place = borrower.place_of(record.file);
	if (!place)
		return {};
	std::string path = fmt::format("/proc/{}/fd/{}", place->tid, place->fd);
	return UniqueFd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
}

static std::string peek(int socket, size_t length)
{
	std::string bytes(length, '\0');
	ssize_t got = ::recv(socket, bytes.data(), bytes.size(), MSG_PEEK | MSG_DONTWAIT);
	bytes.resize(got > 0 ? static_cast<size_t>(got) : 0);
	return bytes;
}

// Moves the offset at which MSG_PEEK reads, and puts it back.
class PeekOffset {
public:
	PeekOffset(int socket, int before, target::LoanGuard &guard)
		: socket_(socket), put_back_([this, before] { set(before); }), hold_(guard, put_back_)
	{
		set(0);
	}
	~PeekOffset() { put_back_(); }
	PeekOffset(const PeekOffset &) = delete;
	PeekOffset &operator=(const PeekOffset &) = delete;

private:
	void set(int offset) const { ::setsockopt(socket_, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset)); }

	int socket_;
	std::function<void()> put_back_;
	target::LoanGuard::Hold hold_;
};

// Message by message, as their lengths are known. One MSG_PEEK reads a whole stream, but stops behind SCM_RIGHTS; of
// datagrams it reads the first. Only where that is not enough is the peek offset touched.
static std::vector<std::string> peek_all(int socket, const socket_record &record,
					 std::span<const socket_message_record *const> messages,
					 std::optional<target::LoanGuard> &guard)
{
	std::vector<std::string> result;
	bool stream = record.type == SOCK_STREAM;
	bool fds = false;
	size_t total = 0;
	for (const socket_message_record *message : messages) {
		fds |= message->fds != 0;
		total += message->length;
	}
	std::optional<PeekOffset> offset;
	if (record.peek_offset >= 0 || (messages.size() > 1 && (!stream || fds)))
		offset.emplace(socket, record.peek_offset, guard ? *guard : guard.emplace());
	if (!stream || fds) {
		for (const socket_message_record *message : messages)
			result.push_back(peek(socket, message->length));
		return result;
	}
	std::string bytes = peek(socket, total);
	if (bytes.size() != total)
		return {};
	size_t start = 0;
	for (const socket_message_record *message : messages) {
		result.push_back(bytes.substr(start, message->length));
		start += message->length;
	}
	return result;
}

static bool is_whole(const std::vector<std::string> &data, std::span<const socket_message_record *const> messages)
{
	if (data.size() != messages.size())
		return false;
	for (size_t i = 0; i < data.size(); i++)
		if (data[i].size() != messages[i]->length)
			return false;
	return true;
}

// What a queue holds is in messages of these lengths.
template <class Record>
static std::unordered_map<uint64_t, std::vector<const Record *>> by_file(std::span<const Record> records)
{
	std::unordered_map<uint64_t, std::vector<const Record *>> files;
	for (const Record &record : records)
		files[record.file].push_back(&record);
	return files;
}

template <class Record>
static std::vector<uint32_t> lengths_of(const std::vector<const Record *> &messages)
{
	std::vector<uint32_t> lengths;
	lengths.reserve(messages.size());
	for (const Record *message : messages)
		lengths.push_back(message->length);
	return lengths;
}

Result<> Contents::capture_pipes(const iterators::FileReader &reader, Borrower &borrower)
{
	std::optional<ScratchPipe> scratch;
	std::vector<const file_record *> missed;
	std::unordered_set<uint64_t> done;
	for (const file_record &record : reader.files()) {
		if (record.kind != FILE_KIND_PIPE || !record.pipe.queued || done.contains(record.inode))
			continue;
		// tee(2) would wait with us for whoever has it (fs/splice.c: pipe_double_lock()).
		if (record.pipe.locked)
			continue;
		UniqueFd source = read_end_of(record, borrower);
		if (source.valid() && !scratch)
			scratch = TRY(ScratchPipe::create());
		auto bytes = source.valid() ? scratch->copy(source.get(), record.pipe) : std::nullopt;
		if (bytes) {
			pipes_.push_back({record.inode, std::move(*bytes)});
			done.insert(record.inode);
		} else {
			missed.push_back(&record);
		}
	}
	if (missed.empty())
		return {};
	auto buffers = by_file(reader.pipe_buffers());
	for (const file_record *record : missed)
		if (done.insert(record->inode).second)
			hidden_pipes_.push_back(
				{record->private_data, record->inode, lengths_of(buffers[record->file])});
	return {};
}

void Contents::capture_sockets(const iterators::FileReader &reader, Borrower &borrower)
{
	auto messages = by_file(reader.messages());
	std::optional<target::LoanGuard> guard;
	for (const socket_record &record : reader.sockets()) {
		auto queue = messages.find(record.file);
		if (record.family != AF_UNIX || record.state == kListen || queue == messages.end() ||
		    record.options & SOCKET_QUEUE_TRUNCATED)
			continue;
		UniqueFd socket = borrower.borrow(record.file);
		std::vector<std::string> data;
		if (socket.valid())
			data = peek_all(socket.get(), record, queue->second, guard);
		if (is_whole(data, queue->second))
			sockets_.push_back({record.file, std::move(data)});
		else if (!socket.valid())
			hidden_sockets_.push_back({record.sk, record.file, lengths_of(queue->second)});
	}
}

Result<Contents> Contents::capture(const iterators::FileReader &reader)
{
	Contents contents;
	if (reader.pipe_buffers().empty() && reader.messages().empty())
		return contents;
	Borrower borrower(reader.fds());
	TRY(contents.capture_pipes(reader, borrower));
	contents.capture_sockets(reader, borrower);
	return contents;
}

// --- queues that no descriptor leads to ----------------------------------------------------------------------------

using Pieces = Result<std::span<const queue_piece_record>>;

Result<std::vector<std::string>> Contents::read_queue(const HiddenQueue &queue, Pieces pieces,
						      const KernelPages &memory)
{
	std::span<const queue_piece_record> found = TRY(std::move(pieces));
	uint64_t room = LoosePages::kMostBytes - hidden_bytes_;
	auto placed = TRY(QueuePieces::place(found, queue.lengths, memory.frames, room));
	hidden_bytes_ += placed.pages().size() * kPageSize;
	return placed.messages(TRY(memory.reader.read_at(placed.pages())));
}

static std::string joined(const std::vector<std::string> &buffers)
{
	std::string bytes;
	for (const std::string &buffer : buffers)
		bytes += buffer;
	return bytes;
}

void Contents::read_hidden(iterators::QueueReader &reader, const KernelPages &memory)
{
	for (HiddenQueue &queue : hidden_pipes_) {
		auto buffers = read_queue(queue, reader.pieces_of_pipe(queue.object), memory);
		if (buffers)
			pipes_.push_back({queue.key, joined(*buffers)});
		else
			queue.reason = buffers.error().message;
	}
	for (HiddenQueue &queue : hidden_sockets_) {
		auto messages = read_queue(queue, reader.pieces_of_socket(queue.object), memory);
		if (messages)
			sockets_.push_back({queue.key, std::move(*messages)});
		else
			queue.reason = messages.error().message;
	}
}

// --- messages ------------------------------------------------------------------------------------------------------

static void refuse_unread(const images::File &file, const std::string &reason, Context &ctx)
{
	std::string why = reason.empty() ? "" : ": " + reason;
	if (file.has_pipe() && file.pipe().queued() && !file.pipe().data_captured())
		ctx.refuse(
			fmt::format("file {}", file.id()),
			fmt::format("{} bytes in {} could not be read{}", file.pipe().queued(), file.path(), why),
			"keep a descriptor of the pipe open in the tree, and no splice into it waiting for its input");
	const images::Socket &socket = file.socket();
	if (file.has_socket() && socket.messages_size() && socket.state() != "LISTEN" && !socket.messages_captured())
		ctx.refuse(
			fmt::format("file {}", file.id()),
			fmt::format("{} messages in {} could not be read{}", socket.messages_size(), file.path(), why),
			"keep a descriptor of the socket open in the tree");
}

void Contents::refuse_missing(Context &ctx) const
{
	std::unordered_map<uint32_t, std::string> pipes;   // reasons, by File.object
	std::unordered_map<uint32_t, std::string> sockets; // by File.id
	for (const HiddenQueue &queue : hidden_pipes_)
		pipes.emplace(ctx.ids.inodes.find(queue.key), queue.reason);
	for (const HiddenQueue &queue : hidden_sockets_)
		sockets.emplace(ctx.ids.files.find(queue.key), queue.reason);
	for (const images::File &file : ctx.document->files())
		refuse_unread(file, file.has_pipe() ? pipes[file.object()] : sockets[file.id()], ctx);
}

void Contents::add_to(Context &ctx) const
{
	std::unordered_map<uint32_t, const PipeData *> pipes;     // by File.object
	std::unordered_map<uint32_t, const SocketData *> sockets; // by File.id
	for (const PipeData &pipe : pipes_)
		pipes.emplace(ctx.ids.inodes.find(pipe.inode), &pipe);
	for (const SocketData &socket : sockets_)
		sockets.emplace(ctx.ids.files.find(socket.file), &socket);
	std::unordered_set<uint32_t> stored;
	for (images::File &file : *ctx.document->mutable_files()) {
		auto pipe = pipes.find(file.object());
		if (file.has_pipe() && pipe != pipes.end()) {
			file.mutable_pipe()->set_data_captured(true);
			if (stored.insert(file.object()).second)
				file.mutable_pipe()->set_data(pipe->second->bytes);
		}
		auto socket = sockets.find(file.id());
		if (file.has_socket() && socket != sockets.end()) {
			file.mutable_socket()->set_messages_captured(true);
			for (int i = 0; i < file.socket().messages_size(); i++)
				file.mutable_socket()->mutable_messages(i)->set_data(
					socket->second->messages[static_cast<size_t>(i)]);
		}
	}
	refuse_missing(ctx);
}

} // namespace bpfckpt::collect
