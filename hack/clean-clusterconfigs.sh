#!/usr/bin/env bash
# Removes the cluster entries that gen-clusterconfigs.sh added to the current kubeconfig.
set -euo pipefail
server=$(kubectl config view --minify --raw -o jsonpath='{.clusters[0].cluster.server}')
[ -n "$server" ] || { echo "the current context has no server" >&2; exit 1; }
base=${server%/}/apis/clusterpedia.io
kubectl config view --raw -o jsonpath='{range .clusters[*]}{.name}{" "}{.cluster.server}{"\n"}{end}' | while read -r name url; do
	if [[ $url == "$base"* ]]; then
		kubectl config delete-cluster "$name" >/dev/null
		echo "cluster $name is removed"
	fi
done
