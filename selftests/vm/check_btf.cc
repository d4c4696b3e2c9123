// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Relocates BPF objects against the BTF of kernels that are not running, and says what each kernel lacks.
//
//	check_btf KERNEL=BTF_FILE... -- OBJECT.bpf.o...
//
// libbpf makes a read of a field that is not there an instruction that no verifier lets through; so each needs a
// question before it (bpf_core_field_exists() and its kin) about the same type. What libbpf did is read from its log.
// That this kernel then refuses a program with another kernel's offsets is of no interest here.
#include <algorithm>
#include <cstdarg>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fmt/core.h>

namespace {

std::string libbpf_log;

int append_to_log(libbpf_print_level, const char *format, va_list args)
{
	char line[4096];
	int length = vsnprintf(line, sizeof(line), format, args);
	libbpf_log += line;
	return length;
}

// One relocation of a program, e.g. <byte_off> of struct task_struct___v72.futex.robust_list.
struct Relocation {
	std::string kind;
	std::string flavour; // the type as it is written
	std::string type;    // without its flavour
	std::string field;   // with the type as it is written
	bool found = true;

	[[nodiscard]] bool asks() const { return kind.ends_with("_exists"); }
};

using Relocations = std::vector<Relocation>;

// "<byte_off> [61] struct task_struct.flags (0:1 @ offset 8)"
Relocation parse(const std::string &spec)
{
	Relocation relocation;
	relocation.kind = spec.substr(1, spec.find('>') - 1);
	size_t start = spec.find(' ', spec.find("] ") + 2) + 1;
	relocation.field = spec.substr(start, spec.find(" (", start) - start);
	relocation.flavour = relocation.field.substr(0, relocation.field.find_first_of(".:"));
	relocation.type = relocation.flavour.substr(0, relocation.flavour.find("___"));
	return relocation;
}

// From lines such as "libbpf: prog 'tree': relo #3: <byte_off> ...", and "...: no matching targets found".
Relocations read_log()
{
	static constexpr std::string_view kStart = "libbpf: prog '", kNumber = "': relo #";
	Relocations relocations;
	for (size_t at = 0, end; (end = libbpf_log.find('\n', at)) != std::string::npos; at = end + 1) {
		std::string line = libbpf_log.substr(at, end - at);
		size_t number = line.find(kNumber);
		size_t text = line.find(": ", number + kNumber.size());
		if (!line.starts_with(kStart) || number == std::string::npos || text == std::string::npos)
			continue;
		std::string what = line.substr(text + 2);
		if (what.starts_with('<'))
			relocations.push_back(parse(what));
		else if (what == "no matching targets found" && !relocations.empty())
			relocations.back().found = false;
	}
	return relocations;
}

// What is read on this kernel instead, if it is there in another flavour of the type.
std::string stand_in(const Relocations &all, const Relocation &missing)
{
	std::string name = missing.field.substr(missing.field.find_last_of(".:") + 1);
	for (const Relocation &other : all)
		if (other.found && !other.asks() && other.type == missing.type && other.flavour != missing.flavour &&
		    other.field.ends_with(name))
			return other.field;
	return "-";
}

// Types that are reached only through a field of another one, about which the question is.
const std::map<std::string, std::string> kReachedThrough = {
	{"file_lock", "file_lock_core"},    {"futex_private_hash", "mm_struct"}, {"io_file_table", "io_ring_ctx"},
	{"io_rsrc_data", "io_ring_ctx"},    {"io_rsrc_node", "io_ring_ctx"},     {"io_wqe_acct", "io_wq"},
	{"mpscq", "io_ring_ctx"},           {"inode_state_flags_enum", "inode"}, {"inode_state_flags_t", "inode"},
	{"task_exec_state", "task_struct"},
};

bool is_asked_for(const Relocations &all, const Relocation &missing)
{
	auto through = kReachedThrough.find(missing.type);
	const std::string &type = through == kReachedThrough.end() ? missing.type : through->second;
	for (const Relocation &other : all)
		if (other.asks() && other.type == type)
			return true;
	return false;
}

// Relocations that libbpf could not carry out, e.g. where a load and the field's type differ in size.
unsigned report_failures(const std::string &kernel, const std::string &object)
{
	unsigned failures = 0;
	for (size_t at = 0; (at = libbpf_log.find("failed to patch insn", at)) != std::string::npos; at++) {
		size_t start = libbpf_log.rfind("libbpf: prog", libbpf_log.rfind('\n', at) - 1);
		fmt::print("{:<8} {:<20} {}\n", kernel, object,
			   libbpf_log.substr(start, libbpf_log.find('\n', at) - start));
		failures++;
	}
	return failures;
}

// Returns how many fields are read without a question.
unsigned report(const std::string &kernel, const std::string &object)
{
	unsigned defects = 0;
	std::set<std::string> told;
	Relocations all = read_log();
	for (const Relocation &one : all) {
		if (one.found || one.asks() || !told.insert(one.field).second)
			continue;
		bool asked = is_asked_for(all, one);
		defects += !asked;
		fmt::print("{:<8} {:<20} {:<50} {}\n", kernel, object, one.field,
			   asked ? stand_in(all, one) : "READ WITHOUT A QUESTION");
	}
	if (!all.empty())
		return defects;
	fmt::print("{:<8} {:<20} was not relocated: {}\n", kernel, object, libbpf_log);
	return 1;
}

unsigned missing_iterators(const std::string &kernel, const std::string &object, const bpf_object *opened,
			   const btf *types)
{
	unsigned missing = 0;
	bpf_program *program;
	bpf_object__for_each_program(program, opened)
	{
		std::string section = bpf_program__section_name(program);
		size_t name = section.find("iter/");
		if (name == std::string::npos)
			continue;
		std::string function = "bpf_iter_" + section.substr(name + 5);
		if (btf__find_by_name_kind(types, function.c_str(), BTF_KIND_FUNC) > 0)
			continue;
		fmt::print("{:<8} {:<20} {:<50} NO SUCH ITERATOR\n", kernel, object, section);
		missing++;
	}
	return missing;
}

// Returns the number of defects.
unsigned check(const std::string &kernel, const std::string &types_file, const std::string &object_file)
{
	std::string object = object_file.substr(object_file.find_last_of('/') + 1);
	libbpf_log.clear();
	LIBBPF_OPTS(bpf_object_open_opts, options, .btf_custom_path = types_file.c_str());
	bpf_object *opened = bpf_object__open_file(object_file.c_str(), &options);
	btf *types = btf__parse(types_file.c_str(), nullptr);
	if (!opened || !types) {
		fmt::print("{}: cannot read {} or {}\n", kernel, object_file, types_file);
		return 1;
	}
	bpf_object__load(opened);
	unsigned defects = report(kernel, object) + report_failures(kernel, object) +
			   missing_iterators(kernel, object, opened, types);
	btf__free(types);
	bpf_object__close(opened);
	return defects;
}

} // namespace

int main(int argc, char **argv)
{
	std::vector<std::string> words(argv + 1, argv + argc);
	auto separator = std::find(words.begin(), words.end(), "--");
	if (separator == words.end() || separator + 1 == words.end() || separator == words.begin()) {
		fmt::print(stderr, "usage: check_btf KERNEL=BTF_FILE... -- OBJECT.bpf.o...\n");
		return 2;
	}
	libbpf_set_print(append_to_log);
	unsigned defects = 0;
	fmt::print("{:<8} {:<20} {:<50} {}\n", "KERNEL", "OBJECT", "NOT THERE", "INSTEAD");
	for (auto kernel = words.begin(); kernel != separator; ++kernel)
		for (auto object = separator + 1; object != words.end(); ++object)
			defects += check(kernel->substr(0, kernel->find('=')), kernel->substr(kernel->find('=') + 1),
					 *object);
	fmt::print("{} defects\n", defects);
	return defects ? 1 : 0;
}
