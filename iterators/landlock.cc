// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "iterators/landlock.h"

#include <thread>

#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/util/unique_fd.h"

namespace bpfckpt::iterators {

// False where there are no domains.
static bool enter_domain()
{
	landlock_ruleset_attr rules = {};
	rules.handled_access_fs = LANDLOCK_ACCESS_FS_MAKE_BLOCK;
	UniqueFd ruleset(static_cast<int>(syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0)));
	return ruleset.valid() && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       syscall(SYS_landlock_restrict_self, ruleset.get(), 0) == 0;
}

Result<uint32_t> learn_landlock_word(const std::function<Result<std::vector<uint64_t>>()> &read)
{
	auto learn = [&]() -> Result<uint32_t> {
		std::vector<uint64_t> before = TRY(read());
		if (!enter_domain())
			return static_cast<uint32_t>(before.size());
		std::vector<uint64_t> words = TRY(read());
		for (uint32_t i = 0; i < before.size(); i++)
			if (before[i] != words[i] && static_cast<int64_t>(words[i]) < 0) // a kernel address
				return i;
		return make_error(Code::kKernelLacks, "cannot tell where the kernel keeps Landlock domains");
	};
	// Its own: nobody leaves a domain.
	Result<uint32_t> learned = 0U;
	std::thread([&] { learned = learn(); }).join();
	return learned;
}

} // namespace bpfckpt::iterators
