#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# clang-tidy of several files as one translation unit: it spends its time in the headers of the standard library, and
# these are gone through once for all. Files that do not parse together, because two have a static function of one
# name, are parted. Exit 1 if it finds anything.
#
#	tidy.sh [--checks=LIST] FILE... -- FLAG...
set -u

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unit=$work/UnifiedSource.cc # by this name the analyzer looks at what it includes, too

checks=
case $1 in
--checks=*)
	checks=$1
	shift
	;;
esac
files=
while [ "$1" != -- ]; do
	files="$files $1"
	shift
done
shift

# "first count": these of the files.
part() {
	echo "$files" | tr -s ' ' '\n' | sed '/^$/d' | tail -n "+$1" | head -n "$2"
}

tidy() { # first count flag...
	first=$1 count=$2
	shift 2
	part "$first" "$count" | sed 's/.*/#include "&" \/\/ NOLINT(bugprone-suspicious-include)/' >"$unit"
	if [ "$count" -gt 1 ] && ! clang++-19 -fsyntax-only "$@" "$unit" 2>/dev/null; then
		half=$((count / 2))
		set -- "$first" "$count" "$half" "$@"
		(shift 3 && tidy "$first" "$half" "$@" && exit $failed) || failed=1
		first=$1 count=$2 half=$3
		shift 3
		tidy $((first + half)) $((count - half)) "$@"
		return
	fi
	clang-tidy-19 --quiet --config-file=.clang-tidy ${checks:+"$checks"} "$unit" -- "$@" 2>/dev/null || failed=1
}

failed=0
tidy 1 "$(echo "$files" | wc -w)" "$@"
exit $failed
