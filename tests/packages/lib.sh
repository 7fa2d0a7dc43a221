# For the parts of tests/packages/run: sourced, in the project's root, with $BUILD and $PACKAGES_WORK.
# shellcheck shell=sh disable=SC2034
set -u

WORK=$PACKAGES_WORK/$(basename "$0")
VERSION=$(cat VERSION)
TESTS=$(dirname "$0")
mkdir -p "$WORK"
export WORK
# shellcheck source=tests/packages/check.sh
. "$TESTS/check.sh"

# A TCP port of loopback that nobody uses now.
free_port() {
	/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# get FILE URL [CURL OPTION...]: waits until somebody answers.
get() {
	curl -sS --retry 50 --retry-delay 0 --retry-max-time 30 --retry-connrefused --max-time 5 -o "$@"
}

stop() {
	kill "$1" && wait "$1"
}

podman() {
	"$TESTS/podman" "$@"
}

# A small Debian with systemd as the image localhost/base, made once in a run.
base_image() {
	podman image exists localhost/base && return 0
	mmdebstrap --quiet --variant=minbase --include=systemd-sysv,ca-certificates bookworm "$PACKAGES_WORK/base.tar" &&
		podman import -q "$PACKAGES_WORK/base.tar" localhost/base:latest &&
		rm "$PACKAGES_WORK/base.tar"
}
