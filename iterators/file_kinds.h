/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// One open file of each kind whose f_op tells what it is, for bpf/file.bpf.c to learn from.
#pragma once

#include <array>
#include <vector>

#include "iterators/file_record.h"
#include "user/util/unique_fd.h"

namespace bpfckpt::iterators {

class SampleFiles {
public:
	// SO_RCVTIMEO of the sample socket: its value in jiffies tells HZ.
	static constexpr int kReceiveTimeout = 1000; // seconds

	// A kind that this kernel does not offer has no sample.
	SampleFiles();

	// By file_kind; -1: none.
	[[nodiscard]] const std::array<int, FILE_KIND_COUNT> &fds() const { return fds_; }

private:
	void add(file_kind kind, int fd);
	void add_pipe();
	void add_socket();

	std::array<int, FILE_KIND_COUNT> fds_;
	std::vector<UniqueFd> owned_;
};

} // namespace bpfckpt::iterators
