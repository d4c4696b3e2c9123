#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The rules of docs/HACKING.md that a script can check. Prints "file:line: what" for each offence; exit 1 if there are any.
#
#	lint.sh [ROOT]
cd "${1:-$(dirname "$0")/../..}" || exit 2
offences=$(mktemp)
trap 'rm -f "$offences"' EXIT

sources() { # suffix...: all files of ours with one of the suffixes
	for suffix; do
		find bpf vmlinux iterators images user selftests -name "*.$suffix" 2>/dev/null
	done | sort
}

# "file:line:header" of each #include "..." in the files given.
includes() {
	[ $# -eq 0 ] || awk 'match($0, /^#[ \t]*include[ \t]*"[^"]*"/) {
		split(substr($0, RSTART, RLENGTH), part, "\"")
		print FILENAME ":" FNR ":" part[2]
	}' "$@"
}

# cli -> {collect, restore, policy} -> {uring, memory, target} -> {iterators, images} -> util: a file includes what is in its own braces or
# to the right of them. Besides: images/ is readable without a kernel, and kernel types and skeletons end at the border.
check_include_direction() {
	# shellcheck disable=SC2046 # no spaces in our file names
	includes $(sources h cc | grep -v '^selftests/') | awk -F: '
	function level(path) {
		if (path ~ /^user\/cli\//) return 5
		if (path ~ /^user\/(collect|restore|policy)\//) return 4
		if (path ~ /^user\/(uring|memory|target)\//) return 3
		if (path ~ /^(iterators|images)\//) return 2
		if (path ~ /^user\/util\//) return 1
		return 0
	}
	function offence(what) { print $1 ":" $2 ": includes " $3 ": " what }
	$3 !~ /\// { offence("include paths start at the top of the tree"); next }
	$1 ~ /^images\// && $3 ~ /^iterators\// { offence("images/ is readable without a kernel"); next }
	$3 ~ /^vmlinux\// && $1 !~ /^(bpf|vmlinux)\// { offence("kernel types end in bpf/"); next }
	$3 ~ /^bpf\// && $1 !~ /^(bpf|iterators)\// { offence("only iterators/ loads BPF"); next }
	level($1) && level($3) > level($1) { offence("against the direction of includes") }'
}

# show reads images on a machine without BPF: whatever its files include, directly or not, is not of the kernel.
check_show_without_bpf() {
	todo=$(find user/cli -name 'show.*' -o -name 'view*' 2>/dev/null)
	seen=
	while [ -n "$todo" ]; do
		# shellcheck disable=SC2086
		next=$(includes $todo)
		echo "$next" | awk -F: '$3 ~ /^(iterators|bpf)\// { print $1 ":" $2 ": includes " $3 ": show links no BPF" }'
		seen="$seen $todo"
		todo=
		for header in $(echo "$next" | cut -d: -f3 | grep -E '^(user|images)/' | sort -u); do
			echo "$seen" | tr ' ' '\n' | grep -qxF "$header" && continue
			[ -e "$header" ] && todo="$todo $header"
		done
	done
}

# One object, one stem: a reader comes with its record and its BPF program, a test with what it tests.
check_stems() {
	for reader in iterators/*_reader.h; do
		[ -e "$reader" ] || continue
		stem=$(basename "$reader" _reader.h)
		[ -e "iterators/${stem}_record.h" ] || echo "$reader:1: no iterators/${stem}_record.h"
		[ -e "iterators/${stem}_reader.cc" ] || echo "$reader:1: no iterators/${stem}_reader.cc"
		[ -e "bpf/$stem.bpf.c" ] || echo "$reader:1: no bpf/$stem.bpf.c"
	done
	for program in selftests/scenarios/*_*.c; do
		[ -e "$program" ] || continue
		stem=$(basename "$program")
		[ -e "selftests/scenarios/${stem%%_*}_scenarios.cc" ] ||
			echo "$program:1: no selftests/scenarios/${stem%%_*}_scenarios.cc starts it"
	done
	for source in $(sources c cc h proto sh); do
		case $(basename "$source") in
		*[!a-z0-9_.]*) echo "$source:1: file names are snake_case" ;;
		esac
	done
}

check_spdx() {
	for source in $(sources c cc h proto sh awk inc) $(find Makefile .ci/run -type f 2>/dev/null); do
		head -n 2 "$source" | grep -q 'SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause' ||
			echo "$source:1: no SPDX line"
	done
}

# Features are tested for by what is there, never by a version (a distribution's kernel is of no version). The release may be stored and shown.
check_no_versions() {
	# shellcheck disable=SC2046
	grep -nE '\b(KERNEL_VERSION|LINUX_KERNEL_VERSION|LINUX_VERSION_CODE|bpf_core_kernel_version)\b|\.release\b[^(]' \
		$(sources c cc h) /dev/null | grep -v 'set_kernel_release(' | sed -E 's/^([^:]*:[0-9]+:).*/\1 compares kernel versions/'
}

{
	check_include_direction
	check_show_without_bpf
	check_stems
	check_spdx
	check_no_versions
} | sort -u >"$offences"
cat "$offences"
[ ! -s "$offences" ]
