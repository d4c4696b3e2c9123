#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Test programs on another kernel, divided among two guests of run.sh that run side by side. Exits with 0 if all passed, 125 if a guest
# died, 124 if one did not end, else 1.
#
#	suite.sh 6.1|6.12|sid PROGRAM...	FILTER: as for the runner
set -u

here=$(dirname "$0")
kernel=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$here/kernel.sh" "$kernel" >/dev/null || exit

items=
for program; do
	items="$items gtest:$program"
done
shards="0 1"
for shard in $shards; do
	{
		"$here/run.sh" "$kernel" "FILTER='${FILTER:-}' GTEST_TOTAL_SHARDS=2 GTEST_SHARD_INDEX=$shard TEST_TIMEOUT=${TEST_TIMEOUT:-900} \
			TEST_PATIENCE=${TEST_PATIENCE:-3} selftests/runner/run.sh /tmp/results $items" >"$work/$shard" 2>&1 </dev/null
		echo $? >"$work/$shard.status"
	} &
done
wait
status=0
for shard in $shards; do
	cat "$work/$shard"
	case $(cat "$work/$shard.status") in
	0) ;;
	124 | 125)
		echo "suite.sh: on $kernel guest $shard of 2 was lost: what it had not told is not known to have failed"
		status=$(cat "$work/$shard.status")
		;;
	*) [ "$status" -gt 1 ] || status=1 ;;
	esac
done
exit "$status"
