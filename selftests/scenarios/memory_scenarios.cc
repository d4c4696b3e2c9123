// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Address spaces: what is saved, what is not, and that the program cannot tell.
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include <fmt/format.h>
#include <sys/mount.h>
#include <unistd.h>

#include "selftests/scenarios/driver.h"
#include "selftests/scenarios/page_pattern.h"
#include "selftests/scenarios/process.h"
#include "selftests/scenarios/zero_page.h"

namespace bpfckpt::selftests {

namespace {

// The mapping at an address that the program told; null if there is none.
Json mapping_at(const Json &document, uint64_t address)
{
	for (const Json &memory : document["memory"]) {
		for (const Json &vma : memory["vmas"]) {
			if (number(vma["start"]) <= address && address < number(vma["end"]))
				return vma;
		}
	}
	ADD_FAILURE() << "no mapping at " << std::hex << address;
	return {};
}

bool has_advice(const Json &vma, const std::string &name)
{
	for (const Json &advice : vma.value("advice", Json::array())) {
		if (advice == name)
			return true;
	}
	return false;
}

uint64_t saved_bytes(const Json &runs)
{
	uint64_t bytes = 0;
	for (const Json &run : runs)
		bytes += number(run["length"]);
	return bytes;
}

// A dump of a program that goes on, and what its images say.
class Dumped {
public:
	explicit Dumped(const std::string &program)
	{
		if (!scenario.start(program))
			return;
		DumpResult dump = scenario.dump({"-R"});
		dir = dump.dir;
		if (dump.exit == 0)
			document = scenario.show();
	}
	uint64_t address(const std::string &key) { return number(scenario.fact(key)); }
	[[nodiscard]] Json object(const Json &id) const
	{
		Json found = where(document.value("shared_memory", Json::array()), "id", id);
		EXPECT_EQ(found.size(), 1u);
		return found.empty() ? Json() : found[0];
	}
	// Whether a page of the first process was saved with this content.
	[[nodiscard]] bool saved_page_is(uint64_t address, unsigned seed) const
	{
		return page_of_runs_is(document["memory"][0].value("pages", Json::array()), address, seed);
	}
	[[nodiscard]] bool is_saved(uint64_t address) const
	{
		return find_run(document["memory"][0].value("pages", Json::array()), address).has_value();
	}
	[[nodiscard]] bool page_of_runs_is(const Json &runs, uint64_t at, unsigned seed) const
	{
		std::optional<uint64_t> offset = find_run(runs, at);
		if (!offset)
			return false;
		char page[PAGE];
		std::ifstream pages(dir + "/pages.img", std::ios::binary);
		return pages.seekg(static_cast<std::streamoff>(*offset)).read(page, PAGE) && page_is(page, seed);
	}

