package visibility

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac"

	"clusterpedia.io/storage-api/query"
)

// An administrator is asked about twice, however much there is.
func TestEverything(t *testing.T) {
	t.Parallel()
	r := &rules{allow: map[string]bool{"list * *any": true}}
	c := checker(t, r, "team")
	for _, search := range []func(q *query.Query) error{
		func(q *query.Query) error { return c.Limit(as(t, "alice"), "list", resource(t, c, "", "pods"), q) },
		func(q *query.Query) error {
			q.Types = []query.Type{{Group: query.AnyGroup}}
			return c.Collection(as(t, "alice"), q)
		},
	} {
		q := &query.Query{Events: true}
		require.NoError(t, search(q))
		require.Nil(t, q.Visible)
		allowed, err := c.Events(as(t, "alice"), q)
		require.NoError(t, err)
		require.True(t, allowed)
	}
	require.EqualValues(t, 2, r.asked.Load())
	require.ErrorContains(t, c.Get(as(t, "alice"), resource(t, c, "", "pods"), "one", "team"), "is forbidden", "a verb is not another")
}

// Answers are those of one caller.
func TestAnswers(t *testing.T) {
	t.Parallel()
	r := &rules{allow: map[string]bool{"get pods one": true}}
	c := checker(t, r)
	pods := resource(t, c, "", "pods")
	for range 3 {
		require.NoError(t, c.Get(as(t, "alice"), pods, "one", "team"))
		require.Error(t, c.Get(as(t, "bob"), pods, "one", "team"))
	}
	require.EqualValues(t, 3, r.asked.Load())
	for _, other := range []user.DefaultInfo{
		{Name: "alice", Groups: []string{"a"}},
		{Name: "alice", Groups: []string{"a", "b"}},
		{Name: "alice", UID: "1"},
		{Name: "alice", Extra: map[string][]string{"a": {"b"}}},
		{Name: `alice" "1`},
	} {
		before := r.asked.Load()
		_ = c.Get(request.WithUser(t.Context(), &other), pods, "one", "team")
		require.Greater(t, r.asked.Load(), before, other)
	}
	require.Error(t, c.Get(t.Context(), pods, "one", "team"), "nobody may see nothing")
}

// Names that nothing has are not asked for, nor remembered.
func TestLongNames(t *testing.T) {
	t.Parallel()
	r := &rules{}
	c := checker(t, r)
	long := strings.Repeat("x", 2000)
	for _, info := range []*request.RequestInfo{
		{Namespace: long, Resource: "pods"}, {Resource: long}, {APIGroup: long, Resource: "pods"}, {Resource: "pods", Subresource: long},
	} {
		info.IsResourceRequest, info.Verb = true, "get"
		before := r.asked.Load()
		require.ErrorContains(t, c.Reach(as(t, "alice"), "one", info), "is forbidden")
		require.LessOrEqual(t, r.asked.Load(), before+1, "for the whole cluster, if that has a name")
		require.ErrorContains(t, c.Reach(as(t, "alice"), long, info), "is forbidden")
		require.LessOrEqual(t, r.asked.Load(), before+1)
	}
}

// clusterRoles allow what Kubernetes' RBAC takes ClusterRoles with these rules for.
type clusterRoles []rbacv1.PolicyRule

func (r clusterRoles) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if rbac.RulesAllow(a, r...) {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

// A rule that names clusters is none for all of them, whatever names it has.
func TestRules(t *testing.T) {
	t.Parallel()
	type scopes = []query.Scope
	for name, tc := range map[string]struct {
		rule rbacv1.PolicyRule
		all  bool // in place of scopes
		want scopes
	}{
		"everything":             {rule: rbacv1.PolicyRule{Resources: []string{"*"}}, all: true},
		"one cluster":            {rule: rbacv1.PolicyRule{Resources: []string{"*"}, ResourceNames: []string{"one"}}, want: scopes{{Clusters: []string{"one"}}}},
		"no name among others":   {rule: rbacv1.PolicyRule{Resources: []string{"*"}, ResourceNames: []string{"", "one"}}, want: scopes{{Clusters: []string{"one"}}}},
		"both of these":          {rule: rbacv1.PolicyRule{Resources: []string{"*"}, ResourceNames: []string{"", "*"}}},
		"an asterisk":            {rule: rbacv1.PolicyRule{Resources: []string{"*"}, ResourceNames: []string{"*"}}},
		"one resource":           {rule: rbacv1.PolicyRule{Resources: []string{"pods"}}, want: scopes{{}}},
		"one resource of one":    {rule: rbacv1.PolicyRule{Resources: []string{"pods"}, ResourceNames: []string{"one"}}, want: scopes{{Clusters: []string{"one"}}}},
		"no name but resource":   {rule: rbacv1.PolicyRule{Resources: []string{"pods"}, ResourceNames: []string{"", "two"}}, want: scopes{{Clusters: []string{"two"}}}},
		"another resource":       {rule: rbacv1.PolicyRule{Resources: []string{"secrets"}}},
		"subresources":           {rule: rbacv1.PolicyRule{Resources: []string{"*/log", "pods/*"}}},
		"the group of the paths": {rule: rbacv1.PolicyRule{APIGroups: []string{"clusterpedia.io", ""}, Resources: []string{"*"}}},
		"all groups":             {rule: rbacv1.PolicyRule{APIGroups: []string{"*"}, Resources: []string{"*"}}, all: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := checker(t, &rules{}, "team")
			tc.rule.Verbs = []string{"list"}
			if tc.rule.APIGroups == nil {
				tc.rule.APIGroups = []string{Group}
			}
			c.Authorizer = clusterRoles{tc.rule}
			q := &query.Query{}
			require.NoError(t, c.Limit(as(t, "alice"), "list", resource(t, c, "", "pods"), q))
			if tc.all {
				require.Nil(t, q.Visible)
				return
			}
			require.NotNil(t, q.Visible)
			require.Equal(t, tc.want, q.Visible.Scopes)
		})
	}
}
