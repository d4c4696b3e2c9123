#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# check_btf finds a field that this kernel has not where a program can reach it, and only there; and one that is smaller.
#
#	check_btf_test.sh CHECK_BTF
set -u
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
types=${BTF:-/sys/kernel/btf/vmlinux}
failed=0

expect() { # exit status, text that is told, section, body of the program
	cat >"$work/fault.bpf.c" <<EOF
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct task_struct { int pid; };
struct task_struct___old { int removed; };
struct task_struct___new { int invented; };
struct task_struct___large { long pid; };
struct task_struct___wide { struct { char bytes[3]; } flags; };
#pragma clang attribute pop

struct context { void *meta; struct task_struct *task; };

static __attribute__((noinline)) int read_removed(struct task_struct *task)
{
	return BPF_CORE_READ((struct task_struct___old *)task, removed);
}

int result = 0;

SEC("$3")
int fault(struct context *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;
	$4
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
EOF
	${CLANG:-clang-19} -target bpf -mcpu=v3 -O2 -g -Wno-unused-function -Wno-visibility -isystem /usr/include/x86_64-linux-gnu \
		-c "$work/fault.bpf.c" -o "$work/fault.bpf.o" || failed=1
	out=$("$check_btf" native="$types" -- "$work/fault.bpf.o")
	status=$?
	[ $status -eq "$1" ] || { echo "exit $status in place of $1 for: $4"; echo "$out"; failed=1; }
	case $out in
	*"$2"*) ;;
	*) echo "no \"$2\" for: $4"; echo "$out"; failed=1 ;;
	esac
}

check_btf=$1
old='bpf_core_field_exists(struct task_struct___old, removed)'
expect 0 "0 defects" iter/task "result = task->pid;"
expect 1 "task_struct___old.removed                          READ WITHOUT A QUESTION" iter/task \
	"result = BPF_CORE_READ((struct task_struct___old *)task, removed);"
expect 0 "task_struct___old.removed                          -" iter/task \
	"if ($old) result = BPF_CORE_READ((struct task_struct___old *)task, removed);"
# The wrong way round, and about another field of the same type.
expect 1 "READ WITHOUT A QUESTION" iter/task "if (!$old) result = BPF_CORE_READ((struct task_struct___old *)task, removed);"
expect 1 "task_struct___new.invented                         READ WITHOUT A QUESTION" iter/task \
	"if (!$old) result = BPF_CORE_READ((struct task_struct___new *)task, invented);"
# In a function that the program calls.
expect 1 "task_struct___old.removed                          READ WITHOUT A QUESTION" iter/task "result = read_removed(task);"
expect 0 "0 defects" iter/task "if ($old) result = read_removed(task);"
expect 1 "task_struct___large.pid                            HAS 4 BYTES, NOT 8" iter/task \
	"result = BPF_CORE_READ((struct task_struct___large *)task, pid);"
expect 0 "0 defects" iter/task "result = BPF_CORE_READ_BITFIELD_PROBED((struct task_struct___large *)task, pid);"
expect 1 "NO SUCH ITERATOR" iter/invented "result = task->pid;"
exit $failed
