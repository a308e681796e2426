#!/usr/bin/env bash
# Fails if the code and manifests generated from clusterpedia/api are not what
# hack/update-codegen.sh makes of it, or if the custom resource definitions are not
# what users rely on. It generates into a copy: nothing here is changed.

set -o errexit -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
paths=(clusterpedia/api charts/clusterpedia/crds)

copy=$(mktemp -d)
trap 'rm -rf "${copy}"' EXIT
cp --parents -r "${paths[@]}" hack/tools hack/update-codegen.sh "${copy}"

log=${copy}/update.log
if ! TOOLS_BIN=${PWD}/bin/tools "${copy}/hack/update-codegen.sh" >"${log}" 2>&1; then
	cat "${log}" >&2
	exit 1
fi

stale=0
for path in "${paths[@]}"; do
	diff -ruN "${path}" "${copy}/${path}" || stale=1
done
if ((stale)); then
	echo "generated files are out of date; run hack/update-codegen.sh" >&2
	exit 1
fi

GOWORK=off go -C hack/tools test ./crd
