// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The one scenario that every `make test` tries on other kernels, too (selftests/vm/quick.sh).
#include <linux/io_uring.h>

#include "selftests/scenarios/uring_json.h"

namespace bpfckpt::selftests {

TEST(UringZoo, rings_of_all_kinds_in_one_program)
{
	ScenarioOptions options;
	options.verify = [](const Json &document) {
		// No kernel that is supported has fewer kinds.
		ASSERT_EQ(document["rings"].size(), 7u);
		for (const Json &ring : document["rings"]) {
			bool enabled = !(ring.value("flags", 0u) & IORING_SETUP_R_DISABLED);
			expect_complete(ring, enabled ? 3 : 0);
			EXPECT_EQ(ring["cqes"].size(), enabled ? 3u : 0u);
			EXPECT_EQ(ring["fixed_files"].size(), 5u);
			EXPECT_EQ(ring["buffers"].size(), 1u);
			EXPECT_EQ(ring["unsupported"], Json::array());
		}
	};
	run_scenario("uring_zoo", options);
}

} // namespace bpfckpt::selftests
