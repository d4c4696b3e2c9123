/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// The outside of a scenario (scenario.h is the inside): starts the program as a process that shares nothing with us,
// runs bpfckpt on it, and lets it check itself. Whatever happens, the destructor ends the program, its descendants and
// what was restored from it, and removes its directory.
#pragma once

#include <chrono>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include <gtest/gtest.h>

// A key that is missing in a const document fails the test instead of ending the program.
[[noreturn]] inline void json_assertion_failed(const char *condition)
{
	throw std::out_of_range(condition);
}
#define JSON_ASSERT(condition) ((condition) ? void() : json_assertion_failed("JSON: " #condition))
#include <nlohmann/json.hpp>

#include "selftests/scenarios/process.h"

namespace bpfckpt::selftests {

using Json = nlohmann::json;
using Args = std::vector<std::string>;
using std::chrono::milliseconds;

constexpr milliseconds kDeadline{20000};

struct Output {
	int exit = -1; // 128 + signal if it was killed; 124 if the deadline passed (it was killed then)
	std::string out;
	std::string err;
	long max_rss_kb = 0;
};

struct DumpResult {
	int exit = -1;
	std::string out;
	std::string err;
	std::string dir;
	Json stats; // of --stats json; null if there are none
	long max_rss_kb = 0;
};

// Runs a command to its end; its stdin is /dev/null. A deadline that passes is a failure of the test.
Output run_command(const Args &command, milliseconds deadline = kDeadline);

// All bytes of a file that is open for reading, whatever its position.
std::string contents_of(int fd);

// bpfckpt under test: $BPFCKPT, or the one of this build.
std::string bpfckpt_path();
// That it has sanitizers: TEST_SANITIZED, set by `make asan`.
bool is_sanitized();
// TEST_BRIEF: on machines that are slow by nature (selftests/vm), where a command takes seconds. What inspect shows of
// a program is what show prints of its dump, and a second restore does what the first has done.
bool is_brief();
Output bpfckpt(Args args, milliseconds deadline = kDeadline);

// A fact of a program, a JSON number, or a JSON string with a number in it (64 bit in protobuf's JSON).
uint64_t number(const Json &value);
// Elements of `array` for which key == value (numbers also as strings); an empty array if there is no such array.
Json where(const Json &array, const char *key, const Json &value);

class Scenario {
public:
	Scenario();
	~Scenario();
	Scenario(const Scenario &) = delete;
	Scenario &operator=(const Scenario &) = delete;

	// Starts build/selftests/scenarios/<program> ("echo/echo_server": that of another folder) and waits until it is
	// ready. False when it is not, or when it skips; the test has failed or is skipped then, and should return:
	// `ASSERT_TRUE(s.start("timer_posix"))` or the macro below.
	bool start(const std::string &program, const Args &args = {}, SessionRole role = SessionRole::kLeader);
	[[nodiscard]] const std::string &skip_reason() const { return skip_reason_; }

	// What the program told with scenario_tell(); fails the test if it did not.
	std::string fact(const std::string &key);
	[[nodiscard]] pid_t pid() const { return pid_; }
	[[nodiscard]] const std::string &work_dir() const { return work_dir_; }
	[[nodiscard]] std::string log() const; // what the program has printed
	// A fresh name for an image directory, outside of the program's own directory; not created.
	std::string new_image_dir();

	// bpfckpt inspect --json of the program.
	Json inspect(const Args &options = {});
	// bpfckpt dump into a fresh directory. Give "-R" unless the program shall end.
	DumpResult dump(const Args &options, int expected_exit = 0);
	// bpfckpt show --json of the last dump.
	Json show(const Args &options = {});
	// bpfckpt restore -d of the last dump.
	bool restore(const Args &options = {});

	// The next round; a check that does not hold inside the program fails the test with the program's words.
	bool go(milliseconds deadline = kDeadline);
	// The program is there, runs (or sleeps), is not stopped and not traced, nor is any thread of it.
	bool check_target();
	// Lets the program end by itself, because it is told to or by a signal; gives its exit and, as `out`, its log.
	// Then does what the destructor does.
	Output stop(int signal = 0, milliseconds deadline = kDeadline);

private:
	bool wait_for_file(const std::string &name, const std::string &failure, milliseconds deadline);
	bool report_failure(const std::string &file, const std::string &what);
	bool reap(milliseconds deadline);
	void kill_everything();

	std::string base_dir_; // holds work_dir_ and the images
	std::string work_dir_;
	std::string last_images_;
	std::string program_;
	std::string skip_reason_;
	std::string facts_;
	pid_t pid_ = -1;
	bool reaped_ = false;
	int exit_ = -1;
	int round_ = 0;
	int images_ = 0;
};

// Start or leave the test: skipped when the program says that the kernel lacks what it needs, failed otherwise.
#define SCENARIO_START(scenario, ...)                                     \
	do {                                                              \
		if (!(scenario).start(__VA_ARGS__)) {                     \
			if (!(scenario).skip_reason().empty())            \
				GTEST_SKIP() << (scenario).skip_reason(); \
			FAIL() << "the program did not start";            \
		}                                                         \
	} while (0)

struct ScenarioOptions {
	Args args = {};         // of the program
	Args inspect_args = {}; // for inspect and show, e.g. {"--timers"}
	Args dump_args = {};    // besides -R
	Args restore_args = {}; // besides -d
	// Holds for the JSON of inspect, and for that of show.
	std::function<void(const Json &)> verify = {};
	// Not empty: restore is not tried, for this reason.
	std::string no_restore = {};
	milliseconds deadline = kDeadline; // of one round
	bool always_leave_running = false; // dump -R also with TEST_BRIEF: the program is about being stopped
};

// inspect and verify; dump -R; show and verify; round; then, where this build can restore: dump, restore, round, twice.
// TEST_BRIEF=1: no inspect, no dump -R where always_leave_running does not ask for it, one restore.
// TEST_ROUNDS=20: twenty times dump -R, round, dump, restore, round.
void run_scenario(const std::string &program, const ScenarioOptions &options = {});

// dump is refused with exit 3 and `text` in its message, leaves no checkpoint behind, and the program does not notice.
void run_refusal(const std::string &program, std::string_view text, const Args &dump_args = {}, const Args &args = {});

// Empty if this build can restore the smallest program, else why not. BPFCKPT_NO_RESTORE=1 turns restore off.
const std::string &restore_obstacle();

} // namespace bpfckpt::selftests
