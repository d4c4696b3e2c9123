/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Sockets: socket_record -> images::Socket.
#pragma once

#include <unordered_map>
#include <vector>

#include "iterators/file_reader.h"
#include "user/collect/context.h"

namespace bpfckpt::collect {

// All sockets at once, because peers name each other. Files are those in ctx.ids.files.
class SocketCollector {
public:
	SocketCollector(const iterators::FileRecords &records, const IdTable &files);

	void collect(const file_record &file, images::Socket &socket) const;

private:
	const IdTable &files_;
	uint64_t hz_;
	std::unordered_map<uint64_t, const socket_record *> by_file_;
	std::unordered_map<uint64_t, const socket_record *> by_sk_;
	std::unordered_map<uint64_t, std::vector<const socket_message_record *>> messages_;
};

} // namespace bpfckpt::collect
