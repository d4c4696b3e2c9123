// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Rings of kernels to come, or of programs that this machine cannot run: refused by name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "user/collect/uring_index.h"

namespace bpfckpt::collect {

namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

class UringLimits : public testing::Test {
protected:
	UringLimits()
	{
		context_.document = &document_;
		record_.napi_mode = 255; // none
		ring_.set_complete(true);
	}
	std::vector<std::string> refusals()
	{
		ring_.clear_unsupported();
		context_.findings.clear();
		refuse_unsupported(record_, checks_, layout_, context_, ring_);
		EXPECT_EQ(context_.findings.size(), static_cast<size_t>(ring_.unsupported_size()));
		for (const Error &finding : context_.findings)
			EXPECT_FALSE(finding.hint.empty()) << finding.message;
		return {ring_.unsupported().begin(), ring_.unsupported().end()};
	}

	uring_ring_record record_ = {};
	RingChecks checks_ = {};
	iterators::KernelLayout layout_ = iterators::KernelLayout::load().value();
	images::Document document_;
	Context context_;
	images::Ring ring_;
};

} // namespace

TEST_F(UringLimits, a_plain_ring_is_not_refused)
{
	EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(UringLimits, setups_that_are_not_known)
{
	record_.flags = 1U << 21;
	EXPECT_THAT(refusals(), Contains(HasSubstr("flags 0x200000, which this version does not know")));
	record_.flags = 1U << 20;
	EXPECT_THAT(refusals(), Contains(HasSubstr("IORING_SETUP_SQ_REWIND")));
	record_.flags = 1U << 19;
	EXPECT_THAT(refusals(), Contains(HasSubstr("IORING_SETUP_SQE_MIXED")));
}

TEST_F(UringLimits, what_the_kernel_or_a_driver_has_a_part_in)
{
	record_.state = URING_ZCRX;
	EXPECT_THAT(refusals(), Contains(HasSubstr("IORING_REGISTER_ZCRX_IFQ")));
	record_.state = URING_BPF;
	EXPECT_THAT(refusals(), Contains(HasSubstr("BPF programs are attached to it")));
	record_.state = 0;
	record_.napi_mode = 1;
	EXPECT_THAT(refusals(), Contains(HasSubstr("IO_URING_NAPI_TRACKING_STATIC")));
	record_.napi_mode = 255;
	ring_.add_buffers()->set_kernel_buffer(true);
	EXPECT_THAT(refusals(), Contains(HasSubstr("belongs to the kernel")));
}

TEST_F(UringLimits, a_request_that_is_not_known)
{
	images::Request &request = *ring_.add_in_flight();
	request.set_opcode(static_cast<images::Opcode>(200));
	request.set_user_data(7);
	request.set_obstacle("its opcode is not known to this version");
	EXPECT_THAT(refusals(), Contains(HasSubstr("opcode 200 (user_data 0x7")));
}

TEST_F(UringLimits, completions_with_a_second_half)
{
	images::Cqe &cqe = *ring_.add_overflow();
	cqe.add_extra(0);
	cqe.add_extra(0);
	EXPECT_THAT(refusals(), IsEmpty());
	cqe.set_extra(1, 1);
	bool can_be_made = layout_.field("io_nop", "extra1").has_value();
	if (can_be_made)
		EXPECT_THAT(refusals(), IsEmpty());
	else
		EXPECT_THAT(refusals(), Contains("1 completions of 32 bytes are in its overflow list"));
}

TEST_F(UringLimits, requests_that_were_not_found)
{
	ring_.set_complete(false);
	ring_.set_in_flight_count(3);
	EXPECT_THAT(refusals(), Contains(HasSubstr("0 requests were found, the kernel counts 3")));
}

} // namespace bpfckpt::collect
