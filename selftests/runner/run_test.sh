#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck disable=SC2016 # the bodies of the programs are expanded when they run
# The runner's own test: failures, crashes and skips are counted, the last line is the sum, the exit status follows.
set -u
here=$(dirname "$0")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

expect() { # description, expected last line, expected exit status, items...
	what=$1 line=$2 status=$3
	shift 3
	FILTER=${filter:-} "$here/run.sh" "$dir/results" "$@" >"$dir/out" 2>&1
	got=$?
	last=$(tail -n 1 "$dir/out")
	[ "$last" = "$line" ] && [ $got -eq "$status" ] && return
	echo "$what: expected \"$line\" and exit $status, got \"$last\" and exit $got"
	cat "$dir/out"
	failed=1
}

program() { # name, body: stands for a GoogleTest program
	printf '#!/bin/sh\n%s\n' "$2" >"$dir/$1"
	chmod +x "$dir/$1"
}

program good 'printf "started\tA.b\t\npassed\tA.b\t\n" >>$BPFCKPT_RESULTS'
program bad 'printf "started\tA.b\t\nfailed\tA.b\t\nstarted\tA.c\t\nskipped\tA.c\tno disk\n" >>$BPFCKPT_RESULTS; exit 1'
program crash 'printf "started\tA.b\t\npassed\tA.b\t\nstarted\tA.c\t\n" >>$BPFCKPT_RESULTS; kill -9 $$'
program silent 'exit 0'
program odd 'printf "started\tA.b\t\npassed\tA.b\t\n" >>$BPFCKPT_RESULTS; exit 1'

expect "a passed program" "1 passed, 0 failed, 0 skipped" 0 "gtest:$dir/good"
expect "failed and skipped" "0 passed, 1 failed, 1 skipped" 1 "gtest:$dir/bad"
grep -q "skipped: A.c: no disk" "$dir/out" || { echo "the reason of a skip is missing"; failed=1; }
expect "a crash counts what did not end" "1 passed, 2 failed, 0 skipped" 1 "gtest:$dir/crash"
expect "a program without results" "0 passed, 1 failed, 0 skipped" 1 "gtest:$dir/silent"
expect "a program that fails without a failed test" "1 passed, 1 failed, 0 skipped" 1 "gtest:$dir/odd"
expect "commands" "1 passed, 1 failed, 1 skipped" 1 "a=true" "b=exit 3" "c=echo why; exit 4"
expect "commands beside each other" "2 passed, 1 failed, 0 skipped" 1 "beside:a=true" "beside:b=exit 3" "beside:c=true"
# Each waits for the other's file: one after the other they would fail.
meet() { echo "beside:$1=touch $dir/$1; timeout 10 sh -c 'until [ -e $dir/$2 ]; do sleep 0.05; done'"; }
[ "$(nproc)" -eq 1 ] || expect "they run at the same time" "2 passed, 0 failed, 0 skipped" 0 "$(meet x y)" "$(meet y x)"
expect "what follows waits for them" "2 passed, 0 failed, 0 skipped" 0 "beside:a=sleep 0.3; touch $dir/done" "b=[ -e $dir/done ]"
expect "the sum over all" "2 passed, 0 failed, 0 skipped" 0 "gtest:$dir/good" "a=true"
expect "nothing at all" "0 passed, 0 failed, 0 skipped" 1
filter='a*:x' expect "a filter" "1 passed, 0 failed, 0 skipped" 0 "abc=true" "b=false"
filter='*-b*' expect "a negative filter" "1 passed, 0 failed, 0 skipped" 0 "abc=true" "b=false"
exit $failed
