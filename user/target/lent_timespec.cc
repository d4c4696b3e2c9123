// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/target/lent_timespec.h"

#include <algorithm>
#include <span>

#include "user/target/lent_memory.h"

namespace bpfckpt::target {

constexpr int64_t kSecond = 1'000'000'000;

std::optional<LentTimespec> LentTimespec::at(pid_t tid, uint64_t address, int64_t unit_ns)
{
	LentTimespec place(address, unit_ns);
	if (!read_lent(tid, address, std::as_writable_bytes(std::span(&place.before_, 1))))
		return {};
	return place;
}

int64_t LentTimespec::original_ns() const
{
	if (before_.seconds > INT64_MAX / kSecond - 1)
		return INT64_MAX;
	return before_.seconds * kSecond + before_.fraction * unit_ns_;
}

bool LentTimespec::lend(pid_t tid, int64_t ns)
{
	int64_t units = (std::max<int64_t>(ns, 0) + unit_ns_ - 1) / unit_ns_;
	int64_t second = kSecond / unit_ns_;
	Value value = {.seconds = units / second, .fraction = units % second};
	written_ = value;
	return write_lent(tid, address_, std::as_bytes(std::span(&value, 1)));
}

bool LentTimespec::give_back(pid_t tid) const
{
	Value now;
	if (!written_)
		return true;
	if (!read_lent(tid, address_, std::as_writable_bytes(std::span(&now, 1))))
		return false;
	return now != *written_ || write_lent(tid, address_, std::as_bytes(std::span(&before_, 1)));
}

} // namespace bpfckpt::target
