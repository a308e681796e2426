#!/usr/bin/env bash
# Installs what the tests run, from Debian or Ubuntu: the database servers PostgreSQL,
# MariaDB and Redis, and the C compilers for arm64 and for musl. Does nothing if they
# are there. No system-wide server is started by it.
set -euo pipefail

needed() {
	local missing=() dir postgres=""
	for dir in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/bin; do
		if [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ] && [ -x "$dir/psql" ]; then postgres=$dir; fi
	done
	[ -n "$postgres" ] || missing+=(postgresql)
	if ! { [ -x /usr/sbin/mariadbd ] || [ -x /usr/libexec/mariadbd ] || [ -x /usr/bin/mariadbd ]; } ||
		! [ -x /usr/bin/mariadb-install-db ] || ! [ -x /usr/bin/mariadb ]; then
		missing+=(mariadb-server)
	fi
	command -v redis-server >/dev/null || missing+=(redis-server)
	if [ "$(uname -m)" = x86_64 ]; then
		command -v aarch64-linux-gnu-gcc >/dev/null || missing+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross)
	fi
	command -v musl-gcc >/dev/null || missing+=(musl-tools)
	command -v setcap >/dev/null || [ -x /usr/sbin/setcap ] || missing+=(libcap2-bin)
	echo "${missing[*]}"
}

missing=$(needed)
if [ -z "$missing" ]; then
	echo "what the tests need is installed"
	exit 0
fi
if ! command -v apt-get >/dev/null; then
	echo "missing: $missing. There is no apt-get here: install the server and client programs of PostgreSQL (initdb, postgres, psql) and MariaDB (mariadbd, mariadb-install-db, mariadb), redis-server, and the compilers aarch64-linux-gnu-gcc and musl-gcc another way" >&2
	exit 1
fi
if [ "$(id -u)" != 0 ]; then
	if ! command -v sudo >/dev/null; then
		echo "missing: $missing. Run this as root, or install sudo" >&2
		exit 1
	fi
	echo "missing: $missing. Installing with sudo"
	exec sudo "$0" "$@"
fi

is_running() { service "$1" status >/dev/null 2>&1; }

# The servers that run already are none of our business.
idle=()
for service in postgresql mariadb redis-server; do
	is_running "$service" || idle+=("$service")
done

# Debian's packages start their servers unless this program says 101 (no).
policy=/usr/sbin/policy-rc.d
own_policy=""
cleanup() {
	status=$?
	[ -z "$own_policy" ] || rm -f "$policy"
	# With a policy of somebody else they may have been started.
	for service in "${idle[@]}"; do
		if is_running "$service"; then service "$service" stop || status=1; fi
	done
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
# Made aside and linked, which fails if there is one.
aside=$(mktemp "$policy.XXXXXX")
printf '#!/bin/sh\nexit 101\n' >"$aside"
chmod 755 "$aside"
if ln -T "$aside" "$policy" 2>/dev/null; then own_policy=yes; fi
rm -f "$aside"

missing_before=$missing
export DEBIAN_FRONTEND=noninteractive
apt-get update
# shellcheck disable=SC2086 # a list
apt-get install --yes --no-install-recommends $missing

missing=$(needed)
if [ -n "$missing" ]; then
	echo "still missing after the installation: $missing" >&2
	exit 1
fi
echo "installed: $missing_before; no system-wide server was started"
if [ -d /run/systemd/system ] && [ "${#idle[@]}" -gt 0 ]; then
	echo "(they start with the machine, unless you run: systemctl disable ${idle[*]})"
fi
