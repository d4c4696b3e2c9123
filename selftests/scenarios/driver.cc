// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "selftests/scenarios/driver.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <set>
#include <sstream>

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftests/scenarios/process.h"
#include "user/util/unique_fd.h"

namespace fs = std::filesystem;

namespace bpfckpt::selftests {

// --- commands ------------------------------------------------------------------------------------------------------

static fs::path build_dir()
{
	return fs::read_symlink("/proc/self/exe").parent_path().parent_path().parent_path();
}

std::string bpfckpt_path()
{
	const char *given = getenv("BPFCKPT");
	return given ? given : (build_dir() / "bpfckpt").string();
}

bool is_sanitized()
{
	return getenv("TEST_SANITIZED");
}

std::string contents_of(int fd)
{
	std::string text(static_cast<size_t>(lseek(fd, 0, SEEK_END)), '\0');
	if (pread(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
		return {};
	return text;
}

static int exit_of(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Output run_command(const Args &command, milliseconds deadline)
{
	deadline *= patience();
	UniqueFd out(memfd_create("stdout", MFD_CLOEXEC)), err(memfd_create("stderr", MFD_CLOEXEC));
	std::vector<char *> argv;
	for (const std::string &word : command)
		argv.push_back(const_cast<char *>(word.c_str()));
	argv.push_back(nullptr);
	pid_t pid = fork();
	if (pid == 0) {
		close(0);
		if (open("/dev/null", O_RDONLY) == 0 && dup2(out.get(), 1) == 1 && dup2(err.get(), 2) == 2)
			execvp(argv[0], argv.data());
		_exit(127);
	}
	UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
	pollfd ended{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
	bool late = poll(&ended, 1, static_cast<int>(deadline.count())) == 0;
	if (late)
		kill(pid, SIGKILL);
	int status = 0;
	rusage usage{};
	wait4(pid, &status, 0, &usage);
	Output output{late ? 124 : exit_of(status), contents_of(out.get()), contents_of(err.get()), usage.ru_maxrss};
	if (late)
		ADD_FAILURE() << command[0] << " " << (command.size() > 1 ? command[1] : "") << " did not end within "
			      << deadline.count() << " ms\n"
			      << output.err;
	return output;
}

Output bpfckpt(Args args, milliseconds deadline)
{
	args.insert(args.begin(), bpfckpt_path());
	return run_command(args, deadline);
}

// --- JSON ----------------------------------------------------------------------------------------------------------

uint64_t number(const Json &value)
{
	if (value.is_number_unsigned() || value.is_number_integer())
		return value.get<uint64_t>();
	if (value.is_string())
		return strtoull(value.get_ref<const std::string &>().c_str(), nullptr, 0);
	ADD_FAILURE() << "not a number: " << value.dump();
	return 0;
}

Json where(const Json &array, const char *key, const Json &value)
{
	Json found = Json::array();
	if (!array.is_array())
		return found;
	for (const Json &element : array) {
		auto it = element.find(key);
		if (it == element.end())
			continue;
		if (*it == value || (value.is_number() && it->is_string() && number(*it) == value.get<uint64_t>()))
			found.push_back(element);
	}
	return found;
}

static Json parse_document(const Output &output, const std::string &command)
{
	EXPECT_EQ(output.exit, 0) << "bpfckpt " << command << ": " << output.err;
	Json document = output.exit == 0 ? Json::parse(output.out, nullptr, false) : Json::object();
	if (document.is_object())
		return document;
	ADD_FAILURE() << "bpfckpt " << command << " --json printed no JSON object:\n" << output.out.substr(0, 2000);
	return Json::object();
}

static Json parse_stats(const std::string &out)
{
	size_t start = out.find('{');
	if (start == std::string::npos)
		return nullptr;
	Json stats = Json::parse(out.substr(start, out.rfind('}') - start + 1), nullptr, false);
	return stats.is_discarded() ? Json() : stats;
}

// --- one program ---------------------------------------------------------------------------------------------------

Scenario::Scenario()
{
	// Orphans of a program, and what bpfckpt restores, become our children, so that they can be reaped.
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	const char *tmp = getenv("TMPDIR");
	std::string name = std::string(tmp ? tmp : "/tmp") + "/bpfckpt-test.XXXXXX";
	if (!mkdtemp(name.data())) {
		ADD_FAILURE() << name << ": " << strerror(errno);
		return;
	}
	base_dir_ = fs::canonical(name);
	work_dir_ = base_dir_ + "/work";
	fs::create_directory(work_dir_);
}

Scenario::~Scenario()
{
	kill_everything();
	std::error_code ignored;
	if (!base_dir_.empty())
		fs::remove_all(base_dir_, ignored);
}

std::string Scenario::log() const
{
	return slurp(work_dir_ + "/log");
}

bool Scenario::report_failure(const std::string &file, const std::string &what)
{
	ADD_FAILURE() << program_ << ": " << what << "\n" << slurp(work_dir_ + "/" + file) << "its output: " << log();
	return false;
}

bool Scenario::wait_for_file(const std::string &name, const std::string &failure, milliseconds deadline)
{
	auto exists = [&](const std::string &file) { return access((work_dir_ + "/" + file).c_str(), F_OK) == 0; };
	bool ended = false;
	eventually(
		[&] {
			ended = kill(pid_, 0) < 0 || status_field(pid_, "State").starts_with('Z');
			return exists(name) || exists(failure) || exists("skip") || ended;
		},
		deadline);
	if (exists(name))
		return true;
	if (exists("skip")) {
		skip_reason_ = slurp(work_dir_ + "/skip");
		return false;
	}
	if (exists(failure))
		return report_failure(failure, name == "ready" ? "set-up failed" : "round " + std::to_string(round_));
	return report_failure(failure,
			      ended ? "ended before " + name
				    : "no " + name + " within the deadline; state " + status_field(pid_, "State"));
}

bool Scenario::start(const std::string &program, const Args &args, SessionRole role)
{
	program_ = program;
	fs::path folder = build_dir() / "selftests" / (program.find('/') == std::string::npos ? "scenarios" : "");
	Args command{(folder / program).string()};
	command.insert(command.end(), args.begin(), args.end());
	pid_ = spawn_isolated(command, work_dir_, work_dir_ + "/log", role);
	if (pid_ < 0 || !wait_for_file("ready", "fail.0", kDeadline))
		return false;
	facts_ = slurp(work_dir_ + "/ready");
	return true;
}

std::string Scenario::fact(const std::string &key)
{
	std::istringstream lines(facts_);
	for (std::string line; std::getline(lines, line);) {
		if (line.starts_with(key + " "))
			return line.substr(key.size() + 1);
	}
	ADD_FAILURE() << program_ << " told nothing about " << key;
	return {};
}

bool Scenario::go(milliseconds deadline)
{
	std::string round = std::to_string(++round_);
	touch(work_dir_ + "/go." + round);
	return wait_for_file("ok." + round, "fail." + round, deadline);
}

bool Scenario::check_target()
{
	bool well = true;
	for (pid_t tid : threads_of(pid_)) {
		std::string state = status_field(tid, "State"), tracer = status_field(tid, "TracerPid");
		// A thread may end between the listing and the look, or be seen while it does.
		bool ending = tid != pid_ && !state.empty() && (state[0] == 'X' || state[0] == 'Z');
		if (state.empty() || tracer.empty() || ending ||
		    (std::string_view("RSDI").find(state[0]) != std::string_view::npos && tracer == "0"))
			continue;
		ADD_FAILURE() << program_ << " thread " << tid << ": state " << state << ", tracer " << tracer;
		well = false;
	}
	if (kill(pid_, 0) < 0 || threads_of(pid_).empty())
		return report_failure("", "is gone");
	return well;
}

Output Scenario::stop(int signal, milliseconds deadline)
{
	if (signal)
		kill(pid_, signal);
	else
		touch(work_dir_ + "/stop");
	bool ended = reap(deadline);
	EXPECT_TRUE(ended) << program_ << " does not end";
	Output output{ended ? exit_ : -1, log(), "", 0};
	kill_everything();
	return output;
}

// Waits for the end of the root, which is our child in every life of it.
bool Scenario::reap(milliseconds deadline)
{
	if (pid_ <= 0 || reaped_)
		return reaped_;
	int status = 0;
	reaped_ = eventually([&] { return waitpid(pid_, &status, WNOHANG) != 0; }, deadline);
	if (reaped_)
		exit_ = exit_of(status);
	return reaped_;
}

static std::set<pid_t> as_set(const std::vector<pid_t> &pids)
{
	return {pids.begin(), pids.end()};
}

void Scenario::kill_everything()
{
	if (pid_ <= 0)
		return;
	// Again until all are gone: a process may fork meanwhile, and zombies become ours only when their parent is
	// dead.
	std::set<pid_t> left;
	bool done = eventually(
		[&] {
			left.merge(as_set(family(reaped_ ? 0 : pid_, work_dir_)));
			std::erase_if(left, [](pid_t pid) {
				return waitpid(pid, nullptr, WNOHANG | __WALL) == pid || kill(pid, SIGKILL) < 0;
			});
			return left.empty();
		},
		milliseconds(5000));
	EXPECT_TRUE(done) << program_ << " (pid " << pid_ << ") left processes that cannot be killed";
	pid_ = -1;
}

// --- bpfckpt on it -------------------------------------------------------------------------------------------------

std::string Scenario::new_image_dir()
{
	return base_dir_ + "/images." + std::to_string(++images_);
}

Json Scenario::inspect(const Args &options)
{
	Args args{"inspect", "--json", "-t", std::to_string(pid_)};
	args.insert(args.end(), options.begin(), options.end());
	return parse_document(bpfckpt(args), "inspect");
}

DumpResult Scenario::dump(const Args &options, int expected_exit)
{
	std::string dir = new_image_dir();
	fs::create_directory(dir);
	Args args{"dump", "-t", std::to_string(pid_), "-D", dir, "--stats", "json"};
	args.insert(args.end(), options.begin(), options.end());
	std::vector<pid_t> members = family(pid_, work_dir_);
	Output output = bpfckpt(args);
	EXPECT_EQ(output.exit, expected_exit) << "bpfckpt dump of " << program_ << ": " << output.err << output.out;
	DumpResult result{output.exit, output.out, output.err, dir, parse_stats(output.out), output.max_rss_kb};
	if (output.exit == 0)
		last_images_ = dir;
	bool kills = std::ranges::none_of(options, [](const std::string &option) {
		return option == "-R" || option == "--leave-running" || option == "-s" || option == "--leave-stopped" ||
		       option == "--dry-run";
	});
	if (output.exit == 0 && kills) {
		EXPECT_TRUE(reap(milliseconds(5000))) << "dump did not end " << program_;
		for (pid_t pid : members)
			waitpid(pid, nullptr, WNOHANG | __WALL);
	}
	return result;
}

Json Scenario::show(const Args &options)
{
	Args args{"show", last_images_, "--json"};
	args.insert(args.end(), options.begin(), options.end());
	return parse_document(bpfckpt(args), "show");
}

bool Scenario::restore(const Args &options)
{
	Args args{"restore", "-d", "-D", last_images_};
	args.insert(args.end(), options.begin(), options.end());
	Output output;
	// A PID may have been taken meanwhile: most processes on a test machine end soon.
	eventually(
		[&] {
			output = bpfckpt(args);
			return output.exit != 6 || output.err.find("is in use by") == std::string::npos;
		},
		milliseconds(5000));
	EXPECT_EQ(output.exit, 0) << "bpfckpt restore of " << program_ << ": " << output.err << output.out;
	reaped_ = output.exit != 0;
	return output.exit == 0;
}

// --- the whole way -------------------------------------------------------------------------------------------------

const std::string &restore_obstacle()
{
	static const std::string obstacle = []() -> std::string {
		if (getenv("BPFCKPT_NO_RESTORE"))
			return "BPFCKPT_NO_RESTORE is set";
		Scenario smallest;
		if (!smallest.start("harness_idle"))
			return "the smallest program does not start";
		std::string dir = smallest.new_image_dir();
		fs::create_directory(dir);
		Output dumped = bpfckpt({"dump", "-t", std::to_string(smallest.pid()), "-D", dir});
		if (dumped.exit != 0)
			return "the smallest program cannot be dumped: " + dumped.err;
		waitpid(smallest.pid(), nullptr, WNOHANG);
		Output restored = bpfckpt({"restore", "-d", "-D", dir});
		return restored.exit == 0 ? "" : "the smallest program cannot be restored: " + restored.err;
	}();
	return obstacle;
}

bool is_brief()
{
	static const bool brief = [] {
		if (!getenv("TEST_BRIEF"))
			return false;
		std::cout << "note: TEST_BRIEF: scenarios are not inspected, most not dumped with -R, and restored "
			     "once, not "
			     "twice\n";
		return true;
	}();
	return brief;
}

// TEST_ROUNDS (make test-rounds): so many restores, and before each the program goes on after a dump.
static int rounds()
{
	static const char *const wanted = getenv("TEST_ROUNDS");
	return wanted ? std::max(static_cast<int>(strtol(wanted, nullptr, 10)), 1) : 0;
}

static bool go_on_after_dump(Scenario &scenario, const ScenarioOptions &options)
{
	Args leave_running = options.dump_args;
	leave_running.emplace_back("-R");
	return scenario.dump(leave_running).exit == 0 && scenario.check_target() && scenario.go(options.deadline);
}

static void verify_images(Scenario &scenario, const ScenarioOptions &options)
{
	SCOPED_TRACE("show");
	Json stored = scenario.show(options.inspect_args);
	if (options.verify && !stored.empty())
		options.verify(stored);
}

static void restore_some_times(Scenario &scenario, const ScenarioOptions &options, bool verify)
{
	int lives = rounds() ? rounds() : is_brief() ? 1 : 2;
	for (int life = 1; life <= lives; life++) {
		SCOPED_TRACE("restore " + std::to_string(life));
		if (rounds() && !go_on_after_dump(scenario, options))
			return;
		if (scenario.dump(options.dump_args).exit != 0)
			return;
		if (verify)
			verify_images(scenario, options);
		if (!scenario.restore(options.restore_args))
			return;
		if (!scenario.check_target() || !scenario.go(options.deadline))
			return;
	}
}

static bool dump_and_leave_running(Scenario &scenario, const ScenarioOptions &options)
{
	Args leave_running = options.dump_args;
	leave_running.emplace_back("-R");
	if (scenario.dump(leave_running).exit != 0)
		return false;
	scenario.check_target();
	verify_images(scenario, options);
	return scenario.go(options.deadline);
}

void run_scenario(const std::string &program, const ScenarioOptions &options)
{
	Scenario scenario;
	SCENARIO_START(scenario, program, options.args);
	if (!is_brief()) {
		SCOPED_TRACE("inspect");
		Json live = scenario.inspect(options.inspect_args);
		if (options.verify && !live.empty())
			options.verify(live);
	}
	const std::string &obstacle = options.no_restore.empty() ? restore_obstacle() : options.no_restore;
	bool only_restore = is_brief() && obstacle.empty() && !options.always_leave_running;
	if (!only_restore && !dump_and_leave_running(scenario, options))
		return;
	if (obstacle.empty())
		restore_some_times(scenario, options, only_restore && options.verify);
	else
		std::cout << "note: restore not tried: " << obstacle << "\n";
}

void run_refusal(const std::string &program, std::string_view text, const Args &dump_args, const Args &args)
{
	Scenario scenario;
	SCENARIO_START(scenario, program, args);
	Args options = dump_args;
	options.emplace_back("-R");
	DumpResult refused = scenario.dump(options, 3);
	EXPECT_NE(refused.err.find(text), std::string::npos) << "expected \"" << text << "\" in: " << refused.err;
	EXPECT_NE(bpfckpt({"show", refused.dir}).exit, 0) << "a refused dump left a checkpoint behind";
	scenario.check_target();
	scenario.go();
}

} // namespace bpfckpt::selftests
