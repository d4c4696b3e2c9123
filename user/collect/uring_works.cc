// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/uring_works.h"

#include <algorithm>

#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/stat.h>

#include "user/collect/uring_request_file.h"
#include "user/uring/rearm.h"
#include "user/util/unique_fd.h"

namespace bpfckpt::collect {

namespace {

constexpr uint32_t kFixedInput = 1U << 31; // SPLICE_F_FD_IN_FIXED

using References = std::unordered_map<uint32_t, uint64_t>; // by File.id

bool holds_input(const images::Request &request)
{
	return request.in_flight_file2() && request.where() == "io-wq worker" && !(request.op_flags() & kFixedInput);
}

// That a struct file has for certain besides descriptors: from slots and requests.
References references_of_rings(const images::Document &document)
{
	References references;
	for (const images::Ring &ring : document.rings()) {
		for (const images::FixedFile &file : ring.fixed_files())
			references[file.file()]++;
		for (const images::Request &request : ring.in_flight()) {
			if (!(request.flags() & IOSQE_FIXED_FILE))
				references[request.file()]++;
			if (holds_input(request))
				references[request.in_flight_file2()]++;
		}
	}
	return references;
}

} // namespace

void check_inputs(const UringIndex &index, const Context &context)
{
	auto has_inputs = [](const images::Ring &ring) { return std::ranges::any_of(ring.in_flight(), holds_input); };
	images::Document &document = *context.document;
	if (std::ranges::none_of(document.rings(), has_inputs))
		return;
	References known = references_of_rings(document), counted;
	for (const auto &[address, file] : index.files) {
		uint32_t id = context.ids.files.find(address);
		counted[id] = file->count;
		known[id] += index.fds.slots_of(address);
	}
	for (images::Ring &ring : *document.mutable_rings())
		for (images::Request &request : *ring.mutable_in_flight())
			if (holds_input(request) &&
			    counted[request.in_flight_file2()] < known[request.in_flight_file2()])
				request.set_obstacle(fmt::format(
					"descriptor {} is no longer what it takes its input from", request.fd()));
}

// --- FIFOs ---------------------------------------------------------------------------------------------------------

namespace {

// Where a path begins: the root of the process, what a descriptor names, or the working directory.
std::string base_of(const images::Process &process, const images::Request &request)
{
	if (request.path().starts_with('/'))
		return fmt::format("/proc/{}/root", process.pid());
	if (request.fd() == AT_FDCWD)
		return fmt::format("/proc/{}/cwd", process.pid());
	return fmt::format("/proc/{}/fd/{}", process.pid(), request.fd());
}

// Symbolic links lead where they lead for us: of a process with another root, absolute ones do not count.
bool leads_to_fifo(const images::Process &process, const images::Request &request)
{
	std::string path = base_of(process, request) + "/" + request.path();
	UniqueFd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
	struct stat status;
	return fd.valid() && !::fstat(fd.get(), &status) && S_ISFIFO(status.st_mode);
}

bool is_open(const images::Request &request)
{
	return request.opcode() == images::IORING_OP_OPENAT || request.opcode() == images::IORING_OP_OPENAT2;
}

} // namespace

void check_opens(images::Document &document)
{
	for (images::Ring &ring : *document.mutable_rings())
		for (images::Request &request : *ring.mutable_in_flight()) {
			if (!is_open(request) || !uring::has_worker(request) || !request.obstacle().empty())
				continue;
			const images::Process *process = process_of(document, request.tid());
			if (process && !leads_to_fifo(*process, request))
				request.set_obstacle(
					fmt::format("a worker is at it, and {} is no FIFO", request.path()));
		}
}

} // namespace bpfckpt::collect
