/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Which processes and threads restore can rebuild: docs/support.md as code. Pure, as file_support.h is. What is refused
// and has no place in the images is found where it is collected (user/collect/task_security.cc, task_attributes.cc).
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "images/document.pb.h"
#include "user/util/result.h"

namespace bpfckpt::policy {

class TaskSupport {
public:
	explicit TaskSupport(Findings &findings) : findings_(findings) {}
	// What a process has as a whole; its threads may not be there.
	void check(const images::Process &process);
	void check(const images::Process &process, const images::Thread &thread);

private:
	void check_pending(const google::protobuf::RepeatedPtrField<images::PendingSignal> &pending,
			   const std::string &object);
	void check_for_heirs(const images::Process &process);
	void refuse(std::string object, std::string message, std::string hint)
	{
		findings_.push_back(
			Error(Code::kUnsupported, std::move(message)).on(std::move(object)).with_hint(std::move(hint)));
	}

	Findings &findings_;
	std::unordered_map<uint32_t, uint32_t> spaces_; // Memory.id -> pid
};

void refuse_unsupported_tasks(const images::Document &document, Findings &findings);

} // namespace bpfckpt::policy
