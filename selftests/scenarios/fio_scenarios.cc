// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// fio with its io_uring engine: it writes blocks with checksums, reads all of them back and compares. It is dumped and
// killed in the middle of that, restored, twice, and has to end as if nothing had happened.
#include <unistd.h>

#include "selftests/scenarios/other_program.h"
#include "selftests/scenarios/process.h"

namespace bpfckpt::selftests {

struct FioJob {
	const char *name;
	Args options;
};

static void PrintTo(const FioJob &job, std::ostream *out)
{
	*out << job.name;
}

class FioTest : public testing::TestWithParam<FioJob> {};

TEST_P(FioTest, ends_without_an_error)
{
	if (access("/usr/bin/fio", X_OK))
		GTEST_SKIP() << "fio is not installed: make deps";
	OtherProgram fio;
	// Slow enough to be met in the middle of its work, also where a dump takes seconds.
	Args command{"/usr/bin/fio",
		     "--name=job",
		     "--ioengine=io_uring",
		     "--iodepth=16",
		     patience() > 1 ? "--size=8m" : "--size=16m",
		     "--bs=4k",
		     "--rw=randwrite",
		     "--verify=crc32c",
		     "--do_verify=1",
		     patience() > 1 ? "--rate_iops=150" : "--rate_iops=300",
		     "--verify_state_save=0",
		     "--output=result",
		     "--filename=" + fio.dir() + "/data"};
	command.insert(command.end(), GetParam().options.begin(), GetParam().options.end());
	ASSERT_TRUE(fio.start(command)) << fio.log();
	ASSERT_NO_FATAL_FAILURE(fio.live_on());
	EXPECT_EQ(fio.wait_for_end(), 0) << fio.log();
	std::string result = slurp(fio.dir() + "/result");
	EXPECT_NE(result.find("err= 0"), std::string::npos) << result << fio.log();
}

INSTANTIATE_TEST_SUITE_P(Programs, FioTest,
			 testing::Values(FioJob{"direct", {"--direct=1"}}, FioJob{"buffered", {"--direct=0"}},
					 FioJob{"fixed", {"--direct=1", "--fixedbufs", "--registerfiles"}},
					 FioJob{"fixed_buffered", {"--direct=0", "--fixedbufs", "--registerfiles"}},
					 FioJob{"sqpoll", {"--direct=1", "--sqthread_poll"}},
					 FioJob{"sqpoll_buffered", {"--direct=0", "--sqthread_poll"}}),
			 [](const auto &test) { return std::string(test.param.name); });

} // namespace bpfckpt::selftests
