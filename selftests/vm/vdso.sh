#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A program whose threads call nothing but the vDSO is dumped on 6.12, and restored on sid, on the kernel at hand, and on 6.1: the calls that were under
# way end well, and later ones give the time of the new kernel. From sid to 6.12, which lacks functions of its vDSO, is refused by name.
set -eu

cd "$(dirname "$0")/../.."
here=selftests/vm
# The same directory in all places: the program works in it.
dir=$(mktemp -d /tmp/bpfckpt-vdso.XXXXXX)
work=$dir/work
trap 'rm -rf "$dir"' EXIT

cat >"$dir/common.sh" <<EOF
wait_for() { # file
	tries=0
	until [ -e "\$1" ]; do
		[ ! -e "$work/fail.1" ] || { cat "$work/fail.1"; return 1; }
		tries=\$((tries + 1))
		[ \$tries -lt 300 ] || { echo "no \$1"; return 1; }
		sleep 0.1
	done
}
restore_and_check() {
	build/bpfckpt restore --cpu-cap none -d -D "$dir/images" && touch "$work/go.1" && wait_for "$work/ok.1" && touch "$work/stop"
}
expect_refused() { # text
	status=0
	build/bpfckpt restore --cpu-cap none --dry-run -D "$dir/images" >"$dir/out" 2>&1 || status=\$?
	cat "$dir/out"
	[ \$status -eq 6 ] && grep -q "\$1" "$dir/out"
}
EOF
cat >"$dir/dump.sh" <<EOF
. /run/share/common.sh
program=\$PWD/build/selftests/scenarios/vdso_calls
mkdir -p "$work"
ulimit -n 1024 # hard, too
echo 3000 >/proc/sys/kernel/ns_last_pid # numbers that are free elsewhere
# The resolver of lazily bound functions saves as many registers as the first CPU had.
export LD_BIND_NOW=1
# Without capabilities: another machine may have fewer.
(cd "$work" && exec setsid setpriv --bounding-set=-all "\$program" </dev/null >"$work/log" 2>&1) &
wait_for "$work/ready" && build/bpfckpt dump -t \$! -D "$dir/images" && tar -C "$dir" -cf /run/share/images.tar work images
EOF
cat >"$dir/in_guest.sh" <<EOF
. /run/share/common.sh
mkdir -p "$dir" && tar -C "$dir" -xpf /run/share/images.tar && eval "\$1"
EOF

in_guest() { # kernel, command
	$here/run.sh "$1" "sh /run/share/in_guest.sh '$2'" </dev/null
}

# Where its PIDs are free, and nothing of it stays behind.
in_pid_namespace() { # command
	rm -rf "$work" "$dir/images"
	tar -C "$dir" -xpf "$dir/images.tar"
	echo ". $dir/common.sh; $1" >"$dir/here.sh"
	unshare --pid --fork --kill-child --mount-proc sh -e "$dir/here.sh"
}

# Protection keys and bounds registers, which the host may lack.
export GUEST_CPU=max,-erms,-avx2,-pku,-mpx GUEST_SECONDS="${GUEST_SECONDS:-120}" GUEST_MEMORY=1G GUEST_SHARE="$dir"
$here/run.sh 6.12 sh /run/share/dump.sh </dev/null
in_guest sid restore_and_check
echo "dumped on 6.12, restored on sid"
in_pid_namespace restore_and_check
echo "dumped on 6.12, restored on $(uname -r)"
in_guest 6.1 restore_and_check
echo "dumped on 6.12, restored on 6.1"

$here/run.sh sid sh /run/share/dump.sh </dev/null
in_guest 6.12 "expect_refused __vdso_futex_robust"
echo "dumped on sid, refused on 6.12"
