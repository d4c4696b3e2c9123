#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Runs a command on another kernel, under QEMU: the guest sees the host's root read-only, and a disk of its own on /tmp. Prints what the command
# prints; exits as it does. 125: the guest died. 124: it did not end in GUEST_SECONDS (600). The end of its console is told then.
# GUEST_SHARE: a directory that the guest may write, as /run/share.
#
#	run.sh 6.1|6.12|sid command...
set -e
export PATH="$PATH:/usr/sbin:/sbin"

here=$(dirname "$(readlink -f "$0")")
kernel=$1
shift
dir=$("$here/kernel.sh" "$kernel")
release=$(cat "$dir/release")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

root=$work/initramfs
mkdir -p "$root/bin" "$root/dev" "$root/modules" "$root/root"
cp /bin/busybox "$root/bin/"
install -m 755 "$here/init.sh" "$root/init"
echo "$*" >"$root/command"
pwd >"$root/directory"
share=
if [ -n "${GUEST_SHARE:-}" ]; then
	touch "$root/is_shared"
	share="-fsdev local,id=share,path=$GUEST_SHARE,security_model=none -device virtio-9p-pci,fsdev=share,mount_tag=share"
fi

unpack() { # FILE: a module, as the guest's insmod can read it
	case $1 in
	*.xz) xz -dc "$1" >"$root/modules/$(basename "$1" .xz)" ;;
	*.zst) zstd -qdc "$1" >"$root/modules/$(basename "$1" .zst)" ;;
	*) cp "$1" "$root/modules/" ;;
	esac
}
for module in virtio_pci virtio_blk ext4 9pnet_virtio 9p tun overlay; do
	modprobe -d "$dir" -S "$release" --show-depends "$module" >>"$work/depends"
done
awk '$1 == "insmod" && !seen[$2]++ { print $2 }' "$work/depends" | while read -r file; do
	unpack "$file"
	basename "$file" | sed 's/\.ko.*/.ko/' >>"$root/modules/order"
done
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$work/initrd"

truncate -s 4G "$work/disk"
mkfs.ext4 -q "$work/disk"

# shellcheck disable=SC2086 # share: some words, or none
# Without erms and avx2: the string functions of kernel and libc that use them are slower in emulation, by a fifth of all. Without la57, smap and smep:
# a level of page tables less, and no switches of what the kernel may touch, a twentieth.
# One processor: 6.12 was seen crashing at random under TCG with two.
# GUEST_QEMU='-icount shift=1' is for a host that has much else to do: the guest's clocks follow the instructions that it has executed then, 2 ns each, so
# its deadlines hold; but it takes two to three times as long.
{ timeout --foreground -k 5 "${GUEST_SECONDS:-600}" qemu-system-x86_64 -accel tcg -cpu "${GUEST_CPU:-max,-erms,-avx2,-la57,-smap,-smep}" -smp 1 -m "${GUEST_MEMORY:-3G}" \
	-nographic -nodefaults -no-reboot -kernel "$dir/vmlinuz" -initrd "$work/initrd" \
	${GUEST_QEMU:-} -append "console=ttyS0 quiet panic=-1 oops=panic mitigations=off no_timer_check ${GUEST_APPEND:-}" -serial "file:$work/console" -serial stdio \
	-drive "file=$work/disk,format=raw,if=virtio,cache=unsafe" \
	-fsdev local,id=root,path=/,security_model=none,readonly=on,multidevs=remap \
	-device virtio-9p-pci,fsdev=root,mount_tag=host $share 2>"$work/qemu" || echo $? >"$work/ended"; } |
	sed -u 's/\r//g' | tee "$work/output" | grep --line-buffered -v '^guest: exit status' || true

status=$(sed -n 's/^guest: exit status //p' "$work/output" | tail -n 1)
if [ -z "$status" ]; then
	status=125
	what=died
	case $(cat "$work/ended" 2>/dev/null) in
	124 | 137)
		status=124
		what="did not end in ${GUEST_SECONDS:-600} s"
		;;
	esac
	echo "run.sh: the guest with $release $what; its console, and QEMU:"
	tail -n 40 "$work/console" "$work/qemu"
	exit $status
fi
exit "$status"
