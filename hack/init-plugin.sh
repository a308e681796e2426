#!/usr/bin/env bash
# Starts the repository of a storage layer: init-plugin.sh MODULE [FLAGS], as
# "clusterpedia plugin new" does.
set -euo pipefail
if [ $# = 0 ]; then
	echo "init-plugin.sh MODULE, such as example.com/you/redis-storage" >&2
	exit 1
fi
repo=$(cd "$(dirname "$0")/.." && pwd)
tool=$(command -v clusterpedia || true)
if [ -z "$tool" ]; then
	make --no-print-directory -C "$repo" build-clusterpedia >&2
	tool=$repo/bin/clusterpedia
fi
exec "$tool" plugin new "$@"
