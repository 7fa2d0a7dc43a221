# Checks of one part, each a line `ok NAME` or `FAIL NAME`: sourced, with $WORK for what they say.
# shellcheck shell=sh

# check NAME COMMAND...: shows what the command says only if it fails.
check() {
	check_name=$1
	shift
	if "$@" >"$WORK/check.log" 2>&1 </dev/null; then
		echo "ok $check_name"
		return 0
	fi
	echo "FAIL $check_name"
	tail -n 60 "$WORK/check.log" | sed 's/^/   | /'
	return 1
}

# For what must be noticed.
fails() {
	! "$@"
}

# Succeeds, and says nothing.
silent() {
	silent_out=$("$@" 2>&1) || { echo "$silent_out"; return 1; }
	[ -z "$silent_out" ] || { echo "$silent_out"; return 1; }
}

same() {
	[ "$1" = "$2" ] || { echo "'$1' is not '$2'"; return 1; }
}

# Asks 5 times a second, for 20 s at most.
until_true() {
	for _ in $(seq 100); do
		"$@" && return 0
		sleep 0.2
	done
	return 1
}
