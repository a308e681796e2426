#!/usr/bin/env bash
# Brings go.work and the go.mod and go.sum of every module in step. A second run
# changes nothing: "go work sync" raises the modules' requirements to the versions
# that the workspace selects, and "go mod tidy" restores the checksums that it
# drops.
set -euo pipefail
cd "$(dirname "$0")/.."

go work sync
for module in storage-api memorystorage internalstorage clusterpedia/api clusterpedia hack/testbed hack/testbed/kube hack/testbed/mysql hack/testbed/helm hack/bench hack/tools hack/tools/lint clusterpedia/e2e; do
	(cd "$module" && GOWORK=off go mod tidy)
done
