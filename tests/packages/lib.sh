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

# thrice COMMAND...: mirrors have bad moments.
thrice() {
	"$@" || { sleep 5; "$@"; } || { sleep 20; "$@"; }
}

# A small Debian with systemd as the image localhost/base, made once in a run.
base_image() {
	podman image exists localhost/base && return 0
	thrice mmdebstrap --quiet --variant=minbase --dpkgopt=force-unsafe-io \
		--include=systemd-sysv,ca-certificates bookworm "$PACKAGES_WORK/base.tar" &&
		podman import -q "$PACKAGES_WORK/base.tar" localhost/base:latest &&
		rm "$PACKAGES_WORK/base.tar"
}

# image_with IMAGE FROM PACKAGE...: another with these packages, made once in a run.
image_with() {
	image_made=$1 image_from=$2
	podman image exists "localhost/$image_made" && return 0
	shift 2
	thrice podman run --replace --name making --network host "localhost/$image_from" sh -c \
		'apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends "$@"' sh "$@" &&
		podman commit -q making "localhost/$image_made" && podman rm making
}

# boot NAME IMAGE OPTION...: as a machine whose process 1 is a real systemd, without a network.
boot() {
	boot_name=$1 boot_image=$2
	shift 2
	podman run -d --replace --name "$boot_name" --systemd=always --privileged --network none "$@" \
		"localhost/$boot_image" /lib/systemd/systemd &&
		until_true podman exec "$boot_name" systemctl is-system-running --wait
}

debs=$PACKAGES_WORK/debs
deb=$debs/tcphealth-exporter_${VERSION}_$(dpkg --print-architecture).deb

# The Debian packages, made once in a run. The program's own tests have run on the same sources.
build_packages() {
	[ -e "$deb" ] || DEB_BUILD_OPTIONS="nocheck parallel=$(nproc)" deploy/build-deb "$debs"
}

# What the package says it depends on; of alternatives the first.
depends() {
	dpkg-deb -f "$deb" Depends | tr ',' '\n' | sed -E 's/[|(].*//; s/ //g' | sort -u | xargs
}
