// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/sysv_shm.h"

#include <algorithm>
#include <unordered_map>

namespace bpfckpt::collect {

Result<> SysvSegments::capture(const iterators::VmaRecords &vmas)
{
	bool any = false;
	for (const iterators::AddressSpace &space : vmas.spaces)
		any = any || std::ranges::any_of(space.vmas, [&](const vma_record &vma) {
			      return vmas.kinds.sysv_ops && vma.ops == vmas.kinds.sysv_ops;
		      });
	segments_.clear();
	if (any)
		segments_ = TRY(list_sysv_segments());
	return {};
}

static void describe(const SysvSegment &segment, images::SysvSegment &message)
{
	message.set_id(segment.id);
	message.set_key(segment.key);
	message.set_mode(segment.mode);
	message.set_uid(segment.uid);
	message.set_gid(segment.gid);
	message.set_creator_uid(segment.creator_uid);
	message.set_creator_gid(segment.creator_gid);
	message.set_creator_pid(segment.creator_pid);
	message.set_last_pid(segment.last_pid);
	message.set_attached(segment.attached);
	message.set_size(segment.size);
	message.set_attach_time(segment.attach_time);
	message.set_detach_time(segment.detach_time);
	message.set_change_time(segment.change_time);
}

void SysvSegments::add_to(Context &context) const
{
	std::unordered_map<uint32_t, images::SharedMemory *> objects;
	for (images::SharedMemory &object : *context.document->mutable_shared_memory())
		objects.emplace(object.id(), &object);
	for (const images::Memory &memory : context.document->memory()) {
		for (const images::Vma &vma : memory.vmas()) {
			auto object = objects.find(vma.shared_memory());
			if (vma.kind() != images::Vma::SYSV_SHM || object == objects.end() ||
			    object->second->has_sysv())
				continue;
			auto segment =
				std::ranges::find(segments_, object->second->inode(), [](const SysvSegment &one) {
					return static_cast<uint64_t>(static_cast<uint32_t>(one.id));
				});
			if (segment != segments_.end())
				describe(*segment, *object->second->mutable_sysv());
		}
	}
}

} // namespace bpfckpt::collect
