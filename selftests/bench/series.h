/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What the rows of the bench have in common: medians, which rows are wanted, and a verdict for each at the end.
#pragma once

#include <string>
#include <vector>

#include "selftests/scenarios/driver.h"

namespace bpfckpt::selftests {

// A row: a program, how often it is dumped or restored, and what is wanted of the median.
struct Case {
	const char *name;
	const char *program;
	Args args;
	double target_ms; // frozen, or until it is restored; 0: the page rate is what counts
	unsigned rounds;
	Args dump_args = {};
	bool timers_only = false; // the target is for that part of a restore
};

struct Series {
	std::vector<double> values;

	void add(double value) { values.push_back(value); }
	[[nodiscard]] double median() const;
	[[nodiscard]] double min() const;
	[[nodiscard]] double max() const;
	[[nodiscard]] std::string range() const; // "(1.0-2.0)", "" if there are none
};

double milliseconds_since(std::chrono::steady_clock::time_point start);
std::string or_dash(double value, const char *unit = "");

struct Verdict {
	std::string row;
	std::string measured;
	std::string wanted;
	bool met;
};

struct BenchOptions {
	Args names;          // rows; empty: all
	unsigned rounds = 0; // 0: each row's own number
	std::string images;  // an empty directory on a tmpfs
	std::string criu;    // "": none

	// A name that is exactly a row's is that row; any other one, all rows that contain it.
	[[nodiscard]] bool wants(const std::string &row, const Args &all_rows) const;
};

// restore.cc: how long `restore -d` takes until the tree runs.
Args restore_rows();
void bench_restore(const BenchOptions &options, const Args &all_rows, std::vector<Verdict> &verdicts);

} // namespace bpfckpt::selftests
