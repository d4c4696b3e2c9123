/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Private pages that fork(2) had left shared. Images name one copy for both processes; they are shared again because
// they are put into the creator before it forks. What the child has not, or has otherwise, is taken from it at once.
#pragma once

#include "user/restore/file.h"
#include "user/restore/pages.h"
#include "user/restore/tree.h"

namespace bpfckpt::restore {

// A piece of a mapping that both have, with pages that are one copy in the images.
struct ForkedPart {
	memory::Range range;
	const images::Vma *creators;
	const images::Vma *childs;
	std::vector<memory::Range> pages;
};

// Pure. By address.
std::vector<ForkedPart> forked_parts(const images::Memory &creator, const images::Memory &child);

class MemoryForks : public ForkHooks {
public:
	MemoryForks(const Plan &plan, const OpenFiles &files, const PageImage &pages)
		: plan_(plan), files_(files), pages_(pages)
	{
	}
	Result<> before_fork(Member &creator, const images::Process &child) override;
	Result<> after_fork(const Member &creator, Member &child) override;

private:
	[[nodiscard]] std::vector<ForkedPart> parts_of(const images::Process *creator,
						       const images::Process *child) const;

	const Plan &plan_;
	const OpenFiles &files_;
	const PageImage &pages_;
};

} // namespace bpfckpt::restore
