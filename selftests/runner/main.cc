// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// main() of all GoogleTest programs: a line per test, and a results file that survives a crash. $BPFCKPT_RESULTS names
// the file; each test appends "started" before and "passed", "failed" or "skipped" after it, which summary.awk adds up.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

std::string full_name(const testing::TestInfo &test)
{
	return std::string(test.test_suite_name()) + "." + test.name();
}

std::string one_line(std::string text)
{
	for (char &c : text) {
		if (c == '\n' || c == '\t')
			c = ' ';
	}
	return text;
}

class LinePrinter : public testing::EmptyTestEventListener {
public:
	explicit LinePrinter(const char *results) : results_(results ? fopen(results, "ae") : nullptr, fclose_if_open)
	{
	}

	void OnTestStart(const testing::TestInfo &test) override
	{
		skip_reason_.clear();
		record("started", test, "");
	}

	void OnTestPartResult(const testing::TestPartResult &part) override
	{
		if (part.skipped())
			skip_reason_ = one_line(part.message());
		if (!part.failed())
			return;
		printf("%s:%d: %s\n", part.file_name() ? part.file_name() : "?", part.line_number(), part.message());
		fflush(stdout);
	}

	void OnTestEnd(const testing::TestInfo &test) override
	{
		const testing::TestResult &result = *test.result();
		auto ms = static_cast<long>(result.elapsed_time());
		if (result.Skipped() && !result.Failed()) {
			printf("skip    %s: %s\n", full_name(test).c_str(), skip_reason_.c_str());
			record("skipped", test, skip_reason_);
		} else {
			printf("%s  %s (%ld ms)\n", result.Failed() ? "FAILED" : "ok    ", full_name(test).c_str(), ms);
			record(result.Failed() ? "failed" : "passed", test, "");
		}
		fflush(stdout);
	}

private:
	static void fclose_if_open(FILE *file)
	{
		if (file)
			fclose(file);
	}

	void record(const char *what, const testing::TestInfo &test, const std::string &reason)
	{
		if (!results_)
			return;
		fprintf(results_.get(), "%s\t%s\t%s\n", what, full_name(test).c_str(), reason.c_str());
		fflush(results_.get());
	}

	std::unique_ptr<FILE, void (*)(FILE *)> results_;
	std::string skip_reason_;
};

} // namespace

int main(int argc, char **argv)
{
	testing::InitGoogleMock(&argc, argv);
	testing::TestEventListeners &listeners = testing::UnitTest::GetInstance()->listeners();
	delete listeners.Release(listeners.default_result_printer());
	listeners.Append(new LinePrinter(getenv("BPFCKPT_RESULTS")));
	return RUN_ALL_TESTS();
}
