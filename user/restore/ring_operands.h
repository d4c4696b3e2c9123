/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What the SQEs of requests point to (io_uring/*.c, the *_prep() functions): times, iovecs, addresses, paths, message
// headers. The kernel takes copies before io_uring_enter(2) returns, so they lie in a mapping that goes away again.
//
// The header of a message that is received is another matter: results go back to it, so it stays where the program has
// it, and its content is lent for the moment of the submission. So is the value of a futex.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <linux/io_uring.h>
#include <sys/socket.h>

#include "images/document.pb.h"
#include "user/target/stub_process.h"

namespace bpfckpt::restore {

// struct user_msghdr of a receive, as the kernel had found it at the first submission.
struct ReceiveHeader {
	uint64_t address; // the program's
	msghdr content;
};

// What a wait for a futex found there when it was submitted.
struct FutexWord {
	uint64_t address;
	uint32_t flags; // FUTEX2_*
	uint64_t value;
};

// Those that must be found again; none of a wait that has not begun.
[[nodiscard]] std::vector<FutexWord> futex_words(const images::Request &request);

class Operands {
public:
	// At most what a request takes up.
	[[nodiscard]] static size_t most_bytes(const images::Request &request);

	explicit Operands(uint64_t mapping = 0) : mapping_(mapping) {}
	// Fills in what `sqe` points to.
	void add(const images::Request &request, io_uring_sqe &sqe);
	[[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
	[[nodiscard]] std::span<const ReceiveHeader> receive_headers() const { return receive_headers_; }
	void clear();

private:
	uint64_t put(const void *data, size_t size);
	uint64_t put_time(int64_t nanoseconds);
	uint64_t put_iovecs(const images::Request &request);
	uint64_t put_futexes(const images::Request &request);
	void add_message(const images::Request &request, io_uring_sqe &sqe);
	void add_open(const images::Request &request, io_uring_sqe &sqe);
	uint64_t put_name(const std::string &name);
	void add_attribute(const images::Request &request, io_uring_sqe &sqe);
	void add_epoll_event(const images::Request &request, io_uring_sqe &sqe);

	uint64_t mapping_;
	std::vector<std::byte> bytes_;
	std::vector<ReceiveHeader> receive_headers_;
};

// Memory of a program that holds for a moment what it held when a request was submitted first.
class Loans {
public:
	explicit Loans(target::Tracee &thread) : thread_(thread) {}
	// The value may have changed with nobody woken yet; a wait for what is there no longer would end at once.
	Result<> lend(const FutexWord &futex);
	Result<> lend(const ReceiveHeader &header);
	// What the kernel has written meanwhile stays.
	Result<> give_back();

private:
	struct Word {
		uint64_t address;
		uint32_t size;
		uint64_t value;
	};
	struct Header {
		uint64_t address;
		msghdr before;
		msghdr lent;
	};
	Result<> give_back(const Header &header);
	Result<> write(const Word &word);

	target::Tracee &thread_;
	std::vector<Word> words_; // as they were
	std::vector<Header> headers_;
};

} // namespace bpfckpt::restore
