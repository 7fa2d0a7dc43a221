#!/bin/sh
# Installs the Debian packages that a part of the project needs, and only those that are missing.
#
#   deploy/setup.sh COMPONENT...      build, alerts, check, bench, healthy, fuzz, robust, deb, packages, platforms, lint, ci
#
# Prints what it installs, and runs apt-get as root or through sudo. If it cannot (another distribution,
# no root and no sudo), it lists the packages and exits with status 1. It never prompts.
# With TCPHEALTH_NO_SETUP=1 it does nothing.
set -eu

BUILD='gcc libc6-dev make pkg-config libmicrohttpd-dev libmnl-dev libdeflate-dev libfyaml-dev
	libgnutls28-dev libcrypt-dev libseccomp-dev'
# For docs/first-alert.md.
ALERTS='prometheus prometheus-alertmanager jsonnet curl python3'
CHECK='libcmocka-dev iproute2 nftables python3 prometheus prometheus-alertmanager
	python3-prometheus-client python3-yaml procps curl strace valgrind openssl jsonnet mandoc
	chromium nodejs npm podman runc busybox-static systemd'
# The programs that the exporter is compared with.
BENCH='iproute2 prometheus-node-exporter collectd-core zabbix-agent golang-go
	golang-github-prometheus-client-golang-dev'
# Real programs; `make healthy` watches them under normal load.
HEALTHY='apache2 haproxy nginx-light pgbouncer postgresql redis-server openssh-server
	openssh-client python3-requests curl prometheus'
FUZZ='clang-14 libclang-rt-14-dev'
# Fault injection, and checks for what broke.
ROBUST='strace valgrind slowhttptest devscripts'
# DEB builds the Debian package; PACKAGES builds all packages, checks them, and installs them into small systems.
DEB='build-essential debhelper libcmocka-dev'
PACKAGES="$DEB"' lintian rpm mmdebstrap podman runc systemd unzip npm nodejs
	python3 python3-yaml mandoc curl openssl ansible-core ansible-lint yamllint'
# Other compilers, and what a small system for i386 is made with.
PLATFORMS='gcc-11 clang-19 mmdebstrap'
LINT='clang-format-14 clang-tidy-14 cppcheck shellcheck python3'
CI='git curl'

# Packages that start a daemon when installed; the tests need only the programs.
SERVICES='prometheus prometheus-alertmanager prometheus-node-exporter collectd zabbix-agent
	apache2 haproxy nginx pgbouncer postgresql redis-server ssh'

POLICY=/usr/sbin/policy-rc.d
policy_made=

say() {
	echo "setup: $*" >&2
}

packages_of() {
	case $1 in
	build) echo "$BUILD" ;;
	alerts) echo "$ALERTS" ;;
	check) echo "$CHECK" ;;
	bench) echo "$BENCH" ;;
	healthy) echo "$HEALTHY" ;;
	fuzz) echo "$FUZZ" ;;
	robust) echo "$ROBUST" ;;
	deb) echo "$DEB" ;;
	packages) echo "$PACKAGES" ;;
	platforms) echo "$PLATFORMS" ;;
	lint) echo "$LINT" ;;
	ci) echo "$CI" ;;
	*)
		say "unknown component '$1': build, alerts, check, bench, healthy, fuzz, robust, deb, packages, platforms, lint or ci"
		return 2
		;;
	esac
}

# Node.js often comes from elsewhere, as one package that includes npm.
is_there() {
	case $1 in
	nodejs) command -v node >/dev/null ;;
	npm) command -v npm >/dev/null ;;
	*) return 1 ;;
	esac
}

# Prints the packages among its arguments that are not installed.
missing_of() {
	installed=$(dpkg-query -W -f '${Package} ${Status}\n' "$@" 2>/dev/null | sed -n 's/ .*ok installed$//p' || true)
	for package in "$@"; do
		is_there "$package" || echo "$installed" | grep -qxF "$package" || echo "$package"
	done | sort -u | tr '\n' ' '
}

is_root() {
	[ "$(id -u)" -eq 0 ]
}

# sudo drops the environment, so variables for apt-get are arguments of env.
as_root() {
	if is_root; then
		env "$@"
	else
		sudo -n env "$@"
	fi
}

can_be_root() {
	is_root || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }
}

# Mirrors fail sometimes: three attempts.
apt_get() {
	for pause in 5 20 -; do
		as_root DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 \
			-o Acquire::Retries=3 "$@" </dev/null >&2 && return 0
		[ "$pause" = - ] || sleep "$pause"
	done
	say "apt-get $1 failed"
	return 1
}

# Prevents services from starting during the installation. Leaves an existing policy alone; container
# images often have one.
forbid_services() {
	[ -e "$POLICY" ] && return 0
	printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY" >/dev/null
	as_root chmod 755 "$POLICY"
	policy_made=yes
}

allow_services() {
	[ -n "$policy_made" ] || return 0
	as_root rm -f "$POLICY"
	policy_made=
}

# The packages also enable their units for the next boot.
disable_services() {
	[ -d /run/systemd/system ] || return 0
	for service in $SERVICES; do
		case " $1 " in
		*" $service "*) as_root systemctl --quiet disable "$service" || true ;;
		esac
	done
}

install_missing() {
	say "installing: $1"
	apt_get update
	trap allow_services EXIT
	trap 'exit 130' HUP INT TERM
	forbid_services
	# shellcheck disable=SC2086 # a list of package names
	apt_get install --no-install-recommends $1
	disable_services "$1"
}

if [ $# -eq 0 ]; then
	say "usage: deploy/setup.sh COMPONENT... (build, alerts, check, bench, healthy, fuzz, robust, deb, packages, platforms, lint, ci)"
	exit 2
fi
wanted=
for component in "$@"; do
	wanted="$wanted $(packages_of "$component")"
done

[ -n "${TCPHEALTH_NO_SETUP:-}" ] && exit 0
if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	say "not a Debian-like system; install the equivalents of these Debian packages:$(echo "$wanted" | tr -s '\t\n ' ' ')"
	say "then set TCPHEALTH_NO_SETUP=1"
	exit 1
fi
# shellcheck disable=SC2086 # a list of package names
missing=$(missing_of $wanted)
[ -z "$missing" ] && exit 0
if ! can_be_root; then
	say "cannot install without root or sudo: $missing"
	exit 1
fi
install_missing "$missing"
