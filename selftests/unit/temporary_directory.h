/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// A directory under /tmp that is gone, with all that is in it, at the end of the scope.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace bpfckpt::test {

class TemporaryDirectory {
public:
	TemporaryDirectory()
	{
		std::string name = (std::filesystem::temp_directory_path() / "bpfckpt-test-XXXXXX").string();
		if (!::mkdtemp(name.data()))
			throw std::runtime_error("cannot create a temporary directory");
		path_ = name;
	}
	TemporaryDirectory(const TemporaryDirectory &) = delete;
	TemporaryDirectory &operator=(const TemporaryDirectory &) = delete;
	~TemporaryDirectory()
	{
		std::error_code ignored;
		std::filesystem::remove_all(path_, ignored);
	}

	[[nodiscard]] std::string operator/(const std::string &name) const { return path_ + "/" + name; }
	[[nodiscard]] const std::string &path() const { return path_; }

private:
	std::string path_;
};

} // namespace bpfckpt::test
