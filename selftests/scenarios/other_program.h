/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// A program of others that works with rings: started in a directory of its own, dumped in the middle of its work and
// restored. Whatever happens, it ends with the object, and its files are removed.
#pragma once

#include <string>

#include "selftests/scenarios/driver.h"

namespace bpfckpt::selftests {

class OtherProgram {
public:
	OtherProgram();
	~OtherProgram();
	OtherProgram(const OtherProgram &) = delete;
	OtherProgram &operator=(const OtherProgram &) = delete;

	// Returns when one of its processes has a ring; false if none has in time.
	bool start(const Args &command);
	[[nodiscard]] const std::string &dir() const { return dir_; }

	// It submits more requests.
	[[nodiscard]] bool goes_on() const;
	// Without options the tree ends with it.
	bool dump(const Args &options);
	bool restore();
	// dump -R, then twice dump and restore; after each it goes on. Fails the test otherwise.
	void live_on();

	// Its exit status; -1: it did not end.
	int wait_for_end();
	// What it has written to standard output and error.
	[[nodiscard]] std::string log() const;

private:
	[[nodiscard]] std::string images_of(unsigned number) const;
	void remove_images() const;
	[[nodiscard]] uint64_t submitted() const;
	[[nodiscard]] bool has_rings() const;

	std::string dir_, images_;
	pid_t pid_ = -1;
	unsigned count_ = 0;
	bool ended_ = false;
};

} // namespace bpfckpt::selftests
