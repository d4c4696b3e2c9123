#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The BTF of a kernel of kernel.sh, without booting it: prints the name of a file that holds it.
#
#	btf.sh 6.1|6.12|sid
set -e

dir=$("$(dirname "$0")/kernel.sh" "$1")
if [ -e "$dir/btf" ]; then
	echo "$dir/btf"
	exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

field() { # offset, bytes: a number of the header (Documentation/arch/x86/boot.rst)
	od -An -t "u$2" -j "$1" -N "$2" "$dir/vmlinuz" | tr -d ' '
}

# setup_sects, payload_offset, payload_length; the payload's last four bytes are its size when unpacked.
start=$((($(field 497 1) + 1) * 512 + $(field 584 4)))
size=$(($(field 588 4) - 4))
tail -c "+$((start + 1))" "$dir/vmlinuz" | head -c "$size" >"$work/payload"
case $(od -An -t x1 -N 4 "$work/payload" | tr -d ' ') in
fd377a58) unpack="xz -dc" ;;
28b52ffd) unpack="zstd -dcq" ;;
*)
	echo "btf.sh: $1: the kernel is packed in a way that is not known here" >&2
	exit 1
	;;
esac
$unpack <"$work/payload" >"$work/vmlinux"
objcopy --dump-section .BTF="$work/btf" "$work/vmlinux" "$work/rest"
[ -s "$work/btf" ] || {
	echo "btf.sh: $1: no BTF in its vmlinux" >&2
	exit 1
}
cp "$work/btf" "$dir/btf.new"
mv "$dir/btf.new" "$dir/btf"
echo "$dir/btf"
