/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// InputMap: addresses for a BPF program to walk, written by user space before it runs: a mmapable array map of __u64,
// and the number of those that are set, in the object's .bss.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include <bpf/libbpf.h>

#include "user/util/mapping.h"
#include "user/util/result.h"

namespace bpfckpt::iterators {

class InputMap {
public:
	static Result<InputMap> create(const bpf_map *map, uint32_t *count)
	{
		InputMap result;
		result.capacity_ = bpf_map__max_entries(map);
		result.count_ = count;
		result.mapping_ = TRY(Mapping::create((result.capacity_ * sizeof(uint64_t) + 4095) / 4096 * 4096,
						      PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map)));
		return result;
	}
	[[nodiscard]] uint32_t capacity() const { return capacity_; }
	void set(std::span<const uint64_t> addresses)
	{
		*count_ = static_cast<uint32_t>(std::min<size_t>(addresses.size(), capacity_));
		std::copy_n(addresses.begin(), *count_, static_cast<uint64_t *>(mapping_.data()));
	}

private:
	Mapping mapping_;
	uint32_t *count_ = nullptr;
	uint32_t capacity_ = 0;
};

} // namespace bpfckpt::iterators
