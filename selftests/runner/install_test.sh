#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# make install puts the program and a man page for each command below DESTDIR and PREFIX; make uninstall leaves no file.
set -eu
cd "$(dirname "$0")/../.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

make install DESTDIR="$dir" PREFIX=/usr
"$dir/usr/bin/bpfckpt" --version
for command in dump inspect show check restore; do
	"$dir/usr/bin/bpfckpt" "$command" --help >"$dir/help" 2>&1 || continue
	rm "$dir/help"
	[ -s "$dir/usr/share/man/man8/bpfckpt-$command.8" ] || { echo "no man page of $command"; exit 1; }
done
rm -f "$dir/help"
[ -s "$dir/usr/share/man/man8/bpfckpt.8" ] || { echo "no man page"; exit 1; }
[ -s "$dir/usr/share/bash-completion/completions/bpfckpt" ] || { echo "no completion for bash"; exit 1; }
make uninstall DESTDIR="$dir" PREFIX=/usr
left=$(find "$dir" -type f)
[ -z "$left" ] || { echo "uninstall left $left"; exit 1; }
