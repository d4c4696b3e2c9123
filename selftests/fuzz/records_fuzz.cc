// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Any bytes as a record file. What is accepted must go through the validator, both views and the encoder without harm,
// and must come back unchanged.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "images/records.h"
#include "images/text.h"
#include "images/validate.h"
#include "user/cli/json.h"
#include "user/cli/view.h"

using namespace bpfckpt;

static void views_take_it(const images::Document &document)
{
	(void)cli::render_text(document, {});
	// Enum values that are no member and the like are no reason to fail.
	(void)cli::render_json(document, cli::Sections{});
}

static void names_round_trip(images::Document document)
{
	images::encode_strings(document);
	if (images::needs_encoding(document)) {
		// Backslashes are left, and those only.
		if (!images::decode_strings(document))
			abort();
	}
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	std::string_view bytes(reinterpret_cast<const char *>(data), size);
	images::Header header{};
	memcpy(&header, data, std::min(size, sizeof(header)));
	images::Document document;
	if (!images::parse_records(static_cast<images::Kind>(header.kind), bytes, document))
		return 0;
	(void)images::validate(document, UINT64_MAX);
	views_take_it(document);
	names_round_trip(std::move(document));
	return 0;
}
