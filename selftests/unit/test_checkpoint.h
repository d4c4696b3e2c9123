/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// A checkpoint of the sample document, and children that may come to grief with one.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "images/directory_writer.h"
#include "images/format.h"
#include "selftests/unit/sample_document.h"
#include "user/util/io.h"

namespace bpfckpt::images {

inline void write_pages(DirectoryWriter &writer)
{
	int pages = writer.raw_file(std::string(kPagesName)).value();
	ASSERT_TRUE(write_all(pages, as_bytes(std::string(test::kSamplePagesSize, 'p'))));
}

inline Result<Manifest> write_checkpoint(const std::string &path, const Document &document)
{
	DirectoryWriter writer = TRY(DirectoryWriter::create(path));
	write_pages(writer);
	TRY(writer.add(document));
	Manifest manifest;
	manifest.set_root_pid(4711);
	return writer.commit(std::move(manifest));
}

inline std::vector<std::string> files_in(const std::string &path)
{
	std::vector<std::string> names;
	for (const auto &entry : std::filesystem::directory_iterator(path))
		names.push_back(entry.path().filename());
	return names;
}

// Runs `body` in a child that may enter namespaces or die; returns its wait status.
inline int in_child(const std::function<int()> &body)
{
	pid_t pid = ::fork();
	if (pid == 0)
		::_exit(body());
	int status = -1;
	EXPECT_EQ(::waitpid(pid, &status, 0), pid);
	return status;
}

} // namespace bpfckpt::images
