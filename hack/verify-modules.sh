#!/usr/bin/env bash
# Checks that update-modules.sh would change nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

modules() { git ls-files '*go.mod' '*go.sum' go.work go.work.sum; }
before=$(modules | xargs sha256sum)
hack/update-modules.sh
if [ "$before" != "$(modules | xargs sha256sum)" ]; then
	git --no-pager diff --stat -- $(modules)
	echo "go.mod, go.sum or go.work is not in step; run: make update-modules, and commit what it changed" >&2
	exit 1
fi
