// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What images can hold and restore cannot rebuild (docs/support.md), object by object: the lists that dump asks too
// (user/policy/), and what is wrong with images only.
#include "user/restore/plan.h"

#include <algorithm>

#include <sys/stat.h>

#include "user/policy/file_support.h"
#include "user/policy/memory_support.h"
#include "user/policy/task_support.h"
#include "user/restore/file.h"
#include "user/uring/rearm.h"

namespace bpfckpt::restore {

namespace {

class SupportCheck {
public:
	SupportCheck(const Plan &plan, Findings &findings) : plan_(plan), findings_(findings) {}
	void run();

private:
	void check(const images::Process &process);
	void check(const images::Process &process, const images::Thread &thread);
	void check(const images::File &file);
	void check(const images::Ring &ring);
	void refuse(std::string object, std::string message,
		    std::string hint = "see docs/support.md for what restore rebuilds")
	{
		findings_.push_back(
			Error(Code::kUnsupported, std::move(message)).on(std::move(object)).with_hint(std::move(hint)));
	}

	const Plan &plan_;
	Findings &findings_;
};

void SupportCheck::check(const images::Process &process)
{
	std::string object = name_of(process);
	if (process.state() == images::Process::ZOMBIE)
		return;
	if (std::ranges::none_of(process.threads(), is_user))
		return refuse(object, "has no threads in the images");
	if (!plan_.memory_of(process))
		return refuse(object, "has no address space in the images");
	for (const images::Thread &thread : process.threads())
		check(process, thread);
}

void SupportCheck::check(const images::Process &process, const images::Thread &thread)
{
	if (!is_user(thread))
		return;
	if (thread.prstatus().size() != 216)
		refuse(fmt::format("thread {} of {}", thread.tid(), name_of(process)),
		       thread.prstatus().empty() ? "has no registers" : "has registers of another architecture");
}

void SupportCheck::check(const images::File &file)
{
	bool gone = file.deleted() && S_ISREG(file.mode());
	if (gone && !file.links() && !file.has_ghost() && file.size())
		refuse(name_of(file), "was deleted and its content is not in the images");
}

void SupportCheck::check(const images::Ring &ring)
{
	std::string object = fmt::format("ring {}", ring.id());
	bool known = std::ranges::all_of(ring.in_flight(), [&](const images::Request &request) {
		return request.class_() == images::Request::REARMABLE ||
		       (request.class_() == images::Request::COMPLETED &&
			uring::completion_obstacle(ring, request).empty());
	});
	if (!known || ring.in_flight_count() != static_cast<uint32_t>(ring.in_flight_size()) + ring.notifications())
		refuse(object,
		       fmt::format("has {} requests in flight, and not all of them are known", ring.in_flight_count()));
	for (const std::string &state : ring.unsupported())
		refuse(object, state);
}

void SupportCheck::run()
{
	const images::Document &document = *plan_.document;
	// What a dump refuses, too. That a connection was dumped is no reason that it could be restored; how much
	// is taken in was the dump's to decide.
	policy::refuse_unsupported_tasks(document, findings_);
	policy::refuse_unsupported_memory(document, findings_);
	policy::refuse_unsupported_files(document, {.tcp_established = true, .ghost_limit = UINT64_MAX}, findings_);
	for (const images::Process &process : plan_.document->processes())
		check(process);
	for (const images::File *file : plan_.open_files)
		check(*file);
	for (const images::Ring &ring : plan_.document->rings())
		check(ring);
}

} // namespace

void check_support(const Plan &plan, Findings &findings)
{
	SupportCheck(plan, findings).run();
}

} // namespace bpfckpt::restore
