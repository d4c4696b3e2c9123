// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "iterators/file_reader.h"

#include <algorithm>
#include <bit>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <ranges>
#include <unordered_map>
#include <unordered_set>

#include <sys/stat.h>

#include "bpf/file.skel.h"
#include "iterators/address_set.h"
#include "iterators/bpf_object.h"
#include "iterators/file_kinds.h"
#include "iterators/file_path.h"
#include "iterators/record_map.h"
#include "user/util/io.h"
#include "user/util/page.h"

namespace bpfckpt::iterators {

// The same in bpf/file.bpf.c.
constexpr size_t kNameRoom = kMaxName;

struct FileReader::Impl {
	explicit Impl(BpfObject<file_bpf> &&object) : bpf(std::move(object)) {}

	BpfObject<file_bpf> bpf;
	IterLinks links;
	RecordMap<fd_record> fds;
	RecordMap<file_record> files;
	RecordMap<epoll_item_record> epoll_items;
	RecordMap<inotify_mark_record> inotify_marks;
	RecordMap<pipe_buffer_record> pipe_buffers;
	RecordMap<lock_record> locks;
	RecordMap<opener_record> openers;
	RecordMap<socket_record> sockets;
	RecordMap<socket_message_record> messages;
	RecordMap<holder_record> holders;
	std::unordered_set<uint64_t> held_inside; // of the objects of `holders`
	Mapping wanted_files;
	Mapping names;
	uint32_t described = 0; // files asked for, also those that found no room
	AddressSet seen;
	mutable std::unordered_map<uint64_t, const file_record *> by_file;

