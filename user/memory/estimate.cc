// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/memory/estimate.h"

#include <cstdlib>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <utility>

#include "user/memory/page_map.h"
#include "user/util/io.h"

namespace bpfckpt::memory {

// Objects without a path, each once.
class ObjectBytes {
public:
	void add(int dir, const char *link)
	{
		struct stat status = {};
		if (fstatat(dir, link, &status, 0) < 0 || !S_ISREG(status.st_mode) || status.st_nlink != 0)
			return;
		if (seen_.emplace(status.st_dev, status.st_ino).second)
			bytes_ += static_cast<uint64_t>(status.st_blocks) * 512;
	}
	[[nodiscard]] uint64_t bytes() const { return bytes_; }

private:
	std::set<std::pair<dev_t, ino_t>> seen_;
	uint64_t bytes_ = 0;
};

static void add_open(pid_t pid, ObjectBytes &objects)
{
	std::unique_ptr<DIR, int (*)(DIR *)> dir(opendir(fmt::format("/proc/{}/fd", pid).c_str()), closedir);
	if (!dir)
		return;
	while (const dirent *entry = readdir(dir.get()))
		objects.add(dirfd(dir.get()), entry->d_name);
}

static void add_mapped(pid_t pid, ObjectBytes &objects)
{
	Result<std::string> maps = read_file(fmt::format("/proc/{}/maps", pid));
	Result<UniqueFd> dir = open_at(AT_FDCWD, fmt::format("/proc/{}/map_files", pid), O_RDONLY | O_DIRECTORY);
	if (!maps || !dir)
		return;
	for (std::string_view rest = *maps; !rest.empty();) {
		std::string_view line = rest.substr(0, rest.find('\n'));
		rest.remove_prefix(std::min(rest.size(), line.size() + 1));
		if (line.ends_with(" (deleted)"))
			objects.add(dir->get(), std::string(line.substr(0, line.find(' '))).c_str());
	}
}

// Without PAGEMAP_SCAN this would read an entry for each page of the address space.
static uint64_t private_bytes(pid_t pid)
{
	PageRanges pages;
	Result<PageMap> map = PageMap::open(pid);
	if (!map || !map->has_scan() || !map->scan(kUserAddresses, Backing::kFile, pages))
		return 0;
	return total_size(pages.data);
}

// Pages that fork left shared are written once: of each process its part of them.
static uint64_t proportional_bytes(pid_t pid)
{
	std::string text = read_file(fmt::format("/proc/{}/smaps_rollup", pid)).value_or("");
	uint64_t kib = 0;
	for (std::string_view name : {"\nPss_Anon:", "\nSwapPss:"})
		if (size_t at = text.find(name); at != std::string::npos)
			kib += strtoull(text.c_str() + at + name.size(), nullptr, 10);
	return kib << 10;
}

uint64_t estimate_page_bytes(std::span<const pid_t> pids)
{
	ObjectBytes objects;
	uint64_t bytes = 0;
	for (pid_t pid : pids) {
		bytes += pids.size() > 1 ? proportional_bytes(pid) : private_bytes(pid);
		add_open(pid, objects);
		add_mapped(pid, objects);
	}
	return bytes + objects.bytes();
}

} // namespace bpfckpt::memory
