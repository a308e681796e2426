package v1beta1_test

import (
	"encoding/json"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"clusterpedia.io/api/clusterpedia/v1beta1"
	"clusterpedia.io/api/generated/openapi"
)

func newScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(t, v1beta1.Install(scheme))
	return scheme
}

func TestScheme(t *testing.T) {
	t.Parallel()

	scheme := newScheme(t)
	for _, kind := range []string{
		"Resources", "CollectionResource", "CollectionResourceList", "ListOptions",
		"GetOptions", "CreateOptions", "UpdateOptions", "PatchOptions", "DeleteOptions", "WatchEvent",
	} {
		require.True(t, scheme.Recognizes(v1beta1.GroupVersion.WithKind(kind)), kind)
	}
	object, err := scheme.New(v1beta1.GroupVersion.WithKind("ListOptions"))
	require.NoError(t, err)
	require.IsType(t, &v1beta1.ListOptions{}, object)
	require.Equal(t, "collectionresources.clusterpedia.io", v1beta1.Resource("collectionresources").String())

	// API servers register the metav1 options that they decode themselves.
	metav1.AddToGroupVersion(scheme, metav1.Unversioned)
}

func TestListOptionsInURL(t *testing.T) {
	t.Parallel()

	yes, seconds := true, int64(5)
	options := &v1beta1.ListOptions{
		LabelSelector: "a=b", FieldSelector: "spec.replicas=1", Limit: 7, Continue: "14",
		TimeoutSeconds: &seconds, Watch: true, ResourceVersion: "21",
		Names: "1,2", Clusters: "3", Namespaces: "4", OrderBy: "name desc",
		OwnerUID: "5", OwnerName: "6", OwnerGroupResource: "deployments.apps", OwnerSeniority: 1,
		Since: "2026-01-01", Before: "2026-01-02",
		WithContinue: &yes, WithRemainingCount: &yes, InjectEvents: true, OnlyMetadata: true,
		Groups: "apps", Resources: "/pods",
		WhereSQL: "7", WhereSQLStatement: "8", WhereSQLParams: []string{"9", "10"}, WhereSQLJSONParams: "11",
	}
	got, err := runtime.NewParameterCodec(newScheme(t)).EncodeParameters(options, v1beta1.GroupVersion)
	require.NoError(t, err)
	require.Equal(t, url.Values{
		"labelSelector":      {"a=b"},
		"fieldSelector":      {"spec.replicas=1"},
		"limit":              {"7"},
		"continue":           {"14"},
		"timeoutSeconds":     {"5"},
		"watch":              {"true"},
		"resourceVersion":    {"21"},
		"names":              {"1,2"},
		"clusters":           {"3"},
		"namespaces":         {"4"},
		"orderby":            {"name desc"},
		"ownerUID":           {"5"},
		"ownerName":          {"6"},
		"ownerGR":            {"deployments.apps"},
		"ownerSeniority":     {"1"},
		"since":              {"2026-01-01"},
		"before":             {"2026-01-02"},
		"withContinue":       {"true"},
		"withRemainingCount": {"true"},
		"injectEvents":       {"true"},
		"onlyMetadata":       {"true"},
		"groups":             {"apps"},
		"resources":          {"/pods"},
		"whereSQL":           {"7"},
		"whereSQLStatement":  {"8"},
		"whereSQLParam":      {"9", "10"},
		"whereSQLJSONParams": {"11"},
	}, got)

	got, err = runtime.NewParameterCodec(newScheme(t)).EncodeParameters(&v1beta1.ListOptions{}, v1beta1.GroupVersion)
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestCollectionResourceJSON(t *testing.T) {
	t.Parallel()

	remaining := int64(3)
	for name, test := range map[string]struct {
		collection v1beta1.CollectionResource
		want       string
	}{
		"without types": {
			want: `{"metadata":{},"resourceTypes":null}`,
		},
		"in a list": {
			collection: v1beta1.CollectionResource{
				ObjectMeta:    metav1.ObjectMeta{Name: "workloads"},
				ResourceTypes: []v1beta1.CollectionResourceType{{Group: "apps", Version: "v1", Resource: "deployments"}, {}},
			},
			want: `{"metadata":{"name":"workloads"},"resourceTypes":[
				{"group":"apps","version":"v1","resource":"deployments"},
				{"group":"","version":"","resource":""}]}`,
		},
		"answer": {
			collection: v1beta1.CollectionResource{
				ResourceTypes:      []v1beta1.CollectionResourceType{{Version: "v1", Kind: "Pod", Resource: "pods"}},
				Items:              []runtime.RawExtension{{Raw: []byte(`{"kind":"Pod"}`)}},
				Continue:           "2",
				RemainingItemCount: &remaining,
			},
			want: `{"metadata":{},"resourceTypes":[{"group":"","version":"v1","kind":"Pod","resource":"pods"}],
				"items":[{"kind":"Pod"}],"continue":"2","remainingItemCount":3}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := json.Marshal(test.collection)
			require.NoError(t, err)
			require.JSONEq(t, test.want, string(got))
		})
	}
}

// TestOpenAPI checks that the definitions are complete: an API server does not
// start if one that it looks up is missing.
func TestOpenAPI(t *testing.T) {
	t.Parallel()

	definitions := openapi.GetOpenAPIDefinitions(func(path string) spec.Ref {
		return spec.MustCreateRef("#/definitions/" + path)
	})
	for name, definition := range definitions {
		for _, dependency := range definition.Dependencies {
			require.Contains(t, definitions, dependency, "needed by %s", name)
		}
	}
	for _, name := range []string{
		"io.clusterpedia.v1beta1.Resources",
		"io.clusterpedia.v1beta1.CollectionResource",
		"io.clusterpedia.v1beta1.CollectionResourceList",
		"io.clusterpedia.v1beta1.ListOptions",
		"io.k8s.apimachinery.pkg.apis.meta.v1.APIGroupList",
		"io.k8s.apimachinery.pkg.apis.meta.v1.Status",
		"io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent",
		"io.k8s.apimachinery.pkg.runtime.RawExtension",
		"io.k8s.apimachinery.pkg.version.Info",
	} {
		require.Contains(t, definitions, name)
	}
}
