#!/usr/bin/env bash
# Builds images, where docker is:
#
#   images.sh [IMAGE...]       IMAGE is builder or a server; the default is all of them.
#                              Servers are built on the builder.
#   images.sh plugin NAME DIR  the image REGISTRY/NAME of the storage layer whose
#                              repository is DIR, for the builder's servers
#
# REGISTRY is what the names begin with (default: clusterpedia), VERSION the tag of builder
# and servers (default: that of this repository). PLUGIN_VERSION is the version of the
# storage layer (default: that of its repository). A plugin is for the servers of one build,
# so the tag of its image is PLUGIN_VERSION-for-VERSION.
set -euo pipefail
from=$PWD
cd "$(dirname "$0")/.."

die() { echo "images.sh: $*" >&2; exit 1; }

registry=${REGISTRY:-clusterpedia}
version=${VERSION:-$(git describe --tags --always --dirty --match 'v*')}
builder=$registry/builder:$version
servers=(apiserver binding-apiserver clustersynchro-manager controller-manager)

need_docker() { docker info >/dev/null 2>&1 || die "docker is needed, and answers nothing here"; }

# plugin NAME DIR
plugin() {
	[ $# = 2 ] || die "give the name of the image and the repository of the storage layer: images.sh plugin NAME DIR"
	local name=$1 dir plugin_version tag
	[[ $name =~ ^[a-z0-9]+([._-][a-z0-9]+)*$ ]] || die "NAME must be a name of an image such as redis-storage, not \"$name\""
	[[ " builder ${servers[*]} " != *" $name "* ]] || die "NAME must not be that of another image of Clusterpedia, as $name is"
	dir=$(cd "$from" && cd -- "$2" 2>/dev/null && pwd) || die "DIR: there is no directory $2"
	[ -e "$dir/go.mod" ] || die "DIR: there is no go.mod in $dir, give the repository of a storage layer"
	plugin_version=${PLUGIN_VERSION:-$(git -C "$dir" describe --tags --always --dirty 2>/dev/null || echo v0.0.0-unset)}
	tag=$plugin_version-for-$version
	[[ $tag =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$ ]] || die "PLUGIN_VERSION and VERSION must make up a tag of an image, not \"$tag\""
	need_docker
	docker image inspect "$builder" >/dev/null 2>&1 || docker pull --quiet "$builder" >/dev/null 2>&1 ||
		die "there is no image $builder: make it with images.sh builder, or set REGISTRY and VERSION to those of a release"
	docker build -f "$PWD/hack/images/plugin.Dockerfile" --build-arg BUILDER_IMAGE="$builder" --build-arg VERSION="$plugin_version" -t "$registry/$name:$tag" "$dir"
}

if [ "${1:-}" = plugin ]; then
	shift
	plugin "$@"
	exit
fi

[ $# -gt 0 ] || set -- builder "${servers[@]}"
for image in "$@"; do
	[[ " builder ${servers[*]} " == *" $image "* ]] || die "unknown image $image, want builder, one of ${servers[*]}, or plugin NAME DIR"
done
need_docker
for image in "$@"; do
	case $image in
	builder) docker build -f hack/images/builder.Dockerfile --build-arg VERSION="$version" -t "$builder" . ;;
	*) docker build -f hack/images/server.Dockerfile --build-arg BUILDER_IMAGE="$builder" --build-arg BIN_NAME="$image" -t "$registry/$image:$version" hack/images ;;
	esac
done
