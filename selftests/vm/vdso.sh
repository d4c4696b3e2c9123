#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A program whose threads call nothing but the vDSO is dumped on 6.12, and restored on sid and on the kernel at hand: the calls that were under way end
# well, and later ones give the time of the new kernel.
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
EOF
cat >"$dir/dump.sh" <<EOF
. /run/share/common.sh
program=\$PWD/build/selftests/scenarios/vdso_calls
mkdir -p "$work"
ulimit -n 1024 # hard, too
# The resolver of lazily bound functions saves as many registers as the first CPU had.
export LD_BIND_NOW=1
# Without capabilities: another machine may have fewer.
(cd "$work" && exec setsid setpriv --bounding-set=-all "\$program" </dev/null >"$work/log" 2>&1) &
wait_for "$work/ready" && build/bpfckpt dump -t \$! -D "$dir/images" && tar -C "$dir" -cf /run/share/images.tar work images
EOF
cat >"$dir/restore.sh" <<EOF
. /run/share/common.sh
mkdir -p "$dir" && tar -C "$dir" -xpf /run/share/images.tar && restore_and_check
EOF

# Protection keys and bounds registers, which the host may lack.
export GUEST_CPU=max,-pku,-mpx GUEST_SECONDS="${GUEST_SECONDS:-120}" GUEST_MEMORY=1G GUEST_SHARE="$dir"
$here/run.sh 6.12 sh /run/share/dump.sh </dev/null
$here/run.sh sid sh /run/share/restore.sh </dev/null
echo "restored on sid"
tar -C "$dir" -xpf "$dir/images.tar"
# Where its PIDs are free, and nothing of it stays behind.
echo ". $dir/common.sh; restore_and_check" >"$dir/here.sh"
unshare --pid --fork --kill-child --mount-proc sh -e "$dir/here.sh"
echo "restored on $(uname -r)"
