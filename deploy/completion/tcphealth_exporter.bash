# bash completion for tcphealth_exporter. tests/docs/check compares the flags with --help.

_tcphealth_exporter() {
	local cur=${COMP_WORDS[COMP_CWORD]} flag=${COMP_WORDS[COMP_CWORD - 1]}
	local switches='--web.systemd-socket --web.disable-exporter-metrics --collector.events --log.stale --sandbox'
	local modes='--once --list-stale --config.check --version --help'
	local values='--web.listen-address --web.config.file --web.telemetry-path --web.max-requests
		--web.connections
		--collector.interval --collector.full-every --collector.source --collector.netns --collector.cpu-budget
		--ports.include --ports.exclude --ports.max --ports.keep
		--stale.dead --stale.unaccepted --stale.retransmit --stale.unread
		--stale.zero-window --stale.eof-unread --stale.close-wait --stale.fin-wait2
		--stale.closing --stale.syn-sent --stale.syn-recv --stale.keepalive-probes
		--stale.idle
		--path.procfs --path.cgroupfs --log.level --log.format --output --format'

	# Readline breaks words at "=": --flag=val is three words, with "=" alone or before the cursor.
	if [[ $cur == = ]]; then
		cur=
	elif [[ $flag == = ]]; then
		flag=${COMP_WORDS[COMP_CWORD - 2]}
	fi

	COMPREPLY=()
	case $flag in
	--web.connections) mapfile -t COMPREPLY < <(compgen -W 'loopback all none' -- "$cur") ;;
	--collector.source) mapfile -t COMPREPLY < <(compgen -W 'auto netlink procfs' -- "$cur") ;;
	--collector.netns) mapfile -t COMPREPLY < <(compgen -W 'own all' -- "$cur") ;;
	--log.level) mapfile -t COMPREPLY < <(compgen -W 'debug info warn error' -- "$cur") ;;
	--log.format) mapfile -t COMPREPLY < <(compgen -W 'logfmt json' -- "$cur") ;;
	--format) mapfile -t COMPREPLY < <(compgen -W 'table json' -- "$cur") ;;
	--path.*) mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
	--output | --web.config.file) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	--web.* | --collector.* | --ports.* | --stale.*)
		[[ " $switches " == *" $flag "* ]] || return 0
		;;
	esac
	[[ ${#COMPREPLY[@]} -eq 0 && $cur != [!-]* ]] || return 0

	mapfile -t COMPREPLY < <(compgen -W "$modes $switches ${switches//--/--no-} $values" -- "$cur")
	# Complete a flag that needs a value with "=" and no space.
	if [[ ${#COMPREPLY[@]} -eq 1 && " ${values//[$'\n\t']/ } " == *" ${COMPREPLY[0]} "* ]]; then
		COMPREPLY[0]+='='
		compopt -o nospace 2>/dev/null
	fi
}

complete -F _tcphealth_exporter tcphealth_exporter
