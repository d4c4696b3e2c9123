#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Test programs on another kernel, divided among two guests of run.sh that run side by side; without the tests that left_out names, and each
# scenario once (TEST_BRIEF). Exits with 0 if all passed, 125 if a guest died, 124 if one did not end, else 1. The last line is the sum.
#
#	suite.sh 6.1|6.12|sid PROGRAM...	FILTER: as for the runner; a filter with a "-" of its own is taken as it is
set -u

here=$(dirname "$0")
kernel=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$here/kernel.sh" "$kernel" >/dev/null || exit

filter=${FILTER:-}
case $filter in
*-*) ;;
*)
	filter="$filter-$(sed -nE 's/^([A-Z][^[:space:]]*).*/\1/p' "$here/left_out" | paste -sd:)"
	echo "left out on $kernel (selftests/vm/left_out):"
	sed -nE 's/^([A-Z][^[:space:]]*)[[:space:]]*/  \1: /p' "$here/left_out"
	;;
esac

items=
for program; do
	items="$items gtest:$program"
done
shards="0 1"
for shard in $shards; do
	mkdir "$work/share.$shard"
	{
		GUEST_SHARE=$work/share.$shard "$here/run.sh" "$kernel" "export FILTER='$filter' GTEST_TOTAL_SHARDS=2 GTEST_SHARD_INDEX=$shard
			export TEST_TIMEOUT=${TEST_TIMEOUT:-900} TEST_PATIENCE=${TEST_PATIENCE:-3} TEST_BRIEF=${TEST_BRIEF-1}
			selftests/runner/run.sh /run/share/results $items" >"$work/$shard" 2>&1 </dev/null
		echo $? >"$work/$shard.status"
	} &
done
wait
status=0
for shard in $shards; do
	echo "guest $shard of $kernel:"
	cat "$work/$shard"
	# Which of its programs told what: the sum is made of these files.
	for results in "$work/share.$shard/results"/*; do
		[ ! -f "$results" ] || cp "$results" "$work/results.$shard.$(basename "$results")"
	done
	# 1: what has failed is in the sum; and of a few tests all may be those of the other guest.
	case $(cat "$work/$shard.status") in
	0 | 1) ;;
	124 | 125)
		echo "suite.sh: on $kernel guest $shard of 2 was lost: what it had not told is not known to have failed"
		status=$(cat "$work/$shard.status")
		;;
	*) [ "$status" -gt 1 ] || status=1 ;;
	esac
done
echo "both guests of $kernel:"
awk -f "$here/../runner/summary.awk" "$work"/results.* </dev/null || [ "$status" -ne 0 ] || status=1
exit "$status"
