#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Each rule of lint.sh finds its offence in a small tree, and a tree without offences passes.
set -u
here=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failed=0
spdx='// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause'

file() { # path, line
	mkdir -p "$tree/$(dirname "$1")"
	printf '%s\n%s\n' "$spdx" "$2" >"$tree/$1"
}

good_tree() {
	rm -rf "$tree"
	file user/cli/dump.cc '#include "user/collect/timer.h"'
	file user/cli/show.cc '#include "images/timer.h"'
	file user/collect/timer.h '#include "iterators/timer_reader.h"'
	file images/timer.h '#include "user/util/io.h"'
	file user/util/io.h ''
	file iterators/timer_reader.h '#include "iterators/timer_record.h"'
	file iterators/timer_reader.cc '#include "bpf/timer.skel.h"'
	file iterators/timer_record.h ''
	file bpf/timer.bpf.c '#include "vmlinux/timer.h"'
	file selftests/scenarios/timer_posix.c ''
	file selftests/scenarios/timer_scenarios.cc ''
}

offence() { # path, line, text expected
	good_tree
	file "$1" "$2"
	if out=$("$here/lint.sh" "$tree"); then
		echo "$1 with \"$2\": no offence found, expected \"$3\""
		failed=1
	fi
	case $out in
	*"$3"*) ;;
	*) echo "$1 with \"$2\": expected \"$3\", got \"$out\""; failed=1 ;;
	esac
}

good_tree
out=$("$here/lint.sh" "$tree") || { echo "a good tree has offences: $out"; failed=1; }

offence user/util/io.h '#include "user/collect/timer.h"' "against the direction"
offence user/target/task.h '#include "user/cli/dump.h"' "against the direction"
offence images/timer.h '#include "iterators/timer_record.h"' "readable without a kernel"
offence user/collect/timer.h '#include "bpf/timer.skel.h"' "only iterators/ loads BPF"
offence user/collect/timer.h '#include "vmlinux/timer.h"' "kernel types end in bpf/"
offence user/collect/timer.h '#include "timer.h"' "start at the top"
offence user/cli/show.cc '#include "user/collect/timer.h"' "show links no BPF"
offence iterators/file_reader.h '' "no iterators/file_record.h"
offence iterators/file_reader.h '' "no bpf/file.bpf.c"
offence selftests/scenarios/pipe_full.c '' "no selftests/scenarios/pipe_scenarios.cc"
offence user/cli/BadName.cc '' "snake_case"
offence bpf/timer.bpf.c 'if (LINUX_KERNEL_VERSION >= KERNEL_VERSION(6, 1, 0))' "compares kernel versions"
offence user/util/io.h 'sscanf(name.release, "%u.%u", &major, &minor);' "compares kernel versions"

good_tree
echo "int x;" >"$tree/user/util/bare.h"
"$here/lint.sh" "$tree" | grep -q "bare.h:1: no SPDX line" || { echo "a missing SPDX line is not found"; failed=1; }

# Files that do not parse together are parted, and the analyzer goes into each: an offence in either is found.
cd "$here/../.." || exit 2
for bad in one two; do
	for name in one two; do
		access=0
		[ "$name" != "$bad" ] || access='*p'
		echo "static bool odd(int x) { return x & 1; } int $name(int x); int $name(int x) { int *p = nullptr; return odd(x) && !p ? $access : 0; }" \
			>"$tree/user/util/$name.cc"
	done
	out=$("$here/tidy.sh" "$tree/user/util/one.cc" "$tree/user/util/two.cc" -- -std=c++23) && { echo "tidy.sh passes $bad.cc"; failed=1; }
	echo "$out" | grep -q "$bad.cc:.*NullDereference" || { echo "tidy.sh overlooks $bad.cc: $out"; failed=1; }
done
exit $failed
