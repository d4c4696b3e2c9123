#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Each option of each command is in its man page and in the completions of bash, zsh and fish, and none is there that the command does not
# have. What --help prints decides.
set -eu
cd "$(dirname "$0")/../.."
bpfckpt=${BPFCKPT:-build/bpfckpt}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
status=0

# The options that --help lists, short and long, one a line.
of_help() { # command
	"$bpfckpt" "$1" --help | sed -nE 's/^  (-[-A-Za-z,]+).*/\1/p' | tr ',' '\n' | without_help
}

# A man page has a paragraph for each that begins with its names.
of_man() { # command
	grep -E '^\*-' "docs/man/bpfckpt-$1.8.scd" | grep -oE '\*--?[A-Za-z][-a-z]*\*' | tr -d '*' | without_help
}

of_bash() { # command
	bash -c '
		_init_completion() { words=(bpfckpt "$command" --); cword=2 cur=-- prev=$command; }
		complete() { :; }
		compgen() { printf "%s\n" $2; }
		. docs/completions/bpfckpt.bash
		command=$1
		_bpfckpt
		printf "%s\n" "${COMPREPLY[@]}"' bash "$1" | without_help
}

# The specifications of its branch, and of the arrays that the branch names.
of_zsh() { # command
	awk -v command="$1" '
		/^[a-z]+=\(/ { array = $0; sub(/=.*/, "", array) }
		array { text[array] = text[array] "\n" $0 }
		array && /\)$/ { array = "" }
		$0 == command ")" { inside = 1; next }
		/^\t;;/ { inside = 0 }
		inside {
			print
			for (name in text)
				if ($0 ~ "\\$" name) print text[name]
		}' docs/completions/_bpfckpt | tr "{},['*" '\n' | grep -xE -e '--?[A-Za-z][-a-z]*' | without_help
}

of_fish() { # command
	awk -v command="$1" '
		/^set -l/ { condition["$" $3] = $0; next }
		/^complete/ {
			text = $0
			for (name in condition)
				if (index($0, "-n " name " ")) text = condition[name]
			sub(/.*__fish_seen_subcommand_from/, "", text)
			sub(/\047.*/, "", text)
			if (index(text " ", " " command " ") == 0 || !/__fish_seen_subcommand_from|-n \$/) next
			for (i = 1; i < NF; i++) {
				if ($i == "-s") print "-" $(i + 1)
				if ($i == "-l") print "--" $(i + 1)
			}
		}' docs/completions/bpfckpt.fish | without_help
}

# Those of all commands are elsewhere.
without_help() {
	grep -vxE -e '-h|--help|--help-all' | sort -u
}

for command in check inspect dump show restore; do
	of_help "$command" >"$dir/help"
	[ -s "$dir/help" ] || { echo "$command --help lists no option"; exit 1; }
	of_man "$command" >"$dir/man"
	of_bash "$command" >"$dir/bash"
	of_zsh "$command" >"$dir/zsh"
	of_fish "$command" >"$dir/fish"
	for where in man bash zsh fish; do
		diff -U0 --label "$command --help" "$dir/help" --label "$where" "$dir/$where" || status=1
	done
done
exit $status
