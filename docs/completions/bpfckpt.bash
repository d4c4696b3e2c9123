# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# bash completion for bpfckpt

_bpfckpt() {
	local cur prev words cword
	_init_completion || return
	local sections='--tasks --files --rings --timers --memory --json'
	case $prev in
	-t | --tree)
		_pids
		return
		;;
	-D | --images-dir | -W | --work-dir)
		_filedir -d
		return
		;;
	-o | --log-file | --pidfile)
		_filedir
		return
		;;
	--stats)
		mapfile -t COMPREPLY < <(compgen -W 'text json' -- "$cur")
		return
		;;
	--drain)
		mapfile -t COMPREPLY < <(compgen -W 'auto observe nop enter off' -- "$cur")
		return
		;;
	--leak)
		mapfile -t COMPREPLY < <(compgen -W 'all=ignore' -- "$cur")
		return
		;;
	--allow-inexact)
		mapfile -t COMPREPLY < <(compgen -W 'waitall connect timeout inotify all' -- "$cur")
		return
		;;
	--cpu-cap)
		mapfile -t COMPREPLY < <(compgen -W 'fpu none' -- "$cur")
		return
		;;
	--rebase-counters)
		mapfile -t COMPREPLY < <(compgen -W 'cq all' -- "$cur")
		return
		;;
	--timeout | --drain-timeout | --watch | --ghost-limit | --ring-counter-budget | --timer-id-limit)
		return
		;;
	esac
	local candidates
	case ${words[1]} in
	check) candidates='-t --tree --json --tcp-established --allow-inexact --ghost-limit --leak' ;;
	inspect) candidates="-t --tree $sections --watch" ;;
	dump)
		candidates='-t --tree -D --images-dir -W --work-dir -o --log-file -v --verbose -R --leave-running -s --leave-stopped'
		candidates+=' --timeout --drain --drain-timeout --tcp-established --allow-inexact --ghost-limit --forensic --leak --stats --dry-run'
		;;
	show)
		candidates=$sections
		if [[ $cur != -* ]]; then
			_filedir -d
			return
		fi
		;;
	restore)
		candidates='-D --images-dir -d --restore-detached --pidfile -s --leave-stopped -W --work-dir -o --log-file --dry-run --trust-images --timer-id-limit --ring-counter-budget --rebase-counters --cpu-cap'
		candidates+=' -v --verbose --timeout --stats'
		;;
	esac
	if ((cword == 1)); then
		candidates='check inspect dump show restore --help --help-all --version'
	else
		candidates+=' --help'
	fi
	mapfile -t COMPREPLY < <(compgen -W "$candidates" -- "$cur")
}

complete -F _bpfckpt bpfckpt
