#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# make demo: an io_uring echo server with 100 clients is inspected, dumped while they talk, and shown from its images; then every byte is
# accounted for. Needs root; uses loopback only; leaves nothing behind.
#
#	demo.sh BUILD_DIR
set -eu
build=$(cd "$1" && pwd)
bpfckpt=$build/bpfckpt
dir=$(mktemp -d)
server=
clients=

# shellcheck disable=SC2317 # called by the trap
clean_up() {
	for pid in $clients $server; do kill -9 "$pid" 2>/dev/null || true; done
	wait
	rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
	bold=$(printf '\033[1m') plain=$(printf '\033[0m')
fi
say() { printf '\n%s# %s%s\n' "$bold" "$*" "$plain"; }

width=150
# Prints a command, and the first lines of what it says.
run() { # lines, command...
	lines=$1
	shift
	printf '$ bpfckpt %s\n' "$*"
	status=0
	"$bpfckpt" "$@" >"$dir/out" 2>&1 || status=$?
	head -n "$lines" "$dir/out" | cut -c "1-$width"
	total=$(wc -l <"$dir/out")
	[ "$total" -le "$lines" ] || printf '... (%d more lines)\n' $((total - lines))
	[ $status -eq 0 ] || { echo "exit $status"; exit 1; }
}

wait_for() { # file
	for _ in $(seq 1000); do
		[ -e "$1" ] && return
		sleep 0.01
	done
	echo "no $1 within 10 s" >&2
	exit 1
}

[ "$(id -u)" = 0 ] || { echo "make demo wants root: bpfckpt reads kernel state" >&2; exit 4; }
mkdir "$dir/server" "$dir/clients" "$dir/images"

say "A TCP echo server on io_uring: one ring, connections in fixed file slots (no descriptors)"
cd "$dir/server"
setsid "$build/selftests/echo/echo_server" </dev/null >log 2>&1 &
server=$!
wait_for ready
port=$(sed -n 's/^port //p' ready)
echo "pid $server, port $port"

say "100 clients connect, talk, and check every byte of the answers"
cd "$dir/clients"
setsid "$build/selftests/echo/echo_clients" "$port" 100 </dev/null >log 2>&1 &
clients=$!
wait_for ready
for fd in "/proc/$server/fd"/*; do echo "fd ${fd##*/} -> $(readlink "$fd")"; done
cd "$dir"

say "What /proc does not show: what the ring holds, and what it waits for (the server runs on)"
run 20 inspect -t "$server" --rings

say "Dump it while they talk; -R: the server goes on, --forensic: TCP connections cannot be restored yet"
run 20 dump -t "$server" -D "$dir/images" -R --tcp-established --forensic

say "What was written, and why it could not be restored as it is"
run 8 show "$dir/images"

say "The same ring, from the images"
echo "\$ bpfckpt show $dir/images --rings"
"$bpfckpt" show "$dir/images" --rings | sed -n '/^Ring/,$p' | head -n 20 | cut -c "1-$width"

say "Ten more dumps under load"
for i in $(seq 10); do
	mkdir "$dir/images.$i"
	"$bpfckpt" dump -t "$server" -D "$dir/images.$i" -R --tcp-established --forensic >"$dir/out" 2>&1 || { cat "$dir/out"; exit 1; }
	tail -n 1 "$dir/out"
done

say "Did anyone notice? The clients' account:"
touch "$dir/clients/stop"
lost=0
wait $clients || lost=1
clients=
cat "$dir/clients/log"
kill -TERM "$server"
wait $server || lost=1
server=
cat "$dir/server/log"
[ $lost = 0 ] && say "Nothing was lost."
exit $lost
