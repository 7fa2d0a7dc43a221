# For the parts of tests/packages/run: sourced, in the project's root, with $BUILD and $PACKAGES_WORK.
# shellcheck shell=sh disable=SC2034
set -u

WORK=$PACKAGES_WORK/$(basename "$0")
VERSION=$(cat VERSION)
TESTS=$(dirname "$0")
mkdir -p "$WORK"
export WORK

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

# fails COMMAND...: for what must be noticed.
fails() {
	! "$@"
}

# silent COMMAND...: succeeds, and says nothing.
silent() {
	silent_out=$("$@" 2>&1) || { echo "$silent_out"; return 1; }
	[ -z "$silent_out" ] || { echo "$silent_out"; return 1; }
}

same() {
	[ "$1" = "$2" ] || { echo "'$1' is not '$2'"; return 1; }
}

# A TCP port of loopback that nobody uses now.
free_port() {
	/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# scrape URL FILE [CURL OPTION...]: waits until the exporter answers, and judges the page.
scrape() {
	url=$1 page=$2
	shift 2
	curl -sS --retry 50 --retry-delay 0 --retry-max-time 30 --retry-connrefused --max-time 5 -o "$page" "$@" "$url" &&
		promtool check metrics <"$page" &&
		grep -q '^tcphealth_sample_success 1$' "$page"
}

# What a user without capabilities sees: netlink works, and so do events.
sees_all() {
	grep -q '^tcphealth_sample_source{source="netlink"} 1$' "$1" && grep -q '^tcphealth_events_active 1$' "$1"
}

stop() {
	kill "$1" && wait "$1"
}

# A small Debian as a tarball, made once in a run.
base_image() {
	base=$PACKAGES_WORK/base.tar
	[ -s "$base" ] || mmdebstrap --quiet --variant=minbase --include=systemd-sysv,ca-certificates bookworm "$base"
}
