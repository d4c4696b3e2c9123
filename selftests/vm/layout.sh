#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Rings lie otherwise in the memory of 6.1 than in that of newer kernels (struct io_rings), and programs keep pointers into it: a checkpoint of the one
# is refused by name on the other, before anything is made.
set -eu

cd "$(dirname "$0")/../.."
dir=$(mktemp -d /tmp/bpfckpt-layout.XXXXXX)
target=
trap 'kill $target 2>/dev/null; rm -rf "$dir"' EXIT

cat >"$dir/common.sh" <<EOF
dump() { # images
	mkdir -p "$dir/work"
	rm -f "$dir/work/ready"
	program=\$PWD/build/selftests/scenarios/uring_queues
	ulimit -n 1024
	(cd "$dir/work" && exec setsid "\$program" </dev/null >"$dir/work/log" 2>&1) &
	target=\$!
	tries=0
	until [ -e "$dir/work/ready" ]; do
		tries=\$((tries + 1))
		[ \$tries -lt 300 ] || { cat "$dir/work/log"; return 1; }
		sleep 0.1
	done
	# Whatever the shell that runs this has left open.
	build/bpfckpt dump -t "\$target" -D "\$1" --leak all=ignore && target=
}
expect_refused() { # images
	status=0
	build/bpfckpt restore --dry-run --cpu-cap none -D "\$1" >"$dir/out" 2>&1 || status=\$?
	cat "$dir/out"
	[ \$status -eq 6 ] && grep -q "ring 1.*lies otherwise in memory on this kernel" "$dir/out"
}
EOF
cat >"$dir/guest.sh" <<EOF
. /run/share/common.sh
mkdir -p "$dir"
expect_refused /run/share/here || exit
dump "$dir/images" && cp -r "$dir/images" /run/share/guest
EOF

# shellcheck source=/dev/null
. "$dir/common.sh"
dump "$dir/here"
export GUEST_CPU=max,-pku,-mpx GUEST_SECONDS="${GUEST_SECONDS:-120}" GUEST_MEMORY=1G GUEST_SHARE="$dir"
selftests/vm/run.sh 6.1 sh /run/share/guest.sh </dev/null
expect_refused "$dir/guest"
