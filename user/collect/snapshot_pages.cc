// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What a snapshot has of pages: objects whose content has no name, memory that rings have pinned, and pages that only
// the kernel's own mapping of memory leads to.
#include "user/collect/snapshot.h"

#include <algorithm>
#include <ranges>
#include <unordered_map>
#include <unordered_set>

#include <linux/io_uring.h>
#include <linux/magic.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "user/memory/vma_kind.h"

namespace bpfckpt::collect {

static bool content_needs_saving(const file_record &file)
{
	iterators::FileKind kind = iterators::kind_of(file);
	bool named = kind == FILE_KIND_REGULAR || (kind == FILE_KIND_PATH && S_ISREG(file.i_mode));
	return kind == FILE_KIND_MEMFD || kind == FILE_KIND_SHM || (named && file.nlink == 0);
}

memory::SharedObject Snapshot::object_of(const file_record &file) const
{
	memory::SharedObject object;
	object.inode = file.inode;
	object.device = memory::device_number(file.s_dev);
	object.ino = file.ino;
	object.size = file.size;
	object.name = files_->path_of(file);
	return object;
}

std::vector<memory::SharedObject> Snapshot::shared_objects() const
{
	// Inside the freeze: a tree without such objects pays for one look at each struct file.
	std::unordered_map<uint64_t, const file_record *> wanted;
	for (const file_record &file : files_->files())
		if (content_needs_saving(file))
			wanted.emplace(file.file, &file);
	std::vector<memory::SharedObject> objects;
	if (wanted.empty())
		return objects;
	for (const fd_record &fd : files_->fds()) {
		auto it = wanted.find(fd.file);
		if (it == wanted.end())
			continue;
		memory::SharedObject &object = objects.emplace_back(object_of(*it->second));
		object.pid = static_cast<pid_t>(fd.tid);
		object.fd = static_cast<int>(fd.fd);
		wanted.erase(it);
	}
	return objects;
}

void Snapshot::learn_frames()
{
	if (!frames_)
		if (auto frames = iterators::PageFrames::learn())
			frames_ = *frames;
}

// Without the numbers of pages it says that they could not be compared.
Result<> Snapshot::look_at_pages()
{
	ring_checks_ = {};
	iterators::UringRecords records = rings_->records();
	find_stale_mappings();
	if (records.buffers.empty() && records.regions.empty())
		return {};
	learn_frames();
	std::unordered_map<uint32_t, uint64_t> memory;
	for (const task_record &task : tasks_->tasks())
		memory.emplace(task.tid, task.mm);
	auto memory_of = [&](uint32_t tid) {
		auto it = memory.find(tid);
		return it == memory.end() ? 0 : it->second;
	};
	ring_checks_.buffers =
		uring::compare_buffers(records, frames_ ? &*frames_ : nullptr, vmas_->spaces(), memory_of);
	if (!frames_)
		return {};
	ring_checks_.regions = uring::place_regions(records, *frames_, vmas_->spaces(), memory_of);
	if (ring_checks_.buffers.all_in_place())
		return {};
	TRY(load_page_reader());
	return uring::find_pages(ring_checks_.buffers, *page_reader_, *frames_, vmas_->spaces());
}

void Snapshot::find_stale_mappings()
{
	stale_mappings_.clear();
	iterators::UringRecords records = rings_->records();
	if (std::ranges::none_of(records.rings,
				 [](const auto &ring) { return ring.flags & IORING_SETUP_DEFER_TASKRUN; }))
		return;
	learn_frames();
	if (!frames_)
		return;
	stale_mappings_ = uring::stale_mappings(records, *frames_, vmas_->spaces(), [&](uint64_t address) {
		const file_record *file = files_->find(address);
		return file && iterators::kind_of(*file) == FILE_KIND_IO_URING ? file->private_data : 0;
	});
	// Of those that have the same pages, the first tells how large the object is.
	std::ranges::sort(stale_mappings_, std::ranges::greater(),
			  [](const uring::StaleMapping &mapping) { return mapping.pages.size(); });
}

static constexpr const char *kStaleQueues = "queues of a ring before it was resized";

// What a ring has left behind is shared anonymous memory to those who have it mapped. The mapping holds the ring's
// struct file all the same, which policy/leak.cc counts.
void Snapshot::add_stale_objects(Context &context) const
{
	for (const uring::StaleMapping &mapping : stale_mappings_)
		if (!context.ids.shared_memory.find(mapping.pages.front()))
			add_stale_object(mapping, context);
}

void Snapshot::add_stale_object(const uring::StaleMapping &mapping, Context &context) const
{
	images::SharedMemory &object = *context.document->add_shared_memory();
	object.set_id(context.ids.shared_memory.id_of(mapping.pages.front()));
	object.set_name(kStaleQueues);
	object.set_size(mapping.pages.size() * PAGE_CONTENT_BYTES);
	for (uint64_t i = 0; i < mapping.pages.size(); i++) {
		std::optional<uint64_t> place = ring_checks_.loose.find(mapping.pages[i]);
		if (!place && !context.live)
			return context.refuse(kStaleQueues, "their content cannot be read", "unmap them");
		images::PageRun &run = *object.add_pages();
		run.set_start(i * PAGE_CONTENT_BYTES);
		run.set_length(PAGE_CONTENT_BYTES);
		run.set_offset(ring_checks_.loose_offset + place.value_or(0));
	}
}

void Snapshot::mark_stale_mappings(images::Memory &memory, const Context &context) const
{
	for (const uring::StaleMapping &mapping : stale_mappings_) {
		if (context.ids.address_spaces.find(mapping.mm) != memory.id())
			continue;
		auto vma = std::ranges::find(*memory.mutable_vmas(), mapping.start, &images::Vma::start);
		if (vma == memory.mutable_vmas()->end())
			continue;
		vma->set_kind(images::Vma::ANON_SHARED);
		vma->set_offset(0);
		vma->set_name(kStaleQueues);
		vma->set_shared_memory(context.ids.shared_memory.find(mapping.pages.front()));
	}
}

std::unordered_map<uint64_t, const file_record *> Snapshot::hidden_files() const
{
	std::unordered_map<uint64_t, const file_record *> hidden; // by struct inode
	for (const file_record &file : files_->files())
		if (content_needs_saving(file) && file.s_magic == TMPFS_MAGIC)
			hidden.emplace(file.inode, &file);
	if (hidden.empty())
		return hidden;
	for (const memory::SharedObject &object : shared_objects())
		hidden.erase(object.inode);
	for (const iterators::AddressSpace &space : vmas_->spaces())
		for (const vma_record &vma : space.vmas)
			hidden.erase(vma.inode);
	return hidden;
}

// Buffers may part from their memory at any time, and a queue that is empty may be filled.
Result<> Snapshot::prepare_pages()
{
	bool queues = has_hidden_queues();
	bool hidden = queues || !hidden_files().empty();
	if (hidden)
		learn_frames();
	if (hidden || !rings_->records().buffers.empty() || !stale_mappings_.empty())
		TRY(load_page_reader());
	return queues ? load_queue_reader() : Result<>();
}

// Memory objects that only a ring holds, in a slot or for a request: no descriptor and no mapping leads to them, but
// all that they have is in the page cache. One with pages that are not there is left out, and Collector says so.
Result<> Snapshot::find_hidden_objects()
{
	for (const auto &[inode, file] : hidden_files()) {
		if (ring_checks_.loose.too_many())
			break; // read_loose_pages() says so
		learn_frames();
		TRY(load_page_reader());
		Result<std::span<const page_cache_record>> pages = page_reader_->cache_of(inode);
		if (!pages || std::ranges::any_of(*pages, [](const auto &page) { return !page.page; }))
			continue;
		memory::SharedPages &object = hidden_objects_.emplace_back(memory::SharedPages{object_of(*file), {}});
		for (const page_cache_record &page : *pages) {
			if (page.index * PAGE_CONTENT_BYTES >= file->size)
				continue; // FALLOC_FL_KEEP_SIZE
			object.runs.push_back({{page.index * PAGE_CONTENT_BYTES, (page.index + 1) * PAGE_CONTENT_BYTES},
					       ring_checks_.loose.add(page.page)});
		}
	}
	return {};
}

Result<> Snapshot::load_page_reader()
{
	if (!page_reader_)
		page_reader_ = TRY(iterators::PageReader::load());
	return {};
}

Result<> Snapshot::load_queue_reader()
{
	if (!queue_reader_)
		queue_reader_ = TRY(iterators::QueueReader::load());
	return {};
}

// Pipes and unix sockets that no descriptor leads to.
bool Snapshot::has_hidden_queues() const
{
	if (rings_->records().rings.empty())
		return false;
	std::unordered_set<uint64_t> open;
	for (const fd_record &fd : files_->fds())
		if (const file_record *file = files_->find(fd.file))
			open.insert(file->inode);
	auto is_hidden = [&](const file_record &file) { return !open.contains(file.inode); };
	auto is_pipe = [](const file_record &file) { return file.kind == FILE_KIND_PIPE; };
	auto is_hidden_socket = [&](const socket_record &socket) {
		const file_record *file = files_->find(socket.file);
		return socket.family == AF_UNIX && file && is_hidden(*file);
	};
	return std::ranges::any_of(files_->files() | std::views::filter(is_pipe), is_hidden) ||
	       std::ranges::any_of(files_->sockets(), is_hidden_socket);
}

Result<Contents> Snapshot::read_contents()
{
	Contents contents = TRY(Contents::capture(*files_));
	if (!contents.has_hidden())
		return contents;
	learn_frames();
	TRY(load_page_reader());
	TRY(load_queue_reader());
	if (frames_ && frames_->has_contents())
		contents.read_hidden(*queue_reader_, {*page_reader_, *frames_});
	return contents;
}

Result<> Snapshot::read_loose_pages()
{
	hidden_objects_.clear();
	TRY(find_hidden_objects());
	if (!stale_mappings_.empty())
		TRY(load_page_reader());
	for (const auto &[imu, place] : ring_checks_.buffers.places)
		for (const uring::PinnedPage &page : place.elsewhere)
			if (page.is_cut_off())
				ring_checks_.loose.add(page.page);
	for (const uring::StaleMapping &mapping : stale_mappings_)
		for (uint64_t page : mapping.pages)
			ring_checks_.loose.add(page);
	if (ring_checks_.loose.empty())
		return {};
	if (ring_checks_.loose.too_many() || !frames_ || !frames_->has_contents()) {
		hidden_objects_.clear();
		return {};
	}
	return ring_checks_.loose.read(*page_reader_, *frames_);
}

} // namespace bpfckpt::collect
