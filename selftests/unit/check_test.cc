// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/cli/check.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>
#include <sys/capability.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftests/unit/temporary_directory.h"
#include "user/cli/host_features.h"
#include "user/util/io.h"

namespace bpfckpt::cli {

using testing::HasSubstr;

namespace {

void drop(cap_value_t capability)
{
	cap_t set = ::cap_get_proc();
	::cap_set_flag(set, CAP_EFFECTIVE, 1, &capability, CAP_CLEAR);
	::cap_set_proc(set);
	::cap_free(set);
}

struct Outcome {
	int status;
	std::string output;
};

// Runs `body` in a child, because it changes capabilities and writes to stdout.
template <class Body>
Outcome in_child(Body &&body)
{
	test::TemporaryDirectory root;
	pid_t pid = ::fork();
	if (pid == 0) {
		UniqueFd out = open_at(AT_FDCWD, root / "out", O_CREAT | O_WRONLY, 0600).value();
		::dup2(out.get(), STDOUT_FILENO);
		::_exit(body());
	}
	int status = -1;
	EXPECT_EQ(::waitpid(pid, &status, 0), pid);
	EXPECT_TRUE(WIFEXITED(status));
	return {WEXITSTATUS(status), read_file(root / "out").value()};
}

class CheckTest : public testing::Test {
protected:
	void SetUp() override
	{
		if (::geteuid() != 0)
			GTEST_SKIP() << "needs root";
	}
};

} // namespace

TEST_F(CheckTest, a_host_that_has_everything_looks_good)
{
	Outcome outcome = in_child([] { return run_check({}); });
	EXPECT_EQ(outcome.status, 0) << outcome.output;
	EXPECT_TRUE(outcome.output.ends_with("Looks good.\n")) << outcome.output;
}

TEST_F(CheckTest, a_missing_capability_is_named_and_exits_4)
{
	for (cap_value_t capability : {CAP_SYS_PTRACE, CAP_SETUID}) {
		Outcome outcome = in_child([&] {
			drop(capability);
			return run_check({});
		});
		EXPECT_EQ(outcome.status, 4);
		const char *name = capability == CAP_SETUID ? "CAP_SETUID (denied)" : "CAP_SYS_PTRACE (denied)";
		EXPECT_THAT(outcome.output, HasSubstr(name));
	}
}

TEST_F(CheckTest, bpf_without_its_capabilities_is_denied_not_absent)
{
	Outcome outcome = in_child([] {
		drop(CAP_BPF);
		drop(CAP_SYS_ADMIN);
		return run_check({});
	});
	EXPECT_EQ(outcome.status, 4);
	EXPECT_THAT(outcome.output, HasSubstr("iterator task_file (denied)"));
}

TEST_F(CheckTest, what_is_not_required_does_not_fail)
{
	Outcome outcome = in_child([] {
		drop(CAP_SYS_RESOURCE);
		return run_check({});
	});
	EXPECT_EQ(outcome.status, 0) << outcome.output;
}

TEST_F(CheckTest, json_is_well_formed)
{
	Outcome outcome = in_child([] { return run_check({.json = true}); });
	google::protobuf::Struct document;
	ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(outcome.output, &document).ok()) << outcome.output;
	EXPECT_TRUE(document.fields().at("ok").bool_value());
	EXPECT_EQ(document.fields().at("command").string_value(), "check");
	EXPECT_GT(document.fields().at("features").list_value().values_size(), 30);
}

TEST_F(CheckTest, leaves_no_children_and_no_descriptors)
{
	EXPECT_EQ(in_child([] {
			  int before = ::dup(0);
			  ::close(before);
			  (void)probe_host();
			  int after = ::dup(0);
			  return before == after && ::waitpid(-1, nullptr, __WALL | WNOHANG) == -1 ? 0 : 1;
		  }).status,
		  0);
}

TEST(CheckTargetTest, findings_decide_the_exit_status)
{
	Findings findings;
	findings.push_back(
		make_error(Code::kUnsupported, "is a terminal").on("fd 0 of pid 7").with_hint("redirect it"));
	Outcome refused = in_child([&] { return report_check_target(7, findings, {}); });
	EXPECT_EQ(refused.status, 3);
	EXPECT_EQ(refused.output, "pid 7 cannot be dumped: 1 obstacle\n"
				  "  fd 0 of pid 7  is a terminal\n"
				  "                   hint: redirect it\n");
	Outcome good = in_child([] { return report_check_target(7, {}, {}); });
	EXPECT_EQ(good.status, 0);
	EXPECT_EQ(good.output, "pid 7 can be dumped.\n");
}

} // namespace bpfckpt::cli
