#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# What `make test` tries on another kernel: all BPF objects find what they read, and load; a program with rings of all kinds is inspected, dumped and
# restored. Exit 4 (skipped), with the reason in the last line, where this machine has no kernel to try, or is too slow to emulate it:
# `make test-kernels` fails there.
#
#	quick.sh 6.1|6.12|sid
set -u
export PATH="$PATH:/usr/sbin:/sbin"

here=$(dirname "$0")
log=$(mktemp)
trap 'rm -f "$log"' EXIT

skip() { # reason
	echo "$1"
	exit 4
}

for program in qemu-system-x86_64 cpio modprobe mkfs.ext4 busybox; do
	command -v "$program" >/dev/null || skip "no $program here (make test-kernels installs it)"
done
"$here/kernel.sh" "$1" >"$log" 2>&1 || skip "$(tail -n 1 "$log")"

types=$("$here/btf.sh" "$1") || exit
build/selftests/vm/check_btf "$1=$types" -- build/bpf/*.bpf.o >"$log" 2>&1 || {
	cat "$log"
	exit 1
}

export GUEST_SECONDS=95 GUEST_MEMORY=1G
# A guest that died is started again: 6.12 was seen crashing at random under TCG.
for attempt in 1 2; do
	"$here/run.sh" "$1" "build/bpfckpt check &&
		FILTER=UringZoo.* TEST_PATIENCE=3 TEST_BRIEF=1 \
		selftests/runner/run.sh /tmp/results gtest:build/selftests/scenarios/scenario_tests" >"$log" 2>&1 </dev/null
	status=$?
	cat "$log"
	case $status in
	124) skip "$1 did not end in $GUEST_SECONDS s: this machine is too slow to emulate it" ;;
	125) echo "attempt $attempt: the guest died" ;;
	0)
		# That nothing has failed is no proof.
		grep -q '^1 passed, 0 failed, 0 skipped' "$log" && exit 0
		echo "no test was run"
		exit 1
		;;
	*) exit $status ;;
	esac
done
skip "the guest with $1 died twice, in emulation"
