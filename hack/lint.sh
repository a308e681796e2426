#!/usr/bin/env bash
# Runs the linter on the modules given. It is built from its pinned module.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
(cd hack/tools/lint && GOWORK=off CGO_ENABLED=0 go build -o "$root/bin/golangci-lint" github.com/golangci/golangci-lint/v2/cmd/golangci-lint)
failed=0
for module in "$@"; do
	echo "# $module"
	work=""
	grep -q "^	./$module\$" go.work || work=off # stands outside of the workspace
	(cd "$module" && GOWORK=$work "$root/bin/golangci-lint" run --config "$root/.golangci.yaml" ./...) || failed=1
done
exit $failed
