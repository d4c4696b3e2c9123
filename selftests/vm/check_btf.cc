// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Relocates BPF objects against the BTF of kernels that are not running, and says what each kernel lacks.
//
//	check_btf KERNEL=BTF_FILE... -- OBJECT.bpf.o...
//
// libbpf makes a read of a field that is not there an instruction that no verifier lets through; so a question
// (bpf_core_field_exists() and its kin) has to keep the program from it. Which instruction that is, is read from
// libbpf's log; whether it can be reached, reachable.h tells. That this kernel then refuses a program with another
// kernel's offsets is of no interest here.
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

#include "selftests/vm/field_size.h"
#include "selftests/vm/reachable.h"

namespace bpfckpt::selftests {

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
	std::string program;
	std::string kind;
	std::string flavour; // the type as it is written
	std::string type;    // without its flavour
	std::string field;   // with the type as it is written
	bool found = true;
	std::set<size_t> poisoned; // instructions of the program, counted from its begin

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

// What libbpf says of the relocation that it has named last.
void follow_up(Relocation &relocation, const std::string &what)
{
	static constexpr std::string_view kPoisoned = "substituting insn #";
	if (what == "no matching targets found")
		relocation.found = false;
	else if (what.starts_with(kPoisoned))
		relocation.poisoned.insert(std::stoul(what.substr(kPoisoned.size())));
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
		if (what.starts_with('<')) {
			relocations.push_back(parse(what));
			relocations.back().program = line.substr(kStart.size(), number - kStart.size());
		} else if (!relocations.empty()) {
			follow_up(relocations.back(), what);
		}
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

// By program, as libbpf's log names it.
std::map<std::string, std::set<size_t>> poisoned_instructions(const Relocations &all)
{
	std::map<std::string, std::set<size_t>> poisoned;
	for (const Relocation &one : all)
		if (!one.poisoned.empty())
			poisoned[one.program].insert(one.poisoned.begin(), one.poisoned.end());
	return poisoned;
}

struct Function {
	std::set<size_t> poisoned, reached; // counted from its begin
};

// libbpf appends to a program the functions that it calls.
std::vector<Function> functions_of(const bpf_program *program)
{
	static constexpr int kPoison = 195896080; // libbpf: src/relo_core.c, bpf_core_poison_insn()
	std::span<const bpf_insn> instructions(bpf_program__insns(program), bpf_program__insn_cnt(program));
	std::vector<bool> seen = reachable(instructions);
	std::vector<size_t> starts = function_starts(instructions);
	std::vector<Function> functions(starts.size());
	for (size_t at = 0, current = 0; at < instructions.size(); at++) {
		if (current + 1 < starts.size() && at == starts[current + 1])
			current++;
		const bpf_insn &insn = instructions[at];
		if (insn.code != (BPF_JMP | BPF_CALL) || insn.src_reg || insn.imm != kPoison)
			continue;
		functions[current].poisoned.insert(at - starts[current]);
		if (seen[at])
			functions[current].reached.insert(at - starts[current]);
	}
	return functions;
}

void add_reached(const Relocations &all, const std::string &name, const std::set<size_t> &instructions,
		 std::set<std::string> &fields)
{
	for (const Relocation &one : all)
		if (one.program == name &&
		    std::ranges::any_of(one.poisoned, [&](size_t at) { return instructions.contains(at); }))
			fields.insert(one.field);
}

// Fields that this kernel has not and that no question keeps a program from. A function has no name any more: it is
// one whose poisoned instructions are at the same places.
std::set<std::string> reached_fields(const Relocations &all, const bpf_object *opened)
{
	std::map<std::string, std::set<size_t>> poisoned = poisoned_instructions(all);
	std::set<std::string> fields;
	bpf_program *program;
	bpf_object__for_each_program(program, opened)
	{
		for (const Function &function : functions_of(program)) {
			if (function.reached.empty())
				continue;
			size_t named = fields.size();
			for (const auto &[name, places] : poisoned)
				if (places == function.poisoned)
					add_reached(all, name, function.reached, fields);
			if (fields.size() == named && named == 0)
				fields.insert(std::string("a field in ") + bpf_program__name(program));
		}
	}
	return fields;
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

// Otherwise it reads nothing of the kernel's.
bool names_types(const bpf_object *opened)
{
	const btf *types = bpf_object__btf(opened);
	for (unsigned id = 1; id < btf__type_cnt(types); id++) {
		const btf_type *type = btf__type_by_id(types, id);
		if (btf_is_composite(type) && type->name_off)
			return true;
	}
	return false;
}

// Returns how many fields are read without a question.
unsigned report(const std::string &kernel, const std::string &object, const bpf_object *opened)
{
	Relocations all = read_log();
	std::set<std::string> told, reached = reached_fields(all, opened);
	for (const Relocation &one : all)
		if (!one.found && !one.asks() && !reached.contains(one.field) && told.insert(one.field).second)
			fmt::print("{:<8} {:<20} {:<50} {}\n", kernel, object, one.field, stand_in(all, one));
	for (const std::string &field : reached)
		fmt::print("{:<8} {:<20} {:<50} READ WITHOUT A QUESTION\n", kernel, object, field);
	if (!all.empty() || !names_types(opened))
		return static_cast<unsigned>(reached.size());
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

// BPF_CORE_READ() reads as many bytes as the program's own type has, and what is behind the field where this kernel's
// is smaller. Who asks for the size, too, as BPF_CORE_READ_BITFIELD_PROBED() does, reads the right ones.
unsigned report_sizes(const std::string &kernel, const std::string &object, const bpf_object *opened, const btf *types)
{
	Relocations all = read_log();
	auto in_kernel = [](const Relocation &one) { return one.type + one.field.substr(one.flavour.size()); };
	std::set<std::string> told;
	for (const Relocation &one : all)
		if (one.kind == "byte_sz")
			told.insert(in_kernel(one));
	unsigned differ = 0;
	for (const Relocation &one : all) {
		if (!one.found || one.kind != "byte_off" || !told.insert(in_kernel(one)).second)
			continue;
		auto ours = field_size(bpf_object__btf(opened), one.field);
		auto theirs = field_size(types, in_kernel(one));
		if (!ours || !theirs || *ours <= *theirs)
			continue;
		fmt::print("{:<8} {:<20} {:<50} HAS {} BYTES, NOT {}\n", kernel, object, one.field, *theirs, *ours);
		differ++;
	}
	return differ;
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
	unsigned defects = report(kernel, object, opened) + report_failures(kernel, object) +
			   report_sizes(kernel, object, opened, types) +
			   missing_iterators(kernel, object, opened, types);
	btf__free(types);
	bpf_object__close(opened);
	return defects;
}

int check_all(const std::vector<std::string> &words)
{
	auto separator = std::ranges::find(words, "--");
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

} // namespace

} // namespace bpfckpt::selftests

int main(int argc, char **argv)
{
	return bpfckpt::selftests::check_all({argv + 1, argv + argc});
}
