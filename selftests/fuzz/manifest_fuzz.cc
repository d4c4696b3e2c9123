// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Any bytes as a manifest, its digest put right so that parsing is reached.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "images/digest.h"
#include "images/records.h"
#include "user/util/io.h"

using namespace bpfckpt;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	std::string bytes(reinterpret_cast<const char *>(data), size);
	(void)images::parse_manifest(bytes);
	if (size > images::Digest::kSize)
		bytes.resize(size - images::Digest::kSize);
	bytes += std::string(images::digest_of(as_bytes(bytes)).view());
	Result<images::Manifest> manifest = images::parse_manifest(bytes);
	if (!manifest)
		return 0;
	for (const images::ImageFile &file : manifest->files())
		if (file.name().find('/') != std::string::npos)
			abort();
	return 0;
}
