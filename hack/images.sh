#!/usr/bin/env bash
# Builds the images, where docker is: images.sh [IMAGE...]. IMAGE is builder or a server;
# the default is all of them. Servers are built on the builder.
#
# REGISTRY is what the names begin with (default: clusterpedia), VERSION their tag.
set -euo pipefail
cd "$(dirname "$0")/.."
docker info >/dev/null 2>&1 || { echo "images.sh: docker is needed, and answers nothing here" >&2; exit 1; }

registry=${REGISTRY:-clusterpedia}
version=${VERSION:-$(git describe --tags --always --dirty --match 'v*')}
builder=$registry/builder:$version
servers=(apiserver binding-apiserver clustersynchro-manager controller-manager)

[ $# -gt 0 ] || set -- builder "${servers[@]}"
for image in "$@"; do
	case $image in
	builder) docker build -f hack/images/builder.Dockerfile --build-arg VERSION="$version" -t "$builder" . ;;
	*)
		[[ " ${servers[*]} " == *" $image "* ]] || { echo "images.sh: unknown image $image, want builder or one of ${servers[*]}" >&2; exit 1; }
		docker build -f hack/images/server.Dockerfile --build-arg BUILDER_IMAGE="$builder" --build-arg BIN_NAME="$image" -t "$registry/$image:$version" hack/images
		;;
	esac
done
