// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "iterators/kernel_btf.h"

#include <mutex>
#include <optional>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/util/io.h"
#include "user/util/mapping.h"

namespace bpfckpt::iterators {
namespace {

constexpr char kKernelTypes[] = "/sys/kernel/btf/vmlinux";

bool is_named_kind(const btf_type *type)
{
	return btf_is_composite(type) || btf_is_any_enum(type) || btf_is_typedef(type);
}

// Kinds of iterators are known by functions without a body (include/linux/bpf.h: DEFINE_BPF_ITER_FUNC).
bool is_iterator(const btf *types, const btf_type *type)
{
	return btf_is_func(type) &&
	       std::string_view(btf__name_by_offset(types, type->name_off)).starts_with("bpf_iter_");
}

// Copies types by value, each once; what a pointer leads to is left out, so there are no cycles.
class Cutter {
public:
	explicit Cutter(const btf *from) : from_(from), to_(btf__new_empty()) {}

	// The id in the copy, or a negative errno.
	int copy(unsigned id);
	[[nodiscard]] const btf *result() const { return to_.get(); }

private:
	int copy_composite(const btf_type *type);
	int copy_enum(const btf_type *type);
	int copy_array(const btf_type *type);
	int copy_kind(const btf_type *type);
	[[nodiscard]] const char *name(unsigned offset) const { return btf__name_by_offset(from_, offset); }

