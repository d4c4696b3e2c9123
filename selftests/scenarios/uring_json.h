/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What the tests of rings ask of the JSON of inspect and show.
#pragma once

#include <set>
#include <string>

#include "selftests/scenarios/driver.h"

namespace bpfckpt::selftests {

inline Json ring_of_fd(const Json &document, Scenario &scenario, const std::string &fact)
{
	Json entries = where(document["processes"][0]["files"], "fd", number(scenario.fact(fact)));
	EXPECT_EQ(entries.size(), 1u);
	Json rings = entries.empty() ? Json() : where(document["rings"], "file", entries[0]["file"]);
	EXPECT_EQ(rings.size(), 1u);
	return rings.empty() ? Json() : rings[0];
}

inline Json request_of(const Json &ring, unsigned user_data)
{
	Json found = where(ring["in_flight"], "user_data", user_data);
	EXPECT_EQ(found.size(), 1u) << "requests with user_data " << user_data;
	return found.empty() ? Json() : found[0];
}

inline void expect_request(const Json &ring, unsigned user_data, const char *opcode, const char *place)
{
	Json request = request_of(ring, user_data);
	ASSERT_FALSE(request.is_null());
	EXPECT_EQ(request["opcode"], opcode);
	EXPECT_EQ(request["where"], place) << opcode;
	EXPECT_EQ(request["class"], "REARMABLE") << opcode;
	EXPECT_FALSE(request["sqe"].get<std::string>().empty()) << opcode;
}

// Some part of the ring's reasons against a dump.
inline void expect_refused(const Json &ring, const std::string &text)
{
	EXPECT_NE(ring["unsupported"].dump().find(text), std::string::npos)
		<< "expected \"" << text << "\" in " << ring["unsupported"];
}

inline void expect_complete(const Json &ring, size_t count)
{
	EXPECT_EQ(ring["in_flight"].size(), count);
	EXPECT_EQ(number(ring["in_flight_count"]), count);
	EXPECT_TRUE(ring["complete"]);
}

inline void expect_mapped_at(const Json &ring, const std::set<uint64_t> &offsets)
{
	std::set<uint64_t> found;
	for (const Json &mapping : ring["mappings"])
		found.insert(number(mapping["offset"]));
	EXPECT_EQ(found, offsets);
}

// The same holds for the program as it runs, for its images, and again after it went on for a round.
template <class Verify>
void dump_running(Scenario &scenario, Verify verify)
{
	verify(scenario.inspect());
	for (int round = 0; round < 2; round++) {
		ASSERT_EQ(scenario.dump({"-R", "--forensic", "--leak", "all=ignore"}).exit, 0);
		verify(scenario.show());
		ASSERT_TRUE(scenario.check_target());
		ASSERT_TRUE(scenario.go());
	}
}

} // namespace bpfckpt::selftests
