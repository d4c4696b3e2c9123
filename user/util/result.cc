// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/util/result.h"

namespace bpfckpt {

Code code_of_errno(int err)
{
	switch (err) {
	case EPERM:
	case EACCES:
		return Code::kPermission;
	case ESRCH:
	case ENOENT:
		return Code::kGone;
	case ENOSPC:
	case EDQUOT:
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case E2BIG:
		return Code::kLimit;
	case EBUSY:
	case EAGAIN:
		return Code::kBusy;
	case ETIMEDOUT:
		return Code::kTimeout;
	case ENOSYS:
	case EOPNOTSUPP:
		return Code::kKernelLacks;
	default:
		return Code::kInternal;
	}
}

int exit_status(Code code)
{
	switch (code) {
	case Code::kUsage:
		return 2;
	case Code::kUnsupported:
		return 3;
	case Code::kPermission:
		return 4;
	case Code::kKernelLacks:
		return 5;
	case Code::kCorrupt:
	case Code::kMismatch:
		return 6;
	case Code::kTimeout:
		return 7;
	case Code::kBusy:
	case Code::kGone:
	case Code::kLimit:
	case Code::kInternal:
		return 1;
	}
	return 1;
}

const char *name_of(Code code)
{
	switch (code) {
	case Code::kUnsupported:
		return "unsupported";
	case Code::kKernelLacks:
		return "kernel lacks";
	case Code::kPermission:
		return "permission";
	case Code::kBusy:
		return "busy";
	case Code::kGone:
		return "gone";
	case Code::kCorrupt:
		return "corrupt";
	case Code::kMismatch:
		return "mismatch";
	case Code::kLimit:
		return "limit";
	case Code::kTimeout:
		return "timeout";
	case Code::kUsage:
		return "usage";
	case Code::kInternal:
		return "internal";
	}
	return "internal";
}

} // namespace bpfckpt