	const btf *from_;
	Btf to_;
	std::unordered_map<unsigned, int> copied_;
};

int Cutter::copy(unsigned id)
{
	// const, volatile and the like say nothing about the layout, and libbpf skips them.
	const btf_type *type = btf__type_by_id(from_, id);
	while (id && (btf_is_mod(type) || btf_is_type_tag(type))) {
		id = type->type;
		type = btf__type_by_id(from_, id);
	}
	if (!id)
		return 0;
	if (auto it = copied_.find(id); it != copied_.end())
		return it->second;
	int copy = copy_kind(type);
	copied_[id] = copy;
	return copy;
}

int Cutter::copy_kind(const btf_type *type)
{
	switch (btf_kind(type)) {
	case BTF_KIND_INT:
		return btf__add_int(to_.get(), name(type->name_off), type->size, btf_int_encoding(type));
	case BTF_KIND_FLOAT:
		return btf__add_float(to_.get(), name(type->name_off), type->size);
	case BTF_KIND_PTR:
		return btf__add_ptr(to_.get(), 0);
	case BTF_KIND_TYPEDEF: {
		int target = copy(type->type);
		return target < 0 ? target : btf__add_typedef(to_.get(), name(type->name_off), target);
	}
	case BTF_KIND_ARRAY:
		return copy_array(type);
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		return copy_enum(type);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return copy_composite(type);
	default:
		return 0; // functions and declarations: void
	}
}

int Cutter::copy_array(const btf_type *type)
{
	const struct btf_array *array = btf_array(type);
	int index = copy(array->index_type);
	int element = copy(array->type);
	if (index < 0 || element < 0)
		return index < 0 ? index : element;
	return btf__add_array(to_.get(), index, element, array->nelems);
}

int Cutter::copy_enum(const btf_type *type)
{
	if (btf_is_enum64(type)) {
		int id = btf__add_enum64(to_.get(), name(type->name_off), type->size, btf_kflag(type));
		const struct btf_enum64 *values = btf_enum64(type);
		for (int i = 0; i < btf_vlen(type); i++)
			btf__add_enum64_value(to_.get(), name(values[i].name_off), btf_enum64_value(&values[i]));
		return id;
	}
	int id = btf__add_enum(to_.get(), name(type->name_off), type->size);
	const struct btf_enum *values = btf_enum(type);
	for (int i = 0; i < btf_vlen(type); i++)
		btf__add_enum_value(to_.get(), name(values[i].name_off), values[i].val);
	return id;
}

int Cutter::copy_composite(const btf_type *type)
{
	// The members' types come first: the fields must follow their struct without a gap.
	const btf_member *members = btf_members(type);
	std::vector<int> types;
	for (int i = 0; i < btf_vlen(type); i++) {
		types.push_back(copy(members[i].type));
		if (types.back() < 0)
			return types.back();
	}
	const char *own_name = name(type->name_off);
	int id = btf_is_struct(type) ? btf__add_struct(to_.get(), own_name, type->size)
				     : btf__add_union(to_.get(), own_name, type->size);
	for (int i = 0; i < btf_vlen(type) && id > 0; i++) {
		auto index = static_cast<unsigned>(i);
		int err = btf__add_field(to_.get(), name(members[i].name_off), types[index],
					 btf_member_bit_offset(type, index), btf_member_bitfield_size(type, index));
		if (err)
			return err;
	}
	return id;
}

} // namespace

// 6 MB that sysfs reads page by page, in 8 ms. Newer kernels can map them (kernel/bpf/sysfs_btf.c).
static Result<Btf> parse_all()
{
	UniqueFd file = TRY(open_at(AT_FDCWD, kKernelTypes, O_RDONLY));
	struct stat status = {};
	if (!::fstat(file.get(), &status) && status.st_size > 0)
		if (Result<Mapping> types =
			    Mapping::create(static_cast<size_t>(status.st_size), PROT_READ, MAP_PRIVATE, file.get()))
			return Btf(btf__new(types->data(), static_cast<__u32>(types->size())));
	std::string types = TRY(read_file(kKernelTypes));
	return Btf(btf__new(types.data(), static_cast<__u32>(types.size())));
}

Result<KernelBtf> KernelBtf::parse()
{
	Result<Btf> all = parse_all();
	if (!all)
		return Error(Code::kKernelLacks, "the kernel has no type information (BTF)")
			.with_hint("it needs CONFIG_DEBUG_INFO_BTF=y")
			.because(std::move(all.error()));
	KernelBtf kernel;
	kernel.types_ = std::move(*all);
	if (!kernel.types_)
		return errno_error(errno, "cannot parse the kernel's type information").on(kKernelTypes);
	unsigned count = btf__type_cnt(kernel.types_.get());
	kernel.by_name_.reserve(1 << 15);
	for (unsigned id = 1; id < count; id++) {
		const btf_type *type = btf__type_by_id(kernel.types_.get(), id);
		if (type->name_off && (is_named_kind(type) || is_iterator(kernel.types_.get(), type)))
			kernel.by_name_[btf__name_by_offset(kernel.types_.get(), type->name_off)].push_back(id);
	}
	return kernel;
}

static std::mutex mutex;
static std::shared_ptr<const KernelBtf> parsed;

Result<std::shared_ptr<const KernelBtf>> KernelBtf::get()
{
	std::lock_guard lock(mutex);
	if (!parsed)
		parsed = std::make_shared<const KernelBtf>(TRY(parse()));
	return parsed;
}

void KernelBtf::forget()
{
	std::lock_guard lock(mutex);
	parsed.reset();
}

unsigned KernelBtf::iterator_id(const std::string &name) const
{
	auto it = by_name_.find(name);
	if (it == by_name_.end())
		return 0;
	for (unsigned id : it->second)
		if (btf_is_func(btf__type_by_id(types_.get(), id)))
			return id;
	return 0;
}

Result<UniqueFd> KernelBtf::cut_down(const std::unordered_set<std::string> &names) const
{
	Cutter cutter(types_.get());
	for (const std::string &name : names) {
		auto it = by_name_.find(name);
		if (it == by_name_.end())
			continue;
		for (unsigned id : it->second)
			if (int err = is_named_kind(btf__type_by_id(types_.get(), id)) ? cutter.copy(id) : 0; err < 0)
				return errno_error(-err, "cannot copy kernel type").on(name);
	}
	__u32 size = 0;
	const void *data = btf__raw_data(cutter.result(), &size);
	if (!data)
		return errno_error(ENOMEM, "cannot write kernel types");
	UniqueFd file(memfd_create("bpfckpt-btf", MFD_CLOEXEC));
	if (!file.valid())
		return errno_error(errno, "cannot create a memory file");
	TRY(write_all(file.get(), {static_cast<const std::byte *>(data), size}));
	return file;
}

std::unordered_set<std::string> relocatable_names(const btf *object)
{
	std::unordered_set<std::string> names;
	unsigned count = btf__type_cnt(object);
	for (unsigned id = 1; id < count; id++) {
		const btf_type *type = btf__type_by_id(object, id);
		if (!type->name_off || !is_named_kind(type))
			continue;
		std::string name = btf__name_by_offset(object, type->name_off);
		names.insert(name.substr(0, name.rfind("___")));
	}
	return names;
}

} // namespace bpfckpt::iterators
