// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A whole checkpoint from bytes. The input is cut into the files; the manifest is the input's too, or, so that what
// lies behind the digests is reached, one that fits the files.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include <fcntl.h>
#include <fuzzer/FuzzedDataProvider.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "images/digest.h"
#include "images/directory_reader.h"
#include "images/format.h"
#include "user/util/io.h"

using namespace bpfckpt;

namespace {

std::string header_of(images::Kind kind)
{
	images::Header header{images::kMagic, images::kFormatVersion, static_cast<uint32_t>(kind)};
	return {reinterpret_cast<const char *>(&header), sizeof(header)};
}

void put(int directory, std::string_view name, const std::string &bytes)
{
	Result<UniqueFd> fd = open_at(directory, std::string(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (!fd || !write_all(fd->get(), as_bytes(bytes)))
		abort();
}

void name_in(images::Manifest &manifest, std::string_view name, const std::string &bytes, uint32_t records)
{
	images::ImageFile *file = manifest.add_files();
	file->set_name(std::string(name));
	file->set_size(bytes.size());
	file->set_xxh3_128(std::string(images::digest_of(as_bytes(bytes)).view()));
	file->set_records(records);
}

std::string sealed(const images::Manifest &manifest)
{
	std::string bytes = header_of(images::Kind::kManifest) + manifest.SerializeAsString();
	return bytes + std::string(images::digest_of(as_bytes(bytes)).view());
}

// In memory where there is a tmpfs; one for the life of the process.
const std::string &scratch()
{
	static const std::string path = [] {
		std::string name = "/dev/shm/bpfckpt-fuzz-XXXXXX";
		if (!::mkdtemp(name.data()))
			abort();
		return name;
	}();
	return path;
}

void remove_scratch()
{
	for (const images::RecordFile &file : images::kRecordFiles)
		::unlink(fmt::format("{}/{}", scratch(), file.name).c_str());
	for (std::string_view name : {images::kManifestName, images::kPagesName})
		::unlink(fmt::format("{}/{}", scratch(), name).c_str());
	::rmdir(scratch().c_str());
}

} // namespace

extern "C" int LLVMFuzzerInitialize(int *, char ***)
{
	scratch();
	return ::atexit(remove_scratch);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FuzzedDataProvider input(data, size);
	UniqueFd directory = open_at(AT_FDCWD, scratch(), O_RDONLY | O_DIRECTORY).value();
	bool own_manifest = input.ConsumeBool();
	utsname machine;
	::uname(&machine);
	images::Manifest manifest;
	manifest.set_architecture(machine.machine);
	for (const images::RecordFile &file : images::kRecordFiles) {
		std::string bytes = header_of(file.kind) + input.ConsumeRandomLengthString();
		put(directory.get(), file.name, bytes);
		name_in(manifest, file.name, bytes, input.ConsumeIntegralInRange<uint32_t>(0, 4));
	}
	std::string pages = input.ConsumeRandomLengthString();
	put(directory.get(), images::kPagesName, pages);
	name_in(manifest, images::kPagesName, pages, 0);
	put(directory.get(), images::kManifestName,
	    own_manifest ? input.ConsumeRemainingBytesAsString() : sealed(manifest));
	(void)images::read_checkpoint(scratch());
	return 0;
}
