#!/usr/bin/env bash
# Checks the promises of the module graph that a compiler does not.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0
fail() { echo "boundary broken: $*" >&2; failed=1; }

# The contract is what host and plugin share: it stands on the standard library
# alone.
if grep -q '^require' storage-api/go.mod; then fail "storage-api/go.mod has a require"; fi
beyond=$(cd storage-api && go list -deps -test -f '{{if not .Standard}}{{.ImportPath}}{{end}}' ./... | sed 's/ \[.*//' | grep -v '^clusterpedia.io/storage-api' | sort -u || true)
[ -z "$beyond" ] || fail "storage-api imports $beyond"

# No server is linked with a storage layer or a database driver.
for host in clusterpedia/cmd/*/; do
	drivers=$(go list -deps "./$host" | grep -E '^(gorm\.io|github\.com/(jackc/pgx|go-sql-driver|mattn/go-sqlite3|glebarez)|modernc\.org|clusterpedia\.io/(internalstorage|memorystorage))' || true)
	[ -z "$drivers" ] || fail "$host is linked with $drivers"
done

# A storage layer knows the contract and nothing of the hosts, and shares with them
# no package of a third party but those of three modules, whose versions are pinned.
hosts=$(mktemp)
trap 'rm -f "$hosts"' EXIT
go list -deps ./clusterpedia/cmd/... | sort -u >"$hosts"
for layer in internalstorage memorystorage; do
	deps=$(go list -deps "./$layer/plugin" | sort -u)
	known=$(grep -E '^clusterpedia\.io/(clusterpedia|api)(/|$)' <<<"$deps" || true)
	[ -z "$known" ] || fail "$layer imports $known"
	shared=$(comm -12 "$hosts" - <<<"$deps" | grep -E '^[^/]+\.[^/]+/' | grep -vE '^(clusterpedia\.io/storage-api|golang\.org/x/text|github\.com/klauspost/compress|gopkg\.in/natefinch/lumberjack\.v2|vendor)(/|$)' || true)
	[ -z "$shared" ] || fail "$layer shares with the hosts:"$'\n'"$shared"
done

# The synchro and the apiserver meet in the storage contract only; Kubernetes'
# own code is used in two places only.
importers() { go list -f '{{.ImportPath}} {{join .Imports " "}}' ./clusterpedia/internal/... | grep -E " $1" | cut -d' ' -f1 || true; }
crossed=$({ importers 'clusterpedia.io/clusterpedia/internal/apiserver' | grep internal/synchro; importers 'clusterpedia.io/clusterpedia/internal/synchro' | grep internal/apiserver; } || true)
[ -z "$crossed" ] || fail "synchro and apiserver import each other: $crossed"
kube=$(importers 'k8s.io/kubernetes/' | grep -vE 'internal/(builtin|cells)$' || true)
[ -z "$kube" ] || fail "k8s.io/kubernetes is imported by $kube"

exit $failed
