// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Where a connection goes to, in both ways in which kernels keep that: what a request is told by is its own, and not
// what lies behind it in the slab.
#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include <gtest/gtest.h>
#include <netinet/in.h>

#include "user/uring/decode.h"

namespace bpfckpt::uring {

namespace {

class UringSocket : public testing::Test {
protected:
	void SetUp() override
	{
		auto layout = iterators::KernelLayout::load();
		ASSERT_TRUE(layout) << layout.error().message;
		layout_ = std::move(*layout);
		auto field = layout_->field("io_async_msghdr", "addr");
		if (!field)
			GTEST_SKIP() << "this kernel has no address in struct io_async_msghdr";
		part_ = field->offset;
		ASSERT_LT(part_ + sizeof(sockaddr_in), async_.size());
		auto length = layout_->field("io_connect", "addr_len");
		ASSERT_TRUE(length);
		int size = sizeof(sockaddr_in);
		memcpy(record_.command + length->offset, &size, sizeof(size));
	}
	void put(size_t offset, uint16_t port)
	{
		sockaddr_in name = {};
		name.sin_family = AF_INET;
		name.sin_port = htons(port);
		memcpy(async_.data() + offset, &name, sizeof(name));
	}
	// 0: it is not known.
	uint16_t port()
	{
		record_.opcode = images::IORING_OP_CONNECT;
		RequestSource source;
		source.record = &record_;
		source.layout = &*layout_;
		source.async = async_;
		images::Request request;
		io_uring_sqe sqe = {};
		sqe.opcode = IORING_OP_CONNECT;
		if (!decode_connect(source, request, sqe).empty())
			return 0;
		sockaddr_in name = {};
		memcpy(&name, request.sockaddr().data(), std::min(sizeof(name), request.sockaddr().size()));
		return ntohs(name.sin_port);
	}

	std::optional<iterators::KernelLayout> layout_;
	size_t part_ = 0;
	uring_request_record record_{};
	std::array<uint8_t, 1024> async_{};
};

} // namespace

TEST_F(UringSocket, an_address_that_is_alone)
{
	put(0, 1);
	EXPECT_EQ(port(), 1);
}

TEST_F(UringSocket, an_address_that_is_part_of_a_message_header)
{
	put(part_, 2);
	EXPECT_EQ(port(), 2);
}

TEST_F(UringSocket, what_lies_behind_an_address_is_of_another)
{
	put(0, 1);
	put(part_, 2);
	EXPECT_EQ(port(), 1);
}

TEST_F(UringSocket, no_address_is_no_guess)
{
	EXPECT_EQ(port(), 0);
}

} // namespace bpfckpt::uring
