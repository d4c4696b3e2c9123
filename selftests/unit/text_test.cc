// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "images/text.h"

#include <gtest/gtest.h>

namespace bpfckpt::images {

TEST(TextTest, any_bytes_round_trip_as_utf8)
{
	for (std::string bytes : {"", "plain", "back\\slash", "caf\xc3\xa9", "\xff", "\xc3", "\xed\xa0\x80",
				  "\xf4\x90\x80\x80", "\xc0\xaf", "\xf0\x9f\x90\x9d", "\\134"}) {
		std::string text = encode_text(bytes);
		EXPECT_EQ(decode_text(text).value(), bytes);
		std::string_view rest = text;
		while (!rest.empty()) {
			ASSERT_NE(utf8_length(rest), 0u) << text;
			rest.remove_prefix(utf8_length(rest));
		}
	}
	EXPECT_EQ(encode_text("caf\xc3\xa9"), "caf\xc3\xa9");
	EXPECT_EQ(encode_text("a\xff"), "a\\377");
	EXPECT_FALSE(decode_text("\\9"));
	EXPECT_FALSE(decode_text("\\777"));
}

} // namespace bpfckpt::images
