#!/usr/bin/env bash
# Makes the root file system of a server's image: rootfs.sh SERVER DIRECTORY. It holds
# the server, what a program needs of /etc, and no shell. For a server that loads plugins
# it also holds the storage plugins "internal" and "memory", the C library that all were
# built with, and the program that copies plugins of other images.
#
# BIN names the directory of the built servers, with plugins/ in it.
set -euo pipefail
server=$1 root=$2 bin=${BIN:-/usr/local/bin}
plugins=${PLUGINS:-$bin/plugins}
uid=65532

die() { echo "rootfs.sh: $*" >&2; exit 1; }

install -D -m 755 "$bin/$server" "$root/usr/local/bin/$server"
# controller-manager alone is linked statically: it loads no plugins.
if [ "$server" != controller-manager ]; then
	shopt -s nullglob
	files=("$plugins"/*.so)
	[ ${#files[@]} -gt 0 ] || die "there is no plugin (*.so) in $plugins"
	libraries=$(ldd "$bin/$server" "${files[@]}" 2>&1) || die "ldd cannot say which libraries $server and its plugins need: $libraries"
	missing=$(grep 'not found' <<<"$libraries") && die "$server and its plugins need what is not here: $missing"

	install -D -m 755 "$bin/copy-plugins" "$root/usr/local/bin/copy-plugins"
	for plugin in "${files[@]}"; do
		install -D -m 644 "$plugin" "$root/usr/local/lib/clusterpedia/plugins/${plugin##*/}"
	done

	# What the dynamic linker will look for, and itself. Its lines are indented, those
	# that name a file are not.
	grep -E '^[[:space:]]' <<<"$libraries" | grep -oE '/[^ ]+\.so[^ ]*' | sort -u |
		while read -r library; do
			install -D -m 755 "$(realpath "$library")" "$root$library"
		done
	# glibc loads these by name, for host names of /etc/hosts and DNS.
	libc=$(grep -oE '/[^ ]+/libc\.so\.6' <<<"$libraries" | head -n 1)
	for library in libnss_files.so.2 libnss_dns.so.2 libresolv.so.2; do
		if [ -e "${libc%/*}/$library" ]; then install -D -m 755 "$(realpath "${libc%/*}/$library")" "$root${libc%/*}/$library"; fi
	done
fi

install -d -m 755 "$root/etc" "$root/proc" "$root/dev"
echo "nonroot:x:$uid:$uid:nonroot:/home/nonroot:/sbin/nologin" >"$root/etc/passwd"
echo "nonroot:x:$uid:" >"$root/etc/group"
echo "hosts: files dns" >"$root/etc/nsswitch.conf"
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
	install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
fi

# Where servers write: self-signed certificates and logs.
install -d -m 1777 "$root/tmp"
for dir in home/nonroot apiserver.local.config/certificates var/log/clusterpedia; do
	install -d -m 755 "$root/$dir"
	chown -R "$uid:$uid" "$root/${dir%%/*}"
done
chown root:root "$root/var" "$root/home" && chown "$uid:$uid" "$root/var/log/clusterpedia"

# Manifests of earlier releases let these listen on port 443. The capability is the file's,
# so that the user need not be root; where a pod forbids to gain privileges it has no effect.
# Whoever drops all capabilities has to add this one again, or the kernel refuses to run
# the file.
case $server in
apiserver | binding-apiserver) PATH=$PATH:/usr/sbin setcap cap_net_bind_service=+ep "$root/usr/local/bin/$server" ;;
esac
