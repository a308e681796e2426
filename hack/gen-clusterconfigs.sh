#!/usr/bin/env bash
# Adds cluster entries to the current kubeconfig: "clusterpedia", which sees all member
# clusters, and one for each PediaCluster, named as it is. Use them with
# kubectl --cluster NAME. An entry of that name that leads elsewhere is left alone.
set -euo pipefail

view() { kubectl config view --minify --raw -o jsonpath="{.clusters[0].cluster.$1}"; }
server=$(view server)
[ -n "$server" ] || { echo "the current context has no server" >&2; exit 1; }
base=${server%/}/apis/clusterpedia.io

set_cluster() { # NAME URL
	local existing flags=()
	existing=$(kubectl config view --raw -o jsonpath="{.clusters[?(@.name=='$1')].cluster.server}")
	if [ -n "$existing" ] && [[ $existing != "$base"* ]]; then
		echo "cluster $1 is left alone: it leads to $existing"
		return
	fi
	if [ "$(view insecure-skip-tls-verify)" = true ]; then flags+=(--insecure-skip-tls-verify=true); fi
	if [ -n "$(view tls-server-name)" ]; then flags+=(--tls-server-name="$(view tls-server-name)"); fi
	if [ -n "$(view certificate-authority)" ]; then flags+=(--certificate-authority="$(view certificate-authority)"); fi
	kubectl config set-cluster "$1" --server="$2" "${flags[@]}" >/dev/null
	if [ -n "$(view certificate-authority-data)" ]; then
		kubectl config set "clusters.$1.certificate-authority-data" "$(view certificate-authority-data)" >/dev/null
	fi
	echo "cluster $1 is set"
}

set_cluster clusterpedia "$base/v1beta1/resources"
for name in $(kubectl get pediaclusters -o jsonpath='{.items[*].metadata.name}'); do
	set_cluster "$name" "$base/v1beta1/resources/clusters/$name"
done
