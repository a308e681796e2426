#!/usr/bin/env bash
# Fuzzes whatever reads what users write, each test for as long as FUZZ_TIME says.
# Arguments: the modules.
set -euo pipefail
cd "$(dirname "$0")/.."
for module in "$@"; do
	grep -rl --include='*_test.go' '^func Fuzz' "$module" | while read -r file; do
		[[ $file == */e2e/* ]] && continue
		sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file" | while read -r name; do
			echo "# $(dirname "$file") $name"
			go test -C "$(dirname "$file")" -run '^$' -fuzz "^$name\$" -fuzztime "${FUZZ_TIME:-10s}" . </dev/null
		done
	done
done
