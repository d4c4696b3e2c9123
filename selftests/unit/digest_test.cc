// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "images/digest.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "selftests/unit/temporary_directory.h"
#include "user/util/io.h"

namespace bpfckpt::images {

using test::TemporaryDirectory;

TEST(DigestTest, file_and_memory_agree_over_many_pieces)
{
	TemporaryDirectory root;
	for (size_t size : {size_t{0}, size_t{1}, kDigestPiece, kDigestPiece + 1, 5 * kDigestPiece + 12345}) {
		std::string bytes(size, '\0');
		for (size_t i = 0; i < size; i++)
			bytes[i] = static_cast<char>(i * 2654435761u >> 24);
		UniqueFd fd = open_at(AT_FDCWD, root / "x", O_RDWR | O_CREAT | O_TRUNC, 0600).value();
		ASSERT_TRUE(write_all(fd.get(), as_bytes(bytes)));
		EXPECT_EQ(digest_of_file(fd.get(), size).value(), digest_of(as_bytes(bytes))) << size;
		EXPECT_FALSE(digest_of_file(fd.get(), size + 1)) << "the file is shorter than that";
	}
}

} // namespace bpfckpt::images
