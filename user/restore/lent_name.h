/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// LentName: a name for an inode that has none, or not this one, for as long as it takes to open it. The object is made
// as it was, or, where the inode still exists under other names, found again by its handle. The directories above it
// that are gone come back for as long, too. The destructor takes everything away again.
#pragma once

#include <string>
#include <vector>

#include "images/file.pb.h"
#include "user/util/result.h"
#include "user/util/unique_fd.h"

namespace bpfckpt::restore {

class LentName {
public:
	// Taken by something else: the name is one next to it, and what the program reads in /proc/self/fd differs.
	// `flags` are those of open(2), for an O_TMPFILE.
	static Result<LentName> create(const images::File &file, int flags);
	LentName(LentName &&other) noexcept = default;
	LentName &operator=(LentName &&) = delete;
	~LentName();

	[[nodiscard]] Result<UniqueFd> open(int flags) const { return open_under(path_, flags); }
	// The inode was made, not found: its content, owner and times are still to be set.
	[[nodiscard]] bool is_new() const { return is_new_; }
	// The descriptor by which an O_TMPFILE was made, if it was; not valid otherwise.
	UniqueFd take_temporary(const images::File &file);
	// By a second name of the same inode (not of directories), for a file that was opened by it.
	Result<UniqueFd> open_also(const images::File &file, int flags);
	// Owner, mode and time of change, after the last write.
	Result<> set_attributes(const images::File &file) const;

	[[nodiscard]] static bool is_temporary(const images::File &file);

private:
	struct Name {
		UniqueFd directory;
		std::string name;

		[[nodiscard]] std::string place() const; // in /proc/self/fd
	};

	LentName() = default;
	[[nodiscard]] Result<UniqueFd> open_under(const std::string &path, int flags) const;
	int make_temporary(const char *path, int flags);
	Result<> make_nameless(const images::File &file, int flags);
	Result<> make_directories(const std::string &path);
	Result<std::string> name_for(const images::File &file, auto &&make);

	std::string wanted_;
	std::string path_;
	bool is_new_ = false;
	bool is_directory_ = false;
	bool is_nameless_ = false; // path_ is that of temporary_
	UniqueFd temporary_;
	std::vector<Name> names_;
	std::vector<std::string> directories_;
};

// The inode of a file that has other names; O_PATH.
Result<UniqueFd> open_by_handle(const images::File &file);

} // namespace bpfckpt::restore
