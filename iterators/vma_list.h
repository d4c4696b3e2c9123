/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// The VMAs of one address space, by address: records in a row, or some from here and there in an array of records,
// because what fork(2) has made is in most of its VMAs as its parent is, and those are there once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <span>
#include <vector>

#include "iterators/vma_record.h"

namespace bpfckpt::iterators {

class VmaList {
public:
	// Of records, numbers of them.
	using Numbers = std::shared_ptr<const std::vector<uint32_t>>;

	VmaList() = default;
	VmaList(std::span<const vma_record> records) : records_(records) {}
	VmaList(const std::vector<vma_record> &records) : records_(records) {}
	VmaList(std::span<const vma_record> records, Numbers numbers) : records_(records), numbers_(std::move(numbers))
	{
	}

	[[nodiscard]] size_t size() const { return numbers_ ? numbers_->size() : records_.size(); }
	[[nodiscard]] bool empty() const { return size() == 0; }
	[[nodiscard]] const vma_record &operator[](size_t i) const { return records_[numbers_ ? (*numbers_)[i] : i]; }

	// Certainly so: others may be, too.
	[[nodiscard]] bool is_same(const VmaList &other) const { return numbers_ && numbers_ == other.numbers_; }

	class Iterator {
	public:
		using value_type = vma_record;
		using difference_type = ptrdiff_t;
		using iterator_concept = std::forward_iterator_tag;
		Iterator() = default;
		Iterator(const VmaList &list, size_t at) : list_(&list), at_(at) {}
		const vma_record &operator*() const { return (*list_)[at_]; }
		const vma_record *operator->() const { return &**this; }
		Iterator &operator++()
		{
			at_++;
			return *this;
		}
		Iterator operator++(int)
		{
			Iterator before = *this;
			at_++;
			return before;
		}
		bool operator==(const Iterator &other) const { return at_ == other.at_; }

	private:
		const VmaList *list_ = nullptr;
		size_t at_ = 0;
	};
	[[nodiscard]] Iterator begin() const { return {*this, 0}; }
	[[nodiscard]] Iterator end() const { return {*this, size()}; }

private:
	std::span<const vma_record> records_;
	Numbers numbers_;
};

} // namespace bpfckpt::iterators
