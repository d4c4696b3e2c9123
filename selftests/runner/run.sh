#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Runs test programs and plain commands one after the other and prints the sum.
#
#	run.sh RESULTS_DIR ITEM...	ITEM: gtest:PROGRAM, or NAME=COMMAND (exit 0 passed, 4 skipped as in kselftest, else failed);
#					beside:NAME=COMMAND: at the same time as its neighbours of that kind, one for each processor
#
# FILTER: the tests to run, as in --gtest_filter; a plain command runs if its name matches. TEST_TIMEOUT: seconds per item.
set -u
results=$1
shift
rm -rf "$results"
mkdir -p "$results"

# Does NAME match one of the positive patterns of FILTER, and none of the negative ones?
selected() {
	[ -n "${FILTER:-}" ] || return 0
	any=1
	positive=${FILTER%%-*}
	[ "$positive" != "$FILTER" ] && negative=${FILTER#*-} || negative=
	set -f
	saved_ifs=$IFS
	IFS=:
	# shellcheck disable=SC2254 # the patterns are meant as patterns
	for pattern in $negative; do
		case $1 in $pattern) IFS=$saved_ifs; set +f; return 1 ;; esac
	done
	# shellcheck disable=SC2254
	for pattern in ${positive:-*}; do
		case $1 in $pattern) any=0 ;; esac
	done
	IFS=$saved_ifs
	set +f
	return $any
}

record() { # file, what, name, reason
	printf '%s\t%s\t%s\n' "$2" "$3" "$4" >>"$results/$1"
}

run_gtest() { # program
	name=$(basename "$1")
	BPFCKPT_RESULTS=$results/$name timeout -k 10 "${TEST_TIMEOUT:-1200}" "$1" ${FILTER:+--gtest_filter="$FILTER"}
	status=$?
	# GoogleTest exits with 1 for failed tests, which are recorded; anything else is the program itself.
	if [ $status -gt 1 ] || [ ! -e "$results/$name" ] || { [ $status -eq 1 ] && ! grep -q '^failed' "$results/$name"; }; then
		record "$name" failed "$name (exit $status)" ""
	fi
}

run_command() { # name, command
	selected "$1" || return
	start=$(date +%s)
	timeout -k 10 "${TEST_TIMEOUT:-1200}" sh -c "$2" >"$results/$1.log" 2>&1
	status=$?
	took="$(($(date +%s) - start)) s"
	# Of a command that runs tests itself.
	sum=$(tail -n 1 "$results/$1.log" | grep -E '^[0-9]+ passed, ')
	case $status in
	0) echo "ok      $1 ($took)${sum:+: $sum}"; record "$1" passed "$1" "" ;;
	4) reason=$(tail -n 1 "$results/$1.log"); echo "skip    $1: $reason"; record "$1" skipped "$1" "$reason" ;;
	*) tail -n 60 "$results/$1.log"; echo "FAILED  $1 (exit $status, $took)"; record "$1" failed "$1" "" ;;
	esac
	mv "$results/$1.log" "$results/.$1.log"
}

beside=0
for item; do
	case $item in beside:*) [ $beside -lt "$(nproc)" ] ;; *) [ $beside -eq 0 ] ;; esac || { wait; beside=0; }
	case $item in
	gtest:*) run_gtest "${item#gtest:}" ;;
	beside:*)
		item=${item#beside:}
		run_command "${item%%=*}" "${item#*=}" &
		beside=$((beside + 1)) ;;
	*) run_command "${item%%=*}" "${item#*=}" ;;
	esac
done
wait
set -- "$results"/*
[ -e "$1" ] || set -- /dev/null
exec awk -f "$(dirname "$0")/summary.awk" "$@"
