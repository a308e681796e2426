package store

import (
	"context"

	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

var _ storage.Collections = &Store{}

// kubernetesGroups are the groups of Kubernetes' own APIs, the core group first.
func kubernetesGroups() []string {
	return []string{
		"", "admission.k8s.io", "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "apps", "authentication.k8s.io",
		"authorization.k8s.io", "autoscaling", "batch", "certificates.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io", "extensions",
		"flowcontrol.apiserver.k8s.io", "imagepolicy.k8s.io", "internal.apiserver.k8s.io", "networking.k8s.io", "node.k8s.io", "policy",
		"rbac.authorization.k8s.io", "resource.k8s.io", "scheduling.k8s.io", "storage.k8s.io", "storagemigration.k8s.io",
	}
}

// Collections implements storage.Collections.
func (*Store) Collections(context.Context) ([]storage.Collection, error) {
	var workloads, kubernetes []query.Type
	for _, resource := range []string{"deployments", "daemonsets", "statefulsets"} {
		workloads = append(workloads, query.Type{Group: "apps", Version: "v1", Resource: resource})
	}
	for _, group := range kubernetesGroups() {
		kubernetes = append(kubernetes, query.Type{Group: group})
	}
	return []storage.Collection{{Name: "any"}, {Name: "workloads", Types: workloads}, {Name: "kuberesources", Types: kubernetes}}, nil
}
