// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Any bytes as the records of fd tables, struct files, queues and mappings, with any text as the names of their
// dentries: what a walk over tables that change may give.
#include <unordered_set>

#include "iterators/page_record.h"
#include "selftests/fuzz/record_input.h"
#include "user/collect/file.h"
#include "user/collect/memory.h"
#include "user/collect/queue_pieces.h"

using namespace bpfckpt;
using fuzz::Input;

namespace {

struct Records {
	std::vector<fd_record> fds;
	std::vector<file_record> files;
	std::vector<epoll_item_record> epoll_items;
	std::vector<inotify_mark_record> inotify_marks;
	std::vector<pipe_buffer_record> pipe_buffers;
	std::vector<lock_record> locks;
	std::vector<socket_record> sockets;
	std::vector<socket_message_record> messages;
	std::vector<queue_piece_record> pieces;
	std::vector<mm_record> mms;
	std::vector<vma_record> vmas;
	std::vector<mm_auxv_record> auxvs;
	std::vector<vma_name_record> vma_names;
	std::string names;

	explicit Records(Input input)
	{
		while (!input.empty())
			add(input);
	}
	void add(Input &input);
	void add_file(Input &input);
	void add_of_file(unsigned kind, Input &input);
	void add_mapping(Input &input);
	void add_name(Input &input)
	{
		for (int length = input.take<uint8_t>() % 32; length > 0; length--)
			names += input.take<char>();
		names += '\0';
	}
	[[nodiscard]] iterators::FileRecords of_files() const
	{
		return {.fds = fds,
			.files = files,
			.epoll_items = epoll_items,
			.inotify_marks = inotify_marks,
			.pipe_buffers = pipe_buffers,
			.locks = locks,
			.sockets = sockets,
			.messages = messages,
			.names = names,
			.hz = 250};
	}
	// A pass tells the VMAs of one process in a row; VmaReader tells no address space twice.
	[[nodiscard]] std::vector<iterators::AddressSpace> spaces() const
	{
		std::vector<iterators::AddressSpace> result;
		std::unordered_set<uint64_t> known;
		std::span<const vma_record> left = vmas;
		for (pid_t pid = 1; !left.empty(); pid++) {
			auto same = [&](const vma_record &vma) { return vma.space == left[0].space; };
			auto end = std::ranges::find_if_not(left, same);
			auto pass = left.first(static_cast<size_t>(end - left.begin()));
			const mm_record *mm = pass[0].space < mms.size() ? &mms[pass[0].space] : nullptr;
			if (mm && mm->mm && known.insert(mm->mm).second)
				result.push_back({mm, pass, {pid}, pid});
			left = left.subspan(pass.size());
		}
		return result;
	}
};

void Records::add_file(Input &input)
{
	file_record &file = files.emplace_back(input.take_sparse<file_record>());
	file.file = input.take<uint8_t>();
	file.kind = input.take<uint8_t>() % (FILE_KIND_COUNT + 1);
	fuzz::make_addresses(file.file, file.f_op, file.private_data, file.inode);
	if (file.kind == FILE_KIND_PIDFD)
		fuzz::make_addresses(file.pidfd.pid_object);
}

void Records::add_of_file(unsigned kind, Input &input)
{
	switch (kind) {
	case 0: {
		epoll_item_record &item = epoll_items.emplace_back(input.take<epoll_item_record>());
		fuzz::make_addresses(item.epoll, item.file);
		fuzz::cut_down(item.fd);
		break;
	}
	case 1:
		inotify_marks.push_back(input.take<inotify_mark_record>());
		fuzz::make_addresses(inotify_marks.back().file, inotify_marks.back().inode);
		break;
	case 2:
		fuzz::make_addresses(pipe_buffers.emplace_back(input.take<pipe_buffer_record>()).file);
		break;
	case 3:
		locks.push_back(input.take<lock_record>());
		fuzz::make_addresses(locks.back().file, locks.back().owner);
		break;
	case 4: {
		socket_record &socket = sockets.emplace_back(input.take_sparse<socket_record>());
		fuzz::make_addresses(socket.file, socket.sk, socket.peer_sk);
		break;
	}
	case 5:
		pieces.push_back(input.take_sparse<queue_piece_record>());
		fuzz::make_addresses(pieces.back().page);
		fuzz::cut_down(pieces.back().message);
		pieces.back().problem /= 64; // most can be read
		break;
	default:
		fuzz::make_addresses(messages.emplace_back(input.take<socket_message_record>()).file);
		break;
	}
}

void Records::add_mapping(Input &input)
{
	unsigned kind = input.take<uint8_t>() % 8;
	if (kind == 1) {
		vma_names.push_back(input.take_sparse<vma_name_record>());
		return;
	}
	if (kind == 5) {
		auxvs.push_back(input.take_sparse<mm_auxv_record>());
		return;
	}
	if (kind % 4 == 0) {
		mm_record &mm = mms.emplace_back(input.take_sparse<mm_record>());
		fuzz::make_addresses(mm.mm, mm.exe_file);
		fuzz::cut_down(mm.auxv);
		return;
	}
	vma_record &vma = vmas.emplace_back(input.take_sparse<vma_record>());
	fuzz::make_addresses(vma.ops, vma.anon_vma, vma.policy, vma.uffd, vma.private_data, vma.file, vma.f_op,
			     vma.inode);
	fuzz::cut_down(vma.space, vma.name);
}

void Records::add(Input &input)
{
	unsigned kind = input.take<uint8_t>() % 11;
	switch (kind) {
	case 10: {
		fd_record &fd = fds.emplace_back(input.take<fd_record>());
		fuzz::make_addresses(fd.file, fd.files);
		fuzz::cut_down(fd.pid, fd.tid, fd.fd);
		break;
	}
	case 7:
		return add_file(input);
	case 8:
		return add_mapping(input);
	case 9:
		return add_name(input);
	default:
		return add_of_file(kind, input);
	}
}

// Of a queue whose messages have the lengths that were counted, unless these wrap around.
void place_pieces(const Records &records)
{
	std::vector<uint32_t> lengths(8);
	for (const queue_piece_record &piece : records.pieces)
		lengths[piece.message] += piece.length;
	auto placed =
		collect::QueuePieces::place(records.pieces, lengths, iterators::PageFrames(0, 64, 1 << 12), 1 << 20);
	if (!placed)
		return;
	std::vector<std::byte> content(placed->pages().size() * PAGE_CONTENT_BYTES);
	std::vector<std::string> messages = placed->messages(content);
	for (size_t i = 0; i < messages.size(); i++)
		if (messages[i].size() != lengths[i])
			abort();
}

// Three processes; the ids of one executable and one address space are given out.
void add_processes(collect::Context &context)
{
	for (uint32_t pid = 1; pid <= 3; pid++) {
		images::Process &process = *context.document->add_processes();
		process.set_pid(pid);
		process.add_threads()->set_tid(pid);
		process.set_exe_file(context.ids.files.id_of(fuzz::kAddresses | 1 << 6));
		process.set_address_space(context.ids.address_spaces.id_of(fuzz::kAddresses | 2 << 6));
	}
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Records records(Input(data, size));
	place_pieces(records);
	images::Document document;
	collect::Context context;
	context.document = &document;
	context.own_namespaces = {1, 2, 3};
	add_processes(context);
	collect::collect_files(records.of_files(), {}, context);
	auto spaces = records.spaces();
	iterators::VmaRecords mappings = {.spaces = spaces,
					  .kinds = {.special_ops = fuzz::kAddresses | 1 << 6,
						    .sysv_ops = fuzz::kAddresses | 2 << 6,
						    .aio_ops = fuzz::kAddresses | 3 << 6,
						    .ring_f_op = fuzz::kAddresses | 1 << 6,
						    .secretmem_f_op = fuzz::kAddresses | 2 << 6,
						    .thp_disabled = 1 << 24,
						    .shmem_device = 1},
					  .names = records.vma_names,
					  .auxvs = records.auxvs};
	(void)collect::collect_memory(mappings, nullptr, context);

	// Names may be those of any number of files.
	size_t names = (records.files.size() + records.vmas.size()) * (records.names.size() + 128) +
		       records.mms.size() * sizeof(mm_auxv_record);
	fuzz::check_collected(context, 4096 + 512 * size + names);
	return 0;
}
