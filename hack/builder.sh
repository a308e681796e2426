#!/usr/bin/env bash
# Builds a server, or a storage plugin for it, with the command line and the variables
# that Clusterpedia's builder has always had.
set -euo pipefail

usage() {
	cat <<'TEXT'
builder.sh apiserver|binding-apiserver|clustersynchro-manager|controller-manager
    builds a server into $OUTPUT_DIR/bin/
builder.sh plugins NAME.so
    builds the storage layer in $PLUGIN_REPO into $OUTPUT_DIR/plugins/NAME.so, for the
    server $HOST_BINARY

CLUSTERPEDIA_REPO  Clusterpedia's repository (default: the one that this script is in)
PLUGIN_REPO        the storage layer's repository (default: the current directory)
OUTPUT_DIR         default: $CLUSTERPEDIA_REPO, or $PLUGIN_REPO for plugins
HOST_BINARY        the server that a plugin is for (default: $OUTPUT_DIR/bin/apiserver,
                   else /usr/local/bin/apiserver, else one that is built here)
GOOS, GOARCH       what to build for; GOOS can only be linux
BUILD_CC           the C compiler (default: Debian's for GOARCH)
BUILD_LDFLAGS      more flags for the linker, for servers
PLUGIN_VERSION     the version of the plugin
TEXT
}

die() { echo "builder.sh: $*" >&2; exit 1; }

here=$(cd "$(dirname "$0")/.." && pwd)
repo=${CLUSTERPEDIA_REPO:-$here}
if [ -n "${OUTPUT_DIR:-}" ]; then OUTPUT_DIR=$(realpath -m "$OUTPUT_DIR"); fi # make runs elsewhere
os=${GOOS:-linux} arch=${GOARCH:-$(go env GOHOSTARCH)}

[ $# -gt 0 ] || { usage; exit 0; }
case $1 in -h | --help | help) usage; exit 0 ;; esac
[ "$os" = linux ] || die "GOOS must be linux, not $os: Go's plugins are for Linux"
head -1 "$repo/clusterpedia/go.mod" 2>/dev/null | grep -qx 'module clusterpedia.io/clusterpedia' || die "CLUSTERPEDIA_REPO: $repo is no repository of Clusterpedia"

cc=${BUILD_CC:-${BUILD_CC_FOR_TARGET:-}}
if [ -z "$cc" ] && [ "$arch" != "$(go env GOHOSTARCH)" ]; then
	case $arch in
	amd64) cc=x86_64-linux-gnu-gcc ;;
	arm64) cc=aarch64-linux-gnu-gcc ;;
	*) die "set BUILD_CC to a C compiler for $arch" ;;
	esac
fi
if [ -n "$cc" ]; then export CC=$cc; fi

# server NAME DIRECTORY [ARCH]
server() {
	[ -d "$repo/clusterpedia/cmd/$1" ] || die "there is no $1 in $repo"
	GOOS=linux GOARCH=${3:-$arch} make --no-print-directory -C "$repo" "build-$1" BIN="$2" EXTRA_LDFLAGS="${BUILD_LDFLAGS:-}"
}

case $1 in
apiserver | binding-apiserver | clustersynchro-manager | controller-manager)
	[ $# = 1 ] || die "$1 takes no arguments"
	server "$1" "${OUTPUT_DIR:-$repo}/bin"
	;;
plugins)
	[ $# = 2 ] || die "give the name of the plugin: builder.sh plugins NAME.so"
	[ "${2%.so}" != "$2" ] && [ "${2##*/}" = "$2" ] || die "the name of the plugin must be NAME.so, not $2"
	plugin=${PLUGIN_REPO:-$PWD}
	[ "$(realpath "$plugin")" != "$(realpath "$repo")" ] || die "PLUGIN_REPO must be a repository of its own, not Clusterpedia's"
	output=${OUTPUT_DIR:-$plugin}
	for host in "${HOST_BINARY:-}" "$output/bin/apiserver" /usr/local/bin/apiserver; do
		[ -n "$host" ] && [ -x "$host" ] && break
		host=""
	done
	if [ -z "$host" ]; then
		host=$output/bin/apiserver
		(unset CC; server apiserver "$output/bin" "$(go env GOHOSTARCH)")
	fi
	tool=$(command -v clusterpedia || true)
	if [ -z "$tool" ]; then
		tool=$output/bin/clusterpedia
		(unset CC; server clusterpedia "$output/bin" "$(go env GOHOSTARCH)")
	fi
	"$tool" plugin build --host "$host" --arch "$arch" --plugin-version "${PLUGIN_VERSION:-}" -o "$output/plugins/$2" "$plugin"
	;;
*)
	usage >&2
	die "unknown component $1"
	;;
esac
