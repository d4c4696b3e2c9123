#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Fetches a kernel of Debian's for selftests/vm, once: prints the directory that holds its `vmlinuz`, `lib/modules/` and `release`.
# apt works in a private directory with a sources list of its own: nothing of the host's configuration changes, nothing is installed.
#
#	kernel.sh 6.1|6.12|sid
set -e
export PATH="$PATH:/usr/sbin:/sbin"

cache=${BPFCKPT_KERNELS:-${XDG_CACHE_HOME:-$HOME/.cache}/bpfckpt/kernels}
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}

case $1 in
6.1) suite=bookworm ;;
6.12) suite=bookworm-backports ;;
sid) suite=sid ;;
*)
	echo "kernel.sh: no kernel '$1': there are 6.1, 6.12 and sid" >&2
	exit 2
	;;
esac
dir=$cache/$1
if [ -e "$dir/release" ]; then
	echo "$dir"
	exit 0
fi

fail() {
	echo "kernel.sh: $1: $2" >&2
	exit 1
}

# One at a time.
mkdir -p "$cache"
exec 9>"$cache/$1.lock"
flock 9
if [ -e "$dir/release" ]; then
	echo "$dir"
	exit 0
fi

work=$cache/$1.new
rm -rf "$work"
mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial" "$work/root"
trap 'rm -rf "$work"' EXIT
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$work/apt/sources.list"

private() { # program argument...: an apt program that sees nothing but $work
	program=$1
	shift
	timeout 300 "$program" -q -o Acquire::http::Timeout=20 -o Acquire::Retries=1 -o Dir::Etc::sourcelist="$work/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::Etc::preferencesparts=/dev/null -o Dir::State="$work/apt" -o Dir::State::status=/dev/null \
		-o Dir::Cache="$work/apt" -o APT::Sandbox::User=root "$@"
}

private apt-get update >"$work/log" 2>&1 || fail "$1" "$(tail -n 1 "$work/log")"
image=$(private apt-cache show linux-image-amd64 | grep -o 'linux-image-[0-9][^ ]*-amd64' | head -n 1)
[ -n "$image" ] || fail "$1" "$suite has no linux-image-amd64"
# Newer packages keep the kernel and its modules in packages of their own.
packages=$image
for part in binary modules base; do
	name=linux-$part-${image#linux-image-}
	! private apt-cache show "$name" >/dev/null 2>&1 || packages="$packages $name"
done
# shellcheck disable=SC2086 # a list
(cd "$work/apt" && private apt-get download $packages) >"$work/log" 2>&1 || fail "$1" "$(tail -n 1 "$work/log")"
for package in "$work"/apt/*.deb; do
	dpkg-deb -x "$package" "$work/root"
done

release=${image#linux-image-}
modules=$work/root/usr/lib/modules/$release
[ -d "$modules" ] || modules=$work/root/lib/modules/$release
for vmlinuz in "$work/root/boot/vmlinuz-$release" "$modules/vmlinuz"; do
	[ ! -e "$vmlinuz" ] || cp "$vmlinuz" "$work/vmlinuz"
done
[ -e "$work/vmlinuz" ] || fail "$1" "no vmlinuz in $packages"
mkdir -p "$work/lib/modules"
mv "$modules" "$work/lib/modules/$release"
depmod -b "$work" "$release"
rm -rf "$work/apt" "$work/root" "$work/log"
echo "$release" >"$work/release"
rm -rf "$dir"
mv "$work" "$dir"
trap - EXIT
echo "$dir"
