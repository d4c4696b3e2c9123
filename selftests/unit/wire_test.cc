// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "images/wire.h"

#include <gtest/gtest.h>

#include "selftests/unit/sample_document.h"

namespace bpfckpt::images {

namespace {

template <class Message>
WireContent content_of(const Message &message)
{
	return wire_content(*Message::descriptor(), message.SerializeAsString());
}

WireContent pipe_content(std::string_view bytes)
{
	return wire_content(*Pipe::descriptor(), bytes);
}

} // namespace

TEST(WireTest, all_of_a_document_is_known)
{
	EXPECT_FALSE(content_of(test::sample_document()).unknown_fields);
}

TEST(WireTest, an_unknown_field_is_found_at_any_depth)
{
	Document document = test::sample_document();
	google::protobuf::Message *deep = document.mutable_memory(0)->mutable_layout();
	deep->GetReflection()->MutableUnknownFields(deep)->AddVarint(1000, 1);
	EXPECT_TRUE(content_of(document).unknown_fields);
}

// As the parser takes them: both forms of a list of numbers, and nothing of another type than the field's.
TEST(WireTest, a_field_of_another_type_is_unknown)
{
	EXPECT_FALSE(pipe_content("\x2a\x02\x01\x02").unknown_fields) << "packets, packed";
	EXPECT_FALSE(pipe_content("\x28\x01\x28\x02").unknown_fields) << "packets, one by one";
	EXPECT_TRUE(pipe_content("\x2d\x01\x01\x01\x01").unknown_fields) << "packets, of 32 bits";
	EXPECT_TRUE(pipe_content("\x0a\x01\x01").unknown_fields) << "size, as a string";
	Pipe pipe;
	ASSERT_TRUE(pipe.ParseFromString("\x28\x01\x28\x02"));
	EXPECT_TRUE(pipe.GetReflection()->GetUnknownFields(pipe).empty());
	ASSERT_TRUE(pipe.ParseFromString("\x0a\x01\x01"));
	EXPECT_FALSE(pipe.GetReflection()->GetUnknownFields(pipe).empty());
}

TEST(WireTest, what_goes_beyond_its_end_is_not_known)
{
	EXPECT_TRUE(pipe_content("\x32\x05"
				 "abc")
			    .unknown_fields);
	EXPECT_TRUE(pipe_content("\x08").unknown_fields);
}

TEST(WireTest, only_strings_hold_escapes)
{
	File file;
	file.set_id('\\');
	file.mutable_pipe()->set_data("\\");
	EXPECT_FALSE(content_of(file).escapes);
	file.mutable_inotify()->add_watches()->set_path("a\\134b");
	EXPECT_TRUE(content_of(file).escapes);
}

} // namespace bpfckpt::images
