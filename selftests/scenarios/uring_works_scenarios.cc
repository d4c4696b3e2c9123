// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Works of io-wq that wait without end: their workers go on when the program does, and begin anew after a restore.
#include <algorithm>

#include "iterators/kernel_btf.h"
#include "selftests/scenarios/uring_json.h"

namespace bpfckpt::selftests {

namespace {

constexpr unsigned kSingleIssuer = 1U << 12, kDeferTaskrun = 1U << 13;
constexpr unsigned kOpens = 32, kSplices = 32, kWorkers = 32;

// On some kernels only the worker's stack has the path of what it opens (v7.2: struct delayed_filename): a dump refuses
// that, see UringScenario.requests_that_wait_for_other_processes_are_found.
bool requests_keep_paths()
{
	auto kernel = iterators::KernelBtf::get();
	return !kernel || btf__find_by_name_kind((*kernel)->types(), "delayed_filename", BTF_KIND_STRUCT) < 0;
}

// With less workers the other works are in queues.
void run_works(unsigned flags, unsigned workers, const Args &more = {})
{
	SCOPED_TRACE("flags " + std::to_string(flags) + ", workers " + std::to_string(workers));
	unsigned opens = requests_keep_paths() ? kOpens : 0, works = opens + kSplices;
	unsigned busy = opens ? 2 * workers : workers; // there are two kinds
	ScenarioOptions options;
	options.args = {std::to_string(flags), std::to_string(workers), std::to_string(opens)};
	options.args.insert(options.args.end(), more.begin(), more.end());
	options.verify = [&](const Json &document) {
		ASSERT_EQ(document["rings"].size(), 1u);
		const Json &ring = document["rings"][0];
		expect_complete(ring, works + 1);
		EXPECT_EQ(where(ring["in_flight"], "where", "io-wq worker").size(), busy);
		EXPECT_EQ(where(ring["in_flight"], "where", "io-wq queue").size(), works - busy);
		EXPECT_EQ(where(ring["in_flight"], "class", "REARMABLE").size(), works + 1);
	};
	run_scenario("uring_works", options);
}

} // namespace

TEST(UringWorks, sixty_four_busy_workers)
{
	run_works(0, kWorkers);
}

TEST(UringWorks, of_a_single_issuer_some_in_queues)
{
	run_works(kSingleIssuer | kDeferTaskrun, 10);
}

// An open has the credentials and the working directory of its thread.
TEST(UringWorks, of_an_unprivileged_program)
{
	run_works(0, 20, {"65534"});
}

TEST(UringWorks, of_which_too_little_is_known_are_refused)
{
	run_refusal("uring_works_refused", "no longer what it takes its input from", {}, {"reused"});
	run_refusal("uring_works_refused", "could not be read", {}, {"locked"});
}

TEST(UringWorks, that_may_have_done_a_part_are_refused)
{
	run_refusal("uring_works_refused", "how much of it is done already is not known", {}, {"begun"});
}

TEST(UringWorks, with_a_fixed_input_that_the_kernel_does_not_keep_are_refused)
{
	run_refusal("uring_works_refused", "which fixed file is its input is not known on this kernel", {}, {"fixed"});
}

// As often as an issue of the kernel would show.
TEST(UringWorks, twenty_restores_in_a_row)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_works", {"0", "16"});
	ASSERT_TRUE(restore_obstacle().empty()) << restore_obstacle();
	for (int round = 0; round < 20; round++) {
		SCOPED_TRACE("round " + std::to_string(round));
		ASSERT_EQ(scenario.dump({}).exit, 0);
		ASSERT_TRUE(scenario.restore());
		ASSERT_TRUE(scenario.go());
	}
}

} // namespace bpfckpt::selftests
