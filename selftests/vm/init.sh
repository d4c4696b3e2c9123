#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The first program of a guest of run.sh, from its initramfs: mounts the host's root read-only, a disk of the guest's own on /tmp (but for the
# directory that is worked in, should it lie there), and runs /command.
# shellcheck shell=dash
set -e
export PATH=/bin
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
trap 'echo "init.sh: failed" >/dev/ttyS1; poweroff -f' EXIT
while read -r module; do
	insmod "/modules/$module"
done </modules/order
mount -t 9p -o trans=virtio,version=9p2000.L,cache=loose,msize=262144,ro host /root
directory=$(cat /directory)
mkdir /covered
case $directory in
/tmp/*) mount -o bind "/root$directory" /covered ;;
esac
mount -t ext4 /dev/vda /root/tmp
case $directory in
/tmp/*) mkdir -p "/root$directory" && mount -o move /covered "/root$directory" ;;
esac
mount -t proc proc /root/proc
mount -t sysfs sys /root/sys
mount -t securityfs securityfs /root/sys/kernel/security
mount -t cgroup2 cgroup2 /root/sys/fs/cgroup
mount -t bpf bpf /root/sys/fs/bpf
mount --move /dev /root/dev
mkdir -p /root/dev/shm /root/dev/pts
mount -t tmpfs tmpfs /root/dev/shm
mount -t devpts devpts /root/dev/pts
mount -t tmpfs tmpfs /root/run
chmod 1777 /root/tmp /root/dev/shm
ifconfig lo up
if [ -e /is_shared ]; then
	mkdir /root/run/share
	mount -t 9p -o trans=virtio,version=9p2000.L share /root/run/share
fi
cp /command /root/run/command
cp /directory /root/run/directory
trap - EXIT
# shellcheck disable=SC2016 # for that shell to expand
exec switch_root /root /bin/sh -c '
	cd "$(cat /run/directory)"
	export HOME=/tmp PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	# What a machine with more memory has by itself.
	prlimit --pid $$ --sigpending=65536 --nofile=65536:1048576
	setsid -c -w sh /run/command </dev/ttyS1 >/dev/ttyS1 2>&1
	echo "guest: exit status $?" >/dev/ttyS1
	sync
	echo o >/proc/sysrq-trigger
	sleep 60'
