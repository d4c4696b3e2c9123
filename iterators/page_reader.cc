// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "iterators/page_reader.h"

#include <algorithm>
#include <cstring>

#include "bpf/page.skel.h"
#include "iterators/bpf_object.h"
#include "iterators/input_map.h"
#include "iterators/record_map.h"

namespace bpfckpt::iterators {

static constexpr uint32_t kPagesOfRound = 1024;

struct PageReader::Objects {
	BpfObject<page_bpf> object;
	InputMap inputs;
	RecordMap<page_record> pages;
	RecordMap<page_content_record> contents;
	RecordMap<page_cache_record> cache;

	explicit Objects(BpfObject<page_bpf> loaded) : object(std::move(loaded)) {}
	Result<> map_records();
	// Runs a program with each part of `addresses`, and hands over the part after it.
	template <class Program, class Take>
	Result<> run(std::span<const uint64_t> addresses, const Program *program, Take take);
};

Result<> PageReader::Objects::map_records()
{
	page_bpf &skeleton = *object.operator->();
	inputs = TRY(InputMap::create(skeleton.maps.page_inputs, &skeleton.bss->page_inputs_count));
	pages = TRY(RecordMap<page_record>::create(skeleton.maps.pages, &skeleton.bss->pages_count));
	contents = TRY(RecordMap<page_content_record>::create(skeleton.maps.page_contents,
							      &skeleton.bss->page_contents_count));
	cache = TRY(RecordMap<page_cache_record>::create(skeleton.maps.page_cache, &skeleton.bss->page_cache_count));
	return {};
}

template <class Program, class Take>
Result<> PageReader::Objects::run(std::span<const uint64_t> addresses, const Program *program, Take take)
{
	while (!addresses.empty()) {
		auto part = addresses.first(std::min<size_t>(addresses.size(), kPagesOfRound));
		addresses = addresses.subspan(part.size());
		inputs.set(part);
		pages.clear();
		contents.clear();
		TRY(run_syscall_program(program, {}));
		TRY(take(part));
	}
	return {};
}

PageReader::PageReader(std::unique_ptr<Objects> objects) : objects_(std::move(objects)) {}
PageReader::PageReader(PageReader &&) noexcept = default;
PageReader &PageReader::operator=(PageReader &&) noexcept = default;
PageReader::~PageReader() = default;

Result<PageReader> PageReader::load()
{
	auto object = TRY(BpfObject<page_bpf>::open());
	for (bpf_map *map : {object->maps.page_inputs, object->maps.pages, object->maps.page_contents})
		bpf_map__set_max_entries(map, kPagesOfRound);
	bpf_map__set_max_entries(object->maps.page_cache, kMostCached);
	TRY(object.load());
	auto objects = std::make_unique<Objects>(std::move(object));
	TRY(objects->map_records());
	return PageReader(std::move(objects));
}

Result<std::vector<page_record>> PageReader::describe(std::span<const uint64_t> pages)
{
	std::vector<page_record> all;
	TRY(objects_->run(pages, objects_->object->progs.describe_pages,
			  [&](std::span<const uint64_t> part) -> Result<> {
				  auto records = objects_->pages.records();
				  if (records.size() != part.size())
					  return Error(Code::kInternal, "pages were not described");
				  all.insert(all.end(), records.begin(), records.end());
				  return {};
			  }));
	return all;
}

Result<std::span<const page_cache_record>> PageReader::cache_of(uint64_t inode)
{
	objects_->inputs.set({&inode, 1});
	objects_->cache.clear();
	TRY(run_syscall_program(objects_->object->progs.walk_page_cache, {}));
	if (objects_->cache.overflowed())
		return Error(Code::kLimit, "a page cache has more pages than there is room for");
	if (objects_->object->bss->page_cache_cut)
		return Error(Code::kLimit, "a page cache is too sparse to be walked to its end");
	return objects_->cache.records();
}

Result<std::vector<std::byte>> PageReader::read(std::span<const uint64_t> pages, const PageFrames &frames)
{
	std::vector<uint64_t> addresses;
	addresses.reserve(pages.size());
	for (uint64_t page : pages)
		addresses.push_back(frames.content_of(page));
	if (!frames.has_contents())
		return Error(Code::kKernelLacks, "the content of pages cannot be reached");
	return read_at(addresses);
}

Result<std::vector<std::byte>> PageReader::read_at(std::span<const uint64_t> addresses)
{
	std::vector<std::byte> bytes;
	bytes.reserve(addresses.size() * PAGE_CONTENT_BYTES);
	TRY(objects_->run(addresses, objects_->object->progs.read_pages,
			  [&](std::span<const uint64_t> part) -> Result<> {
				  auto records = objects_->contents.records();
				  if (records.size() != part.size() ||
				      !std::ranges::all_of(records, [](auto &record) { return record.read != 0; }))
					  return Error(Code::kKernelLacks, "the content of pages cannot be read");
				  for (const page_content_record &record : records) {
					  auto content = std::as_bytes(std::span(record.data));
					  bytes.insert(bytes.end(), content.begin(), content.end());
				  }
				  return {};
			  }));
	return bytes;
}

} // namespace bpfckpt::iterators
