// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "iterators/queue_reader.h"

#include "bpf/queue.skel.h"
#include "iterators/bpf_object.h"
#include "iterators/input_map.h"
#include "iterators/record_map.h"

namespace bpfckpt::iterators {

struct QueueReader::Objects {
	BpfObject<queue_bpf> object;
	InputMap inputs;
	RecordMap<queue_piece_record> pieces;

	explicit Objects(BpfObject<queue_bpf> loaded) : object(std::move(loaded)) {}
	Result<std::span<const queue_piece_record>> list(const bpf_program *program, uint64_t address);
};

Result<std::span<const queue_piece_record>> QueueReader::Objects::list(const bpf_program *program, uint64_t address)
{
	inputs.set({&address, 1});
	pieces.clear();
	TRY(run_syscall_program(program, {}));
	if (pieces.overflowed() || object->bss->queue_cut)
		return Error(Code::kLimit, "a queue is in more pieces than there is room for");
	return pieces.records();
}

QueueReader::QueueReader(std::unique_ptr<Objects> objects) : objects_(std::move(objects)) {}
QueueReader::QueueReader(QueueReader &&) noexcept = default;
QueueReader &QueueReader::operator=(QueueReader &&) noexcept = default;
QueueReader::~QueueReader() = default;

Result<QueueReader> QueueReader::load()
{
	auto object = TRY(BpfObject<queue_bpf>::open());
	bpf_map__set_max_entries(object->maps.queue_pieces, kMostPieces);
	TRY(object.load());
	auto objects = std::make_unique<Objects>(std::move(object));
	queue_bpf &skeleton = *objects->object.operator->();
	objects->inputs = TRY(InputMap::create(skeleton.maps.queue_inputs, &skeleton.bss->queue_inputs_count));
	objects->pieces = TRY(
		RecordMap<queue_piece_record>::create(skeleton.maps.queue_pieces, &skeleton.bss->queue_pieces_count));
	return QueueReader(std::move(objects));
}

Result<std::span<const queue_piece_record>> QueueReader::pieces_of_pipe(uint64_t pipe)
{
	return objects_->list(objects_->object->progs.list_pipe, pipe);
}

Result<std::span<const queue_piece_record>> QueueReader::pieces_of_socket(uint64_t sock)
{
	return objects_->list(objects_->object->progs.list_socket, sock);
}

} // namespace bpfckpt::iterators
