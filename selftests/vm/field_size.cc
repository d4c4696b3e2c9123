// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "selftests/vm/field_size.h"

#include <algorithm>

namespace bpfckpt::selftests {

namespace {

const btf_type *plain(const btf *types, unsigned id)
{
	const btf_type *type = btf__type_by_id(types, id);
	while (type && (btf_is_mod(type) || btf_is_typedef(type) || btf_is_type_tag(type)))
		type = btf__type_by_id(types, type->type);
	return type;
}

// Also of structs and unions without a name in it.
const btf_member *find_member(const btf *types, const btf_type *composite, std::string_view name)
{
	const btf_member *members = btf_members(composite);
	for (unsigned i = 0; i < btf_vlen(composite); i++) {
		if (name == btf__name_by_offset(types, members[i].name_off))
			return &members[i];
		const btf_type *type = plain(types, members[i].type);
		if (members[i].name_off || !type || !btf_is_composite(type))
			continue;
		if (const btf_member *inner = find_member(types, type, name))
			return inner;
	}
	return nullptr;
}

std::optional<size_t> size_below(const btf *types, const btf_type *type, std::string_view path)
{
	while (type && btf_is_composite(type) && !path.empty()) {
		std::string_view name = path.substr(0, path.find('.'));
		path.remove_prefix(std::min(path.size(), name.size() + 1));
		const btf_member *member = find_member(types, type, name);
		type = member ? plain(types, member->type) : nullptr;
	}
	if (!type || !path.empty())
		return {};
	if (btf_is_ptr(type))
		return sizeof(void *);
	return btf_is_int(type) || btf_is_any_enum(type) ? std::optional<size_t>(type->size) : std::nullopt;
}

} // namespace

std::optional<size_t> field_size(const btf *types, std::string_view field)
{
	std::string_view owner = field.substr(0, field.find('.'));
	if (owner.size() == field.size() || field.find_first_of("[:") != field.npos)
		return {};
	for (unsigned id = 1; id < btf__type_cnt(types); id++) {
		const btf_type *type = btf__type_by_id(types, id);
		if (!btf_is_composite(type) || owner != btf__name_by_offset(types, type->name_off))
			continue;
		if (auto size = size_below(types, type, field.substr(owner.size() + 1)))
			return size;
	}
	return {};
}

} // namespace bpfckpt::selftests
