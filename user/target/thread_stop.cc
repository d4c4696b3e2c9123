// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/target/thread_stop.h"

#include <csignal>
#include <ctime>
#include <utility>

#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/target/tree_scan.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

namespace bpfckpt::target {

namespace {

constexpr long kTickNs = 10'000'000;

// No PTRACE_O_EXITKILL: the target outlives us. No TRACEEXIT: who exits may. TRACESYSGOOD is for borrowed_syscall.h.
constexpr unsigned long kOptions =
	PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD;

void no_operation(int) {}

} // namespace

Result<WaitTicks> WaitTicks::create()
{
	// A signal nobody else of us uses; its only purpose is EINTR, so without SA_RESTART.
	struct sigaction action = {};
	action.sa_handler = no_operation;
	::sigaction(SIGALRM, &action, nullptr);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);

	sigevent event = {};
	event.sigev_notify = SIGEV_THREAD_ID;
	event.sigev_signo = SIGALRM;
	event.sigev_notify_thread_id = ::gettid();
	timer_t timer;
	if (::timer_create(CLOCK_MONOTONIC, &event, &timer) < 0)
		return errno_error(errno, "cannot create a timer");
	WaitTicks ticks;
	ticks.timer_ = timer;
	ticks.owned_ = true;
	return ticks;
}

WaitTicks::WaitTicks(WaitTicks &&other) noexcept : timer_(other.timer_), owned_(std::exchange(other.owned_, false)) {}

WaitTicks::~WaitTicks()
{
	if (owned_)
		::timer_delete(timer_);
}

void WaitTicks::start()
{
	// Periodic: a tick that comes between a look at the time and waitpid(2) is lost, the next is not.
	itimerspec period = {.it_interval = {0, kTickNs}, .it_value = {0, kTickNs}};
	::timer_settime(timer_, 0, &period, nullptr);
}

void WaitTicks::stop()
{
	itimerspec period = {};
	::timer_settime(timer_, 0, &period, nullptr);
}

Result<> seize(pid_t tid)
{
	if (::ptrace(PTRACE_SEIZE, tid, 0, kOptions) == 0)
		return {};
	int err = errno;
	std::string object = fmt::format("thread {}", tid);
	if (err == ESRCH)
		return make_error(Code::kGone, "no such thread").on(object);
	pid_t tracer = tracer_of(tid).value_or(0);
	if (tracer == ::gettid())
		return {}; // attached when its parent made it
	if (tracer) {
		auto stat = read_task_stat(fmt::format("/proc/{}/stat", tracer));
		return make_error(Code::kUnsupported, "is traced by pid {} ({})", tracer, stat ? stat->comm : "?")
			.on(object)
			.with_hint("end the debugger or tracer, then try again");
	}
	return errno_error(err, "cannot trace")
		.on(object)
		.with_hint("run as root or with CAP_SYS_PTRACE; kernel.yama.ptrace_scope and LSMs may forbid it too");
}

void interrupt(pid_t tid)
{
	::ptrace(PTRACE_INTERRUPT, tid, 0, 0);
}

Result<ThreadStop> wait_for_stop(pid_t tid)
{
	for (;;) {
		int status;
		if (::waitpid(tid, &status, __WALL) < 0) {
			if (errno == EINTR)
				return ThreadStop{ThreadStop::kTick};
			if (errno == ECHILD)
				return ThreadStop{ThreadStop::kGone};
			return errno_error(errno, "cannot wait").on(fmt::format("thread {}", tid));
		}
		if (!WIFSTOPPED(status))
			return ThreadStop{ThreadStop::kGone};

		int event = status >> 16;
		int signal = WSTOPSIG(status);
		unsigned long message = 0;
		switch (event) {
		case PTRACE_EVENT_STOP:
			return ThreadStop{signal == SIGTRAP ? ThreadStop::kTrapped : ThreadStop::kGroupStopped};
		case PTRACE_EVENT_VFORK:
		case PTRACE_EVENT_CLONE:
		case PTRACE_EVENT_FORK:
			::ptrace(PTRACE_GETEVENTMSG, tid, 0, &message);
			// Every trap takes the pending interrupt down (ptrace_stop()).
			interrupt(tid);
			::ptrace(PTRACE_CONT, tid, 0, 0);
			return ThreadStop{event == PTRACE_EVENT_VFORK ? ThreadStop::kVfork : ThreadStop::kNewChild,
					  static_cast<pid_t>(message)};
		case 0:
			// Its signal has left the queue already: deliver it, as if nobody were looking.
			interrupt(tid);
			::ptrace(PTRACE_CONT, tid, 0, static_cast<unsigned long>(signal));
			break;
		default:
			interrupt(tid);
			::ptrace(PTRACE_CONT, tid, 0, 0);
		}
	}
}

void go_on_until_exec(pid_t tid, int wait_options)
{
	int status = 0;
	if (::waitpid(tid, &status, __WALL | wait_options) != tid || !WIFSTOPPED(status))
		return;
	int event = status >> 16;
	if (event == PTRACE_EVENT_EXEC)
		interrupt(tid);
	::ptrace(PTRACE_CONT, tid, 0, static_cast<unsigned long>(event ? 0 : WSTOPSIG(status)));
}

bool detach(pid_t tid)
{
	return ::ptrace(PTRACE_DETACH, tid, 0, 0) == 0 || errno != ESRCH;
}

bool take_end(pid_t tid)
{
	int status = 0;
	pid_t told = ::waitpid(tid, &status, __WALL | WNOHANG);
	if (told == tid && WIFSTOPPED(status))
		(void)detach(tid);
	return told != 0;
}

} // namespace bpfckpt::target
