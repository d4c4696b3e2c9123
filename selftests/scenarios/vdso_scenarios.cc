// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The vDSO: who is inside at the dump gets the right answer, then and after restore. (On another kernel:
// selftests/vm/vdso.sh.)
#include "selftests/scenarios/driver.h"

namespace bpfckpt::selftests {

TEST(Vdso, calls_that_are_under_way_are_finished)
{
	run_scenario("vdso_calls");
}

} // namespace bpfckpt::selftests
