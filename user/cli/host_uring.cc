// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What restoring rings takes from io_uring. A host without it still dumps processes that have no ring.
#include <array>
#include <memory>

#include <liburing.h>

#include "user/cli/host_features.h"
#include "user/util/uring_abi.h"

namespace bpfckpt::cli {

namespace {

constexpr const char *kNoRings = "only processes without rings";
// include/uapi/linux/io_uring.h of newer kernels than the build machine's.
constexpr unsigned kNopInjectResult = 1;        // since v6.10
constexpr unsigned kMsgRingFlagsPass = 1u << 1; // since v6.3

class Ring {
public:
	static Result<Ring> create(unsigned flags = 0)
	{
		auto memory = std::make_unique<io_uring>();
		io_uring_params params{};
		params.flags = flags;
		int err = -::io_uring_queue_init_params(4, memory.get(), &params);
		if (err == 0)
			return Ring(memory.release(), params.features);
		if (err == EPERM)
			return make_error(Code::kPermission,
					  "forbidden by kernel.io_uring_disabled, or a seccomp filter");
		return make_error(Code::kKernelLacks, "{}", strerror(err));
	}
	[[nodiscard]] io_uring *get() const { return ring_.get(); }
	[[nodiscard]] unsigned features() const { return features_; }

	// The result of one request. What the kernel refuses gives a negative one.
	Result<int> submit(void (*prepare)(io_uring *, io_uring_sqe *)) const
	{
		io_uring_sqe *sqe = ::io_uring_get_sqe(get());
		prepare(get(), sqe);
		int submitted = ::io_uring_submit_and_wait(get(), 1);
		if (submitted < 0)
			return errno_error(-submitted, "io_uring_enter");
		io_uring_cqe *cqe = nullptr;
		if (int err = -::io_uring_peek_cqe(get(), &cqe); err)
			return errno_error(err, "no completion");
		int result = cqe->res;
		::io_uring_cqe_seen(get(), cqe);
		return result;
	}

private:
	struct Exit {
		void operator()(io_uring *ring) const
		{
			::io_uring_queue_exit(ring);
			delete ring;
		}
	};
	Ring(io_uring *ring, unsigned features) : ring_(ring), features_(features) {}
	std::unique_ptr<io_uring, Exit> ring_;
	unsigned features_;
};

Result<std::string> probe_setup()
{
	Ring ring = TRY(Ring::create());
	static constexpr auto kNames = std::to_array<const char *>(
		{"SINGLE_MMAP", "NODROP", "SUBMIT_STABLE", "RW_CUR_POS", "CUR_PERSONALITY", "FAST_POLL", "POLL_32BITS",
		 "SQPOLL_NONFIXED", "EXT_ARG", "NATIVE_WORKERS", "RSRC_TAGS", "CQE_SKIP", "LINKED_FILE", "REG_REG_RING",
		 "RECVSEND_BUNDLE", "MIN_TIMEOUT", "RW_ATTR", "NO_IOWAIT"});
	std::string names;
	for (size_t i = 0; i < kNames.size(); i++)
		if (ring.features() >> i & 1)
			names += fmt::format("{}{}", names.empty() ? "" : " ", kNames[i]);
	return names;
}

Result<std::string> probe_opcodes()
{
	Ring ring = TRY(Ring::create());
	std::unique_ptr<io_uring_probe, decltype(&::io_uring_free_probe)> probe(::io_uring_get_probe_ring(ring.get()),
										::io_uring_free_probe);
	if (!probe)
		return make_error(Code::kKernelLacks, "IORING_REGISTER_PROBE fails");
	int supported = 0;
	for (int i = 0; i <= probe->last_op; i++)
		supported += ::io_uring_opcode_supported(probe.get(), i);
	if (!::io_uring_opcode_supported(probe.get(), IORING_OP_MSG_RING))
		return make_error(Code::kKernelLacks, "IORING_OP_MSG_RING is not among {} opcodes", supported);
	return fmt::format("{} of {}", supported, probe->last_op + 1);
}

Result<std::string> probe_message_flags()
{
	Ring ring = TRY(Ring::create());
	int result = TRY(ring.submit([](io_uring *to, io_uring_sqe *sqe) {
		::io_uring_prep_msg_ring(sqe, to->ring_fd, 0, 1, 0);
		sqe->msg_ring_flags = kMsgRingFlagsPass;
	}));
	if (result < 0)
		return make_error(Code::kKernelLacks, "{}", strerror(-result));
	return "";
}

Result<std::string> probe_injected_result()
{
	Ring ring = TRY(Ring::create());
	int result = TRY(ring.submit([](io_uring *, io_uring_sqe *sqe) {
		::io_uring_prep_nop(sqe);
		sqe->rw_flags = static_cast<int>(kNopInjectResult);
		sqe->len = 42;
	}));
	if (result != 42)
		return make_error(Code::kKernelLacks, "the flag is not known");
	return "";
}

Result<std::string> probe_no_sqarray()
{
	TRY(Ring::create(kSetupNoSqArray));
	return "";
}

constexpr auto kProbes = std::to_array<Probe>({
	{"io_uring", "io_uring_setup", "restoring rings", kNoRings, probe_setup},
	{"io_uring", "opcodes, with IORING_OP_MSG_RING", "restoring completions that were not read", kNoRings,
	 probe_opcodes},
	{"io_uring", "IORING_MSG_RING_FLAGS_PASS", "restoring flags of completions",
	 "rings with such completions are refused", probe_message_flags},
	{"io_uring", "IORING_NOP_INJECT_RESULT", "restoring results of completions", "IORING_OP_MSG_RING does it",
	 probe_injected_result},
	{"io_uring", "IORING_SETUP_NO_SQARRAY", "restoring rings that were set up with it", "none can exist here",
	 probe_no_sqarray},
});

} // namespace

std::span<const Probe> uring_probes()
{
	return kProbes;
}

} // namespace bpfckpt::cli