	Scenario scenario;
	std::string dir;
	Json document;

private:
	// Where in pages.img.
	static std::optional<uint64_t> find_run(const Json &runs, uint64_t at)
	{
		for (const Json &run : runs) {
			uint64_t start = number(run["start"]);
			if (start <= at && at < start + number(run["length"]))
				return number(run.value("offset", Json(0))) + at - start;
		}
		return std::nullopt;
	}
};

#define SKIP_UNLESS_DUMPED(dumped)                                       \
	do {                                                             \
		if (!(dumped).scenario.skip_reason().empty())            \
			GTEST_SKIP() << (dumped).scenario.skip_reason(); \
		ASSERT_FALSE((dumped).document.empty());                 \
	} while (0)

} // namespace

TEST(Memory, private_pages_come_back_and_untouched_ones_stay_untouched)
{
	run_scenario("memory_private");
}

TEST(Memory, exactly_the_written_private_pages_are_saved)
{
	Dumped d("memory_private");
	SKIP_UNLESS_DUMPED(d);
	uint64_t plain = d.address("plain");
	EXPECT_TRUE(d.saved_page_is(plain, 1));
	EXPECT_TRUE(d.saved_page_is(plain + 4 * PAGE, 2));
	EXPECT_TRUE(d.saved_page_is(plain + 5 * PAGE, 3));
	for (unsigned page : {2, 3, 6, 7})
		EXPECT_FALSE(d.is_saved(plain + page * PAGE)) << page;
	EXPECT_EQ(d.is_saved(plain + PAGE), !has_zero_page()); // it was only read
	for (unsigned page : {0, 1, 2})
		EXPECT_TRUE(d.saved_page_is(d.address("protected") + page * PAGE, 10 + page)) << page;
	for (unsigned i = 0; i < 10; i++)
		EXPECT_TRUE(d.saved_page_is(d.address("sparse") + (uint64_t{i} << 30), 20 + i)) << i;
	EXPECT_LT(saved_bytes(d.document["memory"][0]["pages"]), 1u << 20);
	EXPECT_TRUE(d.scenario.go());
}

TEST(Memory, file_mappings_come_back)
{
	run_scenario("memory_file");
}

TEST(Memory, only_copied_pages_of_a_file_are_saved)
{
	Dumped d("memory_file");
	SKIP_UNLESS_DUMPED(d);
	Json vma = mapping_at(d.document, d.address("private"));
	EXPECT_EQ(vma["kind"], "FILE_PRIVATE");
	EXPECT_EQ(vma["name"], d.scenario.work_dir() + "/private");
	EXPECT_NE(vma.value("file", 0), 0);
	EXPECT_TRUE(d.saved_page_is(d.address("private") + 3 * PAGE, 900));
	EXPECT_FALSE(d.is_saved(d.address("private") + 2 * PAGE));

	vma = mapping_at(d.document, d.address("shared"));
	EXPECT_EQ(vma["kind"], "FILE_SHARED");
	EXPECT_FALSE(vma.contains("shared_memory") && vma["shared_memory"] != 0) << "the file holds this content";
	EXPECT_FALSE(d.is_saved(d.address("shared") + 4 * PAGE));
	EXPECT_TRUE(d.scenario.go());
}

TEST(Memory, content_of_a_deleted_file_is_saved_once)
{
	Dumped d("memory_file");
	SKIP_UNLESS_DUMPED(d);
	Json one = mapping_at(d.document, d.address("deleted_private"));
	Json other = mapping_at(d.document, d.address("deleted_shared"));
	ASSERT_NE(one.value("shared_memory", 0), 0);
	EXPECT_EQ(one["shared_memory"], other["shared_memory"]);
	Json object = d.object(one["shared_memory"]);
	EXPECT_EQ(number(object["size"]), 16 * PAGE);
	EXPECT_EQ(saved_bytes(object["pages"]), 16 * PAGE);
	EXPECT_TRUE(d.page_of_runs_is(object["pages"], 5 * PAGE, 305));
	EXPECT_TRUE(d.saved_page_is(d.address("deleted_private") + 5 * PAGE, 902));
}

TEST(Memory, shared_memory_stays_shared)
{
	run_scenario("memory_shared");
}

TEST(Memory, shared_objects_are_saved_once)
{
	Dumped d("memory_shared");
	SKIP_UNLESS_DUMPED(d);
	ASSERT_EQ(d.document["memory"].size(), 2u);
	Json anonymous = mapping_at(d.document, d.address("anonymous"));
	Json mapped = mapping_at(d.document, d.address("mapped"));
	EXPECT_EQ(anonymous["kind"], "ANON_SHARED");
	EXPECT_EQ(mapped["kind"], "MEMFD");
	EXPECT_EQ(d.document["shared_memory"].size(), 3u);
	Json object = d.object(mapped["shared_memory"]);
	EXPECT_TRUE(d.page_of_runs_is(object["pages"], PAGE, 2));
	EXPECT_TRUE(d.page_of_runs_is(object["pages"], 3 * PAGE, 3)) << "never mapped in by anybody";
	EXPECT_EQ(saved_bytes(object["pages"]), 3 * PAGE);
	EXPECT_TRUE(d.page_of_runs_is(d.object(anonymous["shared_memory"])["pages"], PAGE, 1));
	EXPECT_FALSE(d.is_saved(d.address("anonymous") + PAGE)) << "shared pages are no process's own";
	for (const Json &file : d.document["files"]) {
		if (file.value("kind", "") != "memfd" || file["memfd"]["name"] != "unmapped")
			continue;
		object = d.object(file["memfd"]["shared_memory"]);
		EXPECT_EQ(number(object["size"]), 100 * PAGE);
		EXPECT_EQ(saved_bytes(object["pages"]), PAGE);
		EXPECT_TRUE(d.page_of_runs_is(object["pages"], 2 * PAGE, 4));
	}
	EXPECT_TRUE(d.scenario.go());
}

TEST(Memory, advice_locks_guards_stack_and_heap_come_back)
{
	run_scenario("memory_advice");
}

TEST(Memory, advice_locks_and_guards_are_captured)
{
	Dumped d("memory_advice");
	SKIP_UNLESS_DUMPED(d);
	const char *names[] = {"dc", "wf", "dd", "hg", "nh", "rr", "sr"};
	for (unsigned i = 0; i < std::size(names); i++) {
		Json vma = mapping_at(d.document, d.address("advice" + std::to_string(i)));
		for (const char *name : names)
			EXPECT_EQ(has_advice(vma, name), name == names[i]) << name << " in " << vma;
	}
	EXPECT_TRUE(has_advice(mapping_at(d.document, d.address("locked")), "lo"));
	EXPECT_TRUE(has_advice(mapping_at(d.document, d.address("lock_on_fault")), "lf"));
	EXPECT_EQ(mapping_at(d.document, d.address("stack"))["kind"], "STACK");
	uint64_t guarded = d.address("guarded");
	if (number(d.scenario.fact("guards"))) {
		Json guards = mapping_at(d.document, guarded)["guards"];
		ASSERT_EQ(guards.size(), 1u);
		EXPECT_EQ(number(guards[0]["start"]), guarded + 2 * PAGE);
		EXPECT_EQ(number(guards[0]["end"]), guarded + 4 * PAGE);
	}
	EXPECT_TRUE(d.saved_page_is(guarded, 64));
	EXPECT_TRUE(d.saved_page_is(guarded + 5 * PAGE, 65));
	EXPECT_FALSE(d.is_saved(guarded + 2 * PAGE));
	EXPECT_TRUE(d.scenario.go());
}

// What is mapped of it belongs to a file system below.
TEST(Memory, a_program_on_overlayfs)
{
	if (!enter_private_mounts())
		GTEST_SKIP() << "no mount namespace of its own";
	std::string base = "/tmp/bpfckpt-overlay." + std::to_string(getpid());
	Tmpfs below(base, "");
	for (const char *dir : {"/lower", "/upper", "/work", "/merged"})
		std::filesystem::create_directory(base + dir);
	std::filesystem::copy_file(std::filesystem::read_symlink("/proc/self/exe").parent_path() / "memory_private",
				   base + "/lower/memory_private");
	std::string options = "lowerdir=" + base + "/lower,upperdir=" + base + "/upper,workdir=" + base + "/work";
	std::string merged = base + "/merged";
	if (mount("overlay", merged.c_str(), "overlay", 0, options.c_str()))
		GTEST_SKIP() << "overlayfs cannot be mounted: " << strerror(errno);
	run_scenario(merged + "/memory_private");
	umount2(merged.c_str(), MNT_DETACH);
}

TEST(Memory, protection_keys)
{
	run_scenario("memory_keys");
}

TEST(Memory, five_thousand_mappings)
{
	run_scenario("memory_many", {.verify = [](const Json &document) {
			     size_t anonymous = where(document["memory"][0]["vmas"], "kind", "ANONYMOUS").size();
			     EXPECT_GE(anonymous, 5000u);
			     EXPECT_LT(anonymous, 5100u);
		     }});
}

TEST(Memory, huge_pages)
{
	run_scenario("memory_thp");
}

TEST(Memory, huge_zero_page_costs_nothing)
{
	if (!has_zero_page())
		GTEST_SKIP() << kNoZeroPage;
	Dumped d("memory_thp");
	SKIP_UNLESS_DUMPED(d);
	EXPECT_TRUE(d.saved_page_is(d.address("huge") + 64 * PAGE, 64));
	EXPECT_FALSE(d.is_saved(d.address("huge") + (2 << 20)));
	EXPECT_TRUE(d.scenario.go());
}

// 200 MiB once, not six times: in the images, and in memory after each restore.
TEST(Memory, pages_that_fork_left_shared_are_shared_again)
{
	run_scenario("memory_fork", {.args = {"200"}, .inspect_args = {"--tasks"}, .deadline = milliseconds(60000)});
	Scenario s;
	SCENARIO_START(s, "memory_fork", {"64"});
	DumpResult dump = s.dump({"-R"});
	ASSERT_EQ(dump.exit, 0);
	EXPECT_GT(number(dump.stats["page_bytes"]), 64u << 20);
	EXPECT_LT(number(dump.stats["page_bytes"]), 70u << 20);
}

TEST(Memory, auxiliary_vector_arguments_and_names_of_mappings)
{
	run_scenario("memory_names");
}

TEST(Memory, droppable_memory_comes_back_without_its_pages)
{
	run_scenario("memory_droppable", {.verify = [](const Json &document) {
			     for (const Json &memory : document["memory"])
				     for (const Json &vma : memory["vmas"])
					     if (has_advice(vma, "dp"))
						     return;
			     FAIL() << "no droppable mapping";
		     }});
}

// Of a tree, its share of what others have too: pages of programs and libraries come when they are touched.
static uint64_t resident_kib(const Scenario &s)
{
	uint64_t sum = 0;
	for (pid_t pid : family(s.pid(), s.work_dir())) {
		std::istringstream lines(slurp(fmt::format("/proc/{}/smaps_rollup", pid)));
		for (std::string line; std::getline(lines, line);)
			if (line.starts_with("Pss_Anon:") || line.starts_with("Pss_Shmem:"))
				sum += std::stoul(line.substr(line.find(':') + 1));
	}
	return sum;
}

TEST(Memory, a_restored_tree_is_as_large_as_it_was)
{
	if (!restore_obstacle().empty())
		GTEST_SKIP() << restore_obstacle();
	for (const char *program : {"memory_fork", "memory_shared", "memory_private"}) {
		SCOPED_TRACE(program);
		Scenario s;
		SCENARIO_START(s, program, program == std::string("memory_fork") ? Args{"64"} : Args{});
		auto before = static_cast<double>(resident_kib(s));
		ASSERT_GT(before, 0);
		ASSERT_EQ(s.dump({}).exit, 0);
		ASSERT_TRUE(s.restore());
		// And a few pages that a program touches between the first look and the dump.
		constexpr double kTouched = 64;
		EXPECT_NEAR(static_cast<double>(resident_kib(s)), before, before / 20 + kTouched);
		EXPECT_TRUE(s.go(milliseconds(60000)));
	}
}

struct RefusedMemory {
	const char *state, *message;
};

class MemoryRefused : public testing::TestWithParam<RefusedMemory> {};

TEST_P(MemoryRefused, by_name)
{
	run_refusal("memory_refused", GetParam().message, {}, {GetParam().state});
}

INSTANTIATE_TEST_SUITE_P(Memory, MemoryRefused,
			 testing::Values(RefusedMemory{"hugetlb", "huge page memory"},
					 RefusedMemory{"userfault", "is registered with a userfaultfd"},
					 RefusedMemory{"aio", "AIO context"}, RefusedMemory{"secret", "secret memory"},
					 RefusedMemory{"mbind", "mbind"},
					 RefusedMemory{"sealed", "F_SEAL_FUTURE_WRITE"}),
			 [](const auto &test) { return std::string(test.param.state); });

} // namespace bpfckpt::selftests
