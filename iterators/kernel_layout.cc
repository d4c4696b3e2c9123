// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "iterators/kernel_layout.h"

#include <cstring>
#include <string>
#include <unordered_map>

#include <bpf/btf.h>

#include "iterators/kernel_btf.h"

namespace bpfckpt::iterators {

struct KernelLayout::Impl {
	struct Found {
		uint32_t bits; // offset
		uint32_t type;
	};

	std::shared_ptr<const KernelBtf> kernel;
	const btf *types = nullptr; // its
	std::unordered_map<std::string_view, uint32_t> structs;
	std::unordered_map<std::string_view, uint32_t> enums;
	std::unordered_map<std::string_view, int64_t> request_flags;
	// "type.path" -> field: decoding asks for the same ones over and over.
	mutable std::unordered_map<std::string, std::optional<FieldLayout>> cache;

	void index();
	[[nodiscard]] const char *name_of(uint32_t offset) const { return btf__name_by_offset(types, offset); }
	[[nodiscard]] std::optional<Found> member(uint32_t type, std::string_view name) const;
	[[nodiscard]] std::optional<FieldLayout> find(std::string_view type, std::string_view path) const;
};

// One pass over all types instead of one search per name: there are 100,000 of them.
void KernelLayout::Impl::index()
{
	uint32_t count = btf__type_cnt(types);
	for (uint32_t id = 1; id < count; id++) {
		const btf_type *type = btf__type_by_id(types, id);
		if (btf_is_struct(type) && type->name_off) {
			structs.try_emplace(name_of(type->name_off), id);
		} else if (btf_is_enum(type) && type->name_off) {
			enums.try_emplace(name_of(type->name_off), id);
		} else if (btf_is_enum(type) && btf_vlen(type) > 0) {
			// io_uring_types.h keeps its flag bits in an enum without a name.
			const struct btf_enum *values = btf_enum(type);
			if (std::strncmp(name_of(values[0].name_off), "REQ_F_", 6) != 0)
				continue;
			for (int i = 0; i < btf_vlen(type); i++)
				request_flags.try_emplace(name_of(values[i].name_off), values[i].val);
		}
	}
}

std::optional<KernelLayout::Impl::Found> KernelLayout::Impl::member(uint32_t id, std::string_view name) const
{
	const btf_type *type = btf__type_by_id(types, static_cast<uint32_t>(btf__resolve_type(types, id)));
	if (!btf_is_composite(type))
		return {};
	const btf_member *members = btf_members(type);
	for (uint32_t i = 0; i < btf_vlen(type); i++) {
		uint32_t bits = btf_member_bit_offset(type, i);
		if (members[i].name_off) {
			if (name == name_of(members[i].name_off))
				return Found{bits, members[i].type};
		} else if (auto inner = member(members[i].type, name)) {
			return Found{bits + inner->bits, inner->type};
		}
	}
	return {};
}

static bool is_signed_int(const btf *types, uint32_t id)
{
	const btf_type *type = btf__type_by_id(types, static_cast<uint32_t>(btf__resolve_type(types, id)));
	return btf_is_int(type) && (btf_int_encoding(type) & BTF_INT_SIGNED);
}

std::optional<FieldLayout> KernelLayout::Impl::find(std::string_view type, std::string_view path) const
{
	auto it = structs.find(type);
	if (it == structs.end())
		return {};
	Found found = {0, it->second};
	while (!path.empty()) {
		size_t dot = std::min(path.find('.'), path.size());
		auto next = member(found.type, path.substr(0, dot));
		if (!next)
			return {};
		found = {found.bits + next->bits, next->type};
		path.remove_prefix(std::min(dot + 1, path.size()));
	}
	int64_t size = btf__resolve_size(types, found.type);
	return FieldLayout{found.bits / 8, size < 0 ? 0 : static_cast<uint32_t>(size),
			   is_signed_int(types, found.type)};
}

Result<KernelLayout> KernelLayout::load()
{
	auto impl = std::make_unique<Impl>();
	impl->kernel = TRY(KernelBtf::get());
	impl->types = impl->kernel->types();
	impl->index();
	return KernelLayout(std::move(impl));
}

KernelLayout::KernelLayout(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
KernelLayout::KernelLayout(KernelLayout &&) noexcept = default;
KernelLayout &KernelLayout::operator=(KernelLayout &&) noexcept = default;
KernelLayout::~KernelLayout() = default;

std::optional<FieldLayout> KernelLayout::field(std::string_view type, std::string_view path) const
{
	std::string key;
	key.reserve(type.size() + path.size() + 1);
	key.append(type).append(".").append(path);
	auto it = impl_->cache.find(key);
	if (it == impl_->cache.end())
		it = impl_->cache.emplace(std::move(key), impl_->find(type, path)).first;
	return it->second;
}

uint32_t KernelLayout::size_of(std::string_view type) const
{
	auto whole = field(type, "");
	return whole ? whole->size : 0;
}

uint64_t KernelLayout::request_flag(std::string_view name) const
{
	auto it = impl_->request_flags.find(std::string(name) + "_BIT");
	return it == impl_->request_flags.end() ? 0 : 1ULL << it->second;
}

std::optional<int64_t> KernelLayout::enumerator(std::string_view type, std::string_view name) const
{
	auto it = impl_->enums.find(type);
	if (it == impl_->enums.end())
		return {};
	const btf_type *found = btf__type_by_id(impl_->types, it->second);
	for (int i = 0; i < btf_vlen(found); i++)
		if (name == impl_->name_of(btf_enum(found)[i].name_off))
			return btf_enum(found)[i].val;
	return {};
}

std::optional<FieldLayout> KernelObject::locate(std::string_view path) const
{
	auto found = layout_->field(type_, path);
	if (!found || found->offset + found->size > bytes_.size())
		return {};
	return found;
}

uint64_t KernelObject::get(std::string_view path) const
{
	auto found = locate(path);
	if (!found || found->size > sizeof(uint64_t))
		return 0;
	uint64_t value = 0;
	std::memcpy(&value, bytes_.data() + found->offset, found->size);
	unsigned unused = 64 - found->size * 8;
	if (found->is_signed && unused)
		value = static_cast<uint64_t>(static_cast<int64_t>(value << unused) >> unused);
	return value;
}

std::span<const uint8_t> KernelObject::bytes_of(std::string_view path) const
{
	auto found = locate(path);
	return found ? bytes_.subspan(found->offset, found->size) : std::span<const uint8_t>();
}

std::span<const uint8_t> KernelObject::bytes_from(std::string_view path) const
{
	auto found = layout_->field(type_, path);
	if (!found || found->offset > bytes_.size())
		return {};
	return bytes_.subspan(found->offset);
}

} // namespace bpfckpt::iterators
