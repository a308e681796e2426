package conformance

import (
	"context"
	"path/filepath"
)

// perResource is the argument of an apiserver that limits searches to what callers may see.
const perResource = "--search-authorization=PerResource"

// searchers may use all paths of the aggregated API, in either mode.
const searchers = "searchers"

// right is what a user of the group searchers may see.
type right struct {
	user string
	// namespace is that of a Role; empty for a ClusterRole.
	namespace string
	rules     []any
}

// see returns a rule of the group that searches are reviewed in.
func see(resources, clusters, verbs []any) document {
	rule := document{"apiGroups": []any{"search.clusterpedia.io"}, "resources": resources, "verbs": verbs}
	if clusters != nil {
		rule["resourceNames"] = clusters
	}
	return rule
}

// rights are those of users with limited rights, and of an administrator who has them by
// RBAC and not by a group.
func rights() []right {
	read := []any{"get", "list", "watch"}
	everything, first := []any{"*"}, []any{"cluster-1"}
	return []right{
		{user: "operator", rules: []any{
			document{"apiGroups": everything, "resources": everything, "verbs": everything},
			document{"nonResourceURLs": everything, "verbs": everything},
		}},
		// One namespace of one cluster.
		{user: "dora", namespace: "default", rules: []any{see(everything, first, read)}},
		// One resource of all clusters.
		{user: "emil", rules: []any{see([]any{"deployments.apps"}, nil, read)}},
		// One cluster.
		{user: "fred", rules: []any{see(everything, first, read)}},
		// Nothing.
		{user: "gina", rules: []any{}},
		// One resource in one namespace, by one verb.
		{user: "hugo", namespace: "kube-system", rules: []any{see([]any{"pods"}, nil, []any{"list"})}},
		// Deployments with their Events in one place, and without them in another.
		{user: "ivan", namespace: "default", rules: []any{see([]any{"deployments.apps", "events"}, first, read)}},
		// Names that no cluster has.
		{user: "jane", rules: []any{see(everything, []any{"", "*", "nope", "cluster-9"}, read)}},
		// Deployments of one cluster, and pods of two.
		{user: "kate", rules: []any{see([]any{"deployments.apps"}, first, read), see([]any{"pods"}, []any{"cluster-1", "cluster-2"}, read)}},
		// For whom reviews are made.
		{user: "xenia", rules: []any{}},
		// What tests give and take away.
		{user: "lars", namespace: "default", rules: []any{see(everything, first, read)}},
	}
}

// authorizeSearchers gives users of the group searchers their rights.
func (d *deployment) authorizeSearchers(ctx context.Context) error {
	paths := document{"apiGroups": []any{"clusterpedia.io"}, "resources": []any{"*"}, "verbs": []any{"*"}}
	if err := d.grant(ctx, right{user: searchers, rules: []any{paths}}, "Group"); err != nil {
		return err
	}
	for _, r := range rights() {
		if err := d.grant(ctx, r, "User"); err != nil {
			return err
		}
	}
	return nil
}

// grant makes a role and binds it, both of the user's name.
func (d *deployment) grant(ctx context.Context, r right, kind string) error {
	role, resource, metadata := "ClusterRole", "clusterroles", document{"name": r.user}
	if r.namespace != "" {
		role, resource, metadata = "Role", "roles", document{"name": r.user, "namespace": r.namespace}
	}
	if err := d.create(ctx, resource, document{"kind": role, "metadata": metadata, "rules": r.rules}); err != nil {
		return err
	}
	return d.create(ctx, bindingOf(resource), document{
		"kind": role + "Binding", "metadata": metadata,
		"roleRef":  document{"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": r.user},
		"subjects": []any{document{"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": r.user}},
	})
}

// bindingOf returns the resource that binds roles of another one.
func bindingOf(resource string) string { return resource[:len(resource)-1] + "bindings" }

// auditPolicy has the host cluster write down the reviews that it is asked for.
const auditPolicy = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Request
  resources: [{group: authorization.k8s.io, resources: [subjectaccessreviews]}]
- level: None
`

func (d *deployment) auditLog() string { return filepath.Join(d.dir, "audit.log") }
