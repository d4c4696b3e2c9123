// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Names round trip through their encoding, which is UTF-8; what a terminal gets has no control character in it.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "images/text.h"
#include "user/cli/terminal.h"

using namespace bpfckpt;

static bool is_utf8(std::string_view text)
{
	while (!text.empty()) {
		size_t length = images::utf8_length(text);
		if (!length)
			return false;
		text.remove_prefix(length);
	}
	return true;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	std::string bytes(reinterpret_cast<const char *>(data), size);
	std::string text = images::encode_text(bytes);
	Result<std::string> decoded = images::decode_text(text);
	if (!is_utf8(text) || !decoded || *decoded != bytes)
		abort();
	(void)images::decode_text(bytes);
	std::string shown = cli::printable(bytes);
	if (!is_utf8(shown) ||
	    std::any_of(shown.begin(), shown.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }))
		abort();
	return 0;
}
