#!/usr/bin/env bash
# Generates from the API types of clusterpedia/api: deep copies, the typed
# clients, the OpenAPI definitions of the aggregated API, and the custom resource
# definitions of the chart. The generators are those that hack/tools/go.mod pins.
#
# TOOLS_BIN names a directory for the generators' executables
# (default: bin/tools).

set -o errexit -o nounset -o pipefail
shopt -s globstar nullglob

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=${PWD}
tools=${TOOLS_BIN:-${root}/bin/tools}

# Neither this workspace nor the caller's settings move what is generated.
export GOWORK=off GOFLAGS=-buildvcs=false LC_ALL=C

api=clusterpedia.io/api
crd_groups=("${api}/cluster/v1alpha2" "${api}/policy/v1alpha1")
plurals=ClusterSyncResources:ClusterSyncResources

echo "building the generators"
mkdir -p "${tools}"
go -C hack/tools build -o "${tools}/" \
	k8s.io/code-generator/cmd/{deepcopy,client,lister,informer}-gen \
	k8s.io/kube-openapi/cmd/openapi-gen \
	sigs.k8s.io/controller-tools/cmd/controller-gen

cd clusterpedia/api
rm -rf client/{clientset,listers,informers} generated ./**/zz_generated.*.go "${root}"/charts/clusterpedia/crds/*.yaml

echo "generating deep copies"
"${tools}/deepcopy-gen" --output-file zz_generated.deepcopy.go \
	"${crd_groups[@]}" "${api}/clusterpedia/v1beta1"

echo "generating clients"
"${tools}/client-gen" --plural-exceptions "${plurals}" \
	--output-dir client/clientset --output-pkg "${api}/client/clientset" \
	--clientset-name versioned --input-base "" "${crd_groups[@]/#/--input=}"
"${tools}/lister-gen" --plural-exceptions "${plurals}" \
	--output-dir client/listers --output-pkg "${api}/client/listers" "${crd_groups[@]}"
"${tools}/informer-gen" --plural-exceptions "${plurals}" \
	--output-dir client/informers --output-pkg "${api}/client/informers" \
	--versioned-clientset-package "${api}/client/clientset/versioned" \
	--listers-package "${api}/client/listers" "${crd_groups[@]}"

echo "generating OpenAPI definitions"
# The first three packages hold what every API server serves besides its kinds.
# Their own generated code is theirs; the report is about rules of Kubernetes'
# API review, which these packages break themselves.
apimachinery=(k8s.io/apimachinery/pkg/{apis/meta/v1,runtime,version})
"${tools}/openapi-gen" --output-file zz_generated.openapi.go \
	--output-dir generated/openapi --output-pkg "${api}/generated/openapi" \
	--output-model-name-file zz_generated.model_name.go \
	--report-filename /dev/null \
	"${apimachinery[@]/#/--readonly-pkg=}" \
	"${apimachinery[@]}" "${api}/clusterpedia/v1beta1"

echo "generating custom resource definitions"
"${tools}/controller-gen" crd paths=./cluster/...\;./policy/... \
	output:crd:dir="${root}/charts/clusterpedia/crds"