	Result<> map_records();
	Result<> learn();
	Result<> describe_new(std::span<const uint64_t> addresses);
	Result<> describe_batch(std::span<const uint64_t> addresses);
	Result<> find_holders(std::span<const uint64_t> objects);
	[[nodiscard]] Result<> check_room() const;
	[[nodiscard]] std::string_view all_names() const
	{
		return {static_cast<const char *>(names.data()), names.size()};
	}
};

static Result<> set_entries(bpf_map *map, uint32_t entries)
{
	int err = -bpf_map__set_max_entries(map, std::max(entries, 1u));
	if (err)
		return errno_error(err, "cannot size BPF map").on(bpf_map__name(map));
	return {};
}

// Of our PID namespace there can be no higher one.
static uint32_t highest_pid()
{
	constexpr uint32_t kLimit = 4 << 20; // PID_MAX_LIMIT
	Result<std::string> text = read_file("/proc/sys/kernel/pid_max");
	uint32_t highest = text ? static_cast<uint32_t>(std::strtoul(text->c_str(), nullptr, 10)) : 0;
	return highest ? std::min(highest, kLimit) : kLimit;
}

static Result<> size_maps(const BpfObject<file_bpf> &bpf, const FileCapacity &capacity)
{
	TRY(set_entries(bpf->maps.fds, capacity.fds));
	TRY(set_entries(bpf->maps.files, capacity.files));
	TRY(set_entries(bpf->maps.wanted_files, capacity.files));
	TRY(set_entries(bpf->maps.epoll_items, capacity.epoll_items));
	TRY(set_entries(bpf->maps.inotify_marks, capacity.inotify_marks));
	TRY(set_entries(bpf->maps.pipe_buffers, capacity.pipe_buffers));
	TRY(set_entries(bpf->maps.locks, capacity.locks));
	TRY(set_entries(bpf->maps.openers, capacity.openers));
	TRY(set_entries(bpf->maps.sockets, capacity.sockets));
	TRY(set_entries(bpf->maps.messages, capacity.messages));
	TRY(set_entries(bpf->maps.holders, capacity.holders));
	TRY(set_entries(bpf->maps.wanted_objects, 2 * capacity.files));
	TRY(set_entries(bpf->maps.inside_pids, highest_pid() / 64 + 1));
	auto name_bytes = std::bit_ceil(std::max<uint32_t>(capacity.name_bytes, kPageSize));
	bpf->rodata->names_size = name_bytes;
	int err = -bpf_map__set_value_size(bpf->maps.names, static_cast<uint32_t>(name_bytes + kNameRoom));
	if (err)
		return errno_error(err, "cannot size BPF map").on("names");
	return {};
}

static size_t round_up(size_t size)
{
	return (size + kPageSize - 1) / kPageSize * kPageSize;
}

Result<> FileReader::Impl::map_records()
{
	auto *counts = bpf->bss;
	fds = TRY(RecordMap<fd_record>::create(bpf->maps.fds, &counts->fds_count));
	files = TRY(RecordMap<file_record>::create(bpf->maps.files, &counts->files_count));
	epoll_items = TRY(RecordMap<epoll_item_record>::create(bpf->maps.epoll_items, &counts->epoll_items_count));
	inotify_marks =
		TRY(RecordMap<inotify_mark_record>::create(bpf->maps.inotify_marks, &counts->inotify_marks_count));
	pipe_buffers = TRY(RecordMap<pipe_buffer_record>::create(bpf->maps.pipe_buffers, &counts->pipe_buffers_count));
	locks = TRY(RecordMap<lock_record>::create(bpf->maps.locks, &counts->locks_count));
	openers = TRY(RecordMap<opener_record>::create(bpf->maps.openers, &counts->openers_count));
	sockets = TRY(RecordMap<socket_record>::create(bpf->maps.sockets, &counts->sockets_count));
	messages = TRY(RecordMap<socket_message_record>::create(bpf->maps.messages, &counts->messages_count));
	holders = TRY(RecordMap<holder_record>::create(bpf->maps.holders, &counts->holders_count));
	wanted_files = TRY(Mapping::create(round_up(files.capacity() * sizeof(uint64_t)), PROT_READ | PROT_WRITE,
					   MAP_SHARED, bpf_map__fd(bpf->maps.wanted_files)));
	names = TRY(Mapping::create(round_up(bpf->rodata->names_size + kNameRoom), PROT_READ, MAP_SHARED,
				    bpf_map__fd(bpf->maps.names)));
	return {};
}

static Result<> run_once(const bpf_program *program)
{
	uint64_t unused = 0;
	TRY(run_syscall_program(program, std::as_writable_bytes(std::span(&unused, 1))));
	return {};
}

Result<> FileReader::Impl::learn()
{
	SampleFiles samples;
	for (size_t kind = 0; kind < FILE_KIND_COUNT; kind++)
		bpf->bss->kind_fd[kind] = samples.fds()[kind];
	return run_once(bpf->progs.learn_kinds);
}

FileReader::FileReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
FileReader::FileReader(FileReader &&) noexcept = default;
FileReader &FileReader::operator=(FileReader &&) noexcept = default;
FileReader::~FileReader() = default;

Result<FileReader> FileReader::load(const FileCapacity &capacity)
{
	auto bpf = TRY(BpfObject<file_bpf>::open());
	TRY(size_maps(bpf, capacity));
	TRY(bpf.load());
	auto impl = std::make_unique<Impl>(std::move(bpf));
	TRY(impl->map_records());
	TRY(impl->learn());
	return FileReader(std::move(impl));
}

Result<> FileReader::attach(std::span<const unsigned> pids)
{
	return impl_->links.attach(impl_->bpf->progs.list_fds, each_process(pids));
}

Result<> FileReader::run()
{
	Impl &impl = *impl_;
	impl.fds.clear();
	impl.files.clear();
	impl.epoll_items.clear();
	impl.inotify_marks.clear();
	impl.pipe_buffers.clear();
	impl.locks.clear();
	impl.openers.clear();
	impl.sockets.clear();
	impl.messages.clear();
	impl.bpf->bss->names_count = 0;
	impl.bpf->bss->last_task = 0; // a task_struct may be used again
	impl.described = 0;
	impl.seen.clear();
	impl.by_file.clear();
	TRY(impl.links.run());
	return impl.check_room();
}

Result<> FileReader::Impl::check_room() const
{
	bool full = fds.overflowed() || files.overflowed() || epoll_items.overflowed() || inotify_marks.overflowed() ||
		    pipe_buffers.overflowed() || locks.overflowed() || openers.overflowed() || sockets.overflowed() ||
		    messages.overflowed() || holders.overflowed() || described > files.capacity() ||
		    bpf->bss->names_count > bpf->rodata->names_size;
	if (full)
		return Error(Code::kLimit, "more open files than there is room for");
	return {};
}

Result<> FileReader::Impl::describe_batch(std::span<const uint64_t> addresses)
{
	std::copy(addresses.begin(), addresses.end(), static_cast<uint64_t *>(wanted_files.data()));
	bpf->bss->wanted_files_count = static_cast<uint32_t>(addresses.size());
	return run_once(bpf->progs.describe_files);
}

Result<> FileReader::Impl::describe_new(std::span<const uint64_t> addresses)
{
	std::vector<uint64_t> fresh;
	fresh.reserve(addresses.size());
	for (uint64_t address : addresses)
		if (address && seen.insert(address))
			fresh.push_back(address);
	described += static_cast<uint32_t>(fresh.size());
	if (fresh.empty() || described > files.capacity())
		return check_room();
	TRY(describe_batch(fresh));
	return check_room();
}

Result<> FileReader::describe(std::span<const uint64_t> files)
{
	size_t items_before = epoll_items().size();
	TRY(impl_->describe_new(files));
	// What an epoll instance watches may be another epoll instance, so until nothing new turns up.
	while (items_before < epoll_items().size()) {
		std::vector<uint64_t> watched;
		for (const epoll_item_record &item : epoll_items().subspan(items_before))
			watched.push_back(item.file);
		items_before = epoll_items().size();
		TRY(impl_->describe_new(watched));
	}
	return {};
}

Result<> FileReader::describe_fds()
{
	std::vector<uint64_t> files;
	files.reserve(fds().size());
	for (const fd_record &fd : fds())
		files.push_back(fd.file);
	impl_->seen.reserve(files.size());
	return describe(files);
}

static Result<> replace_keys(const bpf_map *map, std::span<const uint64_t> keys, bool insert)
{
	int fd = bpf_map__fd(map);
	for (uint64_t key : keys) {
		uint32_t held_inside = 0;
		if (!insert)
			bpf_map_delete_elem(fd, &key);
		else if (key && bpf_map_update_elem(fd, &key, &held_inside, BPF_ANY))
			return errno_error(errno, "cannot fill BPF map").on(bpf_map__name(map));
	}
	return {};
}

static Result<> set_pids(const bpf_map *map, std::span<const uint32_t> pids)
{
	std::vector<uint64_t> words(bpf_map__max_entries(map));
	for (uint32_t pid : pids)
		if (pid / 64 < words.size())
			words[pid / 64] |= uint64_t{1} << pid % 64;
	for (uint32_t i = 0; i < words.size(); i++)
		if (words[i] && bpf_map_update_elem(bpf_map__fd(map), &i, &words[i], BPF_ANY))
			return errno_error(errno, "cannot fill BPF map").on(bpf_map__name(map));
	return {};
}

// As many at a time as there is room for.
Result<> FileReader::find_holders(std::span<const uint64_t> objects, std::span<const uint32_t> inside)
{
	Impl &impl = *impl_;
	impl.holders.clear();
	impl.held_inside.clear();
	if (!objects.empty())
		TRY(set_pids(impl.bpf->maps.inside_pids, inside));
	while (!objects.empty()) {
		size_t count = std::min<size_t>(objects.size(), bpf_map__max_entries(impl.bpf->maps.wanted_objects));
		TRY(impl.find_holders(objects.first(count)));
		objects = objects.subspan(count);
	}
	return impl.check_room();
}

Result<> FileReader::Impl::find_holders(std::span<const uint64_t> objects)
{
	size_t before = holders.records().size();
	TRY(replace_keys(bpf->maps.wanted_objects, objects, true));
	for (bpf_program *program :
	     {bpf->progs.find_file_holders, bpf->progs.find_task_holders, bpf->progs.find_mapping_holders}) {
		auto link = TRY(IterLink::attach(program));
		TRY(link.run());
	}
	for (const holder_record &holder : holders.records().subspan(before)) {
		uint32_t held = 0;
		if (!bpf_map_lookup_elem(bpf_map__fd(bpf->maps.wanted_objects), &holder.object, &held) && held)
			held_inside.insert(holder.object);
	}
	return replace_keys(bpf->maps.wanted_objects, objects, false);
}

bool FileReader::is_held_inside(uint64_t object) const
{
	return impl_->held_inside.contains(object);
}

std::span<const fd_record> FileReader::fds() const
{
	return impl_->fds.records();
}
std::span<const file_record> FileReader::files() const
{
	return impl_->files.records();
}
std::span<const epoll_item_record> FileReader::epoll_items() const
{
	return impl_->epoll_items.records();
}
std::span<const pipe_buffer_record> FileReader::pipe_buffers() const
{
	return impl_->pipe_buffers.records();
}
std::span<const socket_record> FileReader::sockets() const
{
	return impl_->sockets.records();
}
std::span<const socket_message_record> FileReader::messages() const
{
	return impl_->messages.records();
}
std::span<const opener_record> FileReader::openers() const
{
	return impl_->openers.records();
}

std::span<const holder_record> FileReader::holders() const
{
	return impl_->holders.records();
}

// Records are only appended between two runs: what is indexed stays valid.
const file_record *FileReader::find(uint64_t file) const
{
	for (const file_record &record : files().subspan(impl_->by_file.size()))
		impl_->by_file.emplace(record.file, &record);
	auto it = impl_->by_file.find(file);
	return it == impl_->by_file.end() ? nullptr : it->second;
}

uint64_t FileReader::file_at(uint32_t pid, uint32_t fd) const
{
	auto entry = std::ranges::find_if(
		fds(), [&](const fd_record &record) { return record.pid == pid && record.fd == fd; });
	return entry == fds().end() ? 0 : entry->file;
}

std::string FileReader::path_of(const file_record &record) const
{
	return iterators::path_of(record, impl_->all_names());
}

FileRecords FileReader::records() const
{
	const Impl &impl = *impl_;
	return {
		.fds = impl.fds.records(),
		.files = impl.files.records(),
		.epoll_items = impl.epoll_items.records(),
		.inotify_marks = impl.inotify_marks.records(),
		.pipe_buffers = impl.pipe_buffers.records(),
		.locks = impl.locks.records(),
		.sockets = impl.sockets.records(),
		.messages = impl.messages.records(),
		.names = impl.all_names(),
		.hz = impl.bpf->bss->learned_receive_timeo / SampleFiles::kReceiveTimeout,
	};
}

// What was large enough stays as it is; what was not gets a quarter more than it needed.
template <class Record>
static uint32_t grown(const RecordMap<Record> &map, uint32_t needed)
{
	return needed > map.capacity() ? needed + needed / 4 : map.capacity();
}

template <class Record>
static uint32_t grown(const RecordMap<Record> &map)
{
	return grown(map, map.needed());
}

FileCapacity FileReader::needed() const
{
	const Impl &impl = *impl_;
	uint64_t name_bytes = impl.bpf->bss->names_count;
	return {
		.fds = impl.fds.wanted(),
		// Nothing was described where the fds found no room: processes may share them all.
		.files = grown(impl.files, impl.described),
		.epoll_items = grown(impl.epoll_items),
		.inotify_marks = grown(impl.inotify_marks),
		.pipe_buffers = grown(impl.pipe_buffers),
		.locks = grown(impl.locks),
		.openers = grown(impl.openers),
		.sockets = grown(impl.sockets),
		.messages = grown(impl.messages),
		.holders = grown(impl.holders),
		.name_bytes = static_cast<uint32_t>(std::max<uint64_t>(name_bytes, impl.bpf->rodata->names_size)),
	};
}

} // namespace bpfckpt::iterators
