package builtin_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"clusterpedia.io/clusterpedia/internal/builtin"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// A stored version that changes unnoticed makes the rows of existing databases
// invisible, so all of them are written down.
func TestStorageVersions(t *testing.T) {
	t.Parallel()
	s := builtin.NewScheme()
	var lines []string
	seen := map[schema.GroupKind]bool{}
	for gvk := range s.Runtime().AllKnownTypes() {
		kind := gvk.GroupKind()
		if seen[kind] || gvk.Version == runtime.APIVersionInternal || !strings.HasSuffix(kind.Kind, "List") {
			continue
		}
		seen[kind] = true
		kind.Kind = strings.TrimSuffix(kind.Kind, "List")
		if gv, ok := s.StorageVersion(kind); ok {
			lines = append(lines, fmt.Sprintf("%s %s stored as %s, served as %s", kind.Group, kind.Kind, gv.Version, strings.Join(s.Versions(kind), " ")))
		}
	}
	sort.Strings(lines)
	got := strings.Join(lines, "\n") + "\n"
	const golden = "testdata/storage-versions.txt"
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func TestStorageVersion(t *testing.T) {
	t.Parallel()
	s := builtin.NewScheme()
	for kind, want := range map[schema.GroupKind]string{
		{Kind: "Pod"}:                       "v1",
		{Group: "apps", Kind: "Deployment"}: "v1",
		{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}:           "v2",
		{Group: "extensions", Kind: "Ingress"}:                            "v1beta1",
		{Group: "resource.k8s.io", Kind: "ResourceClaim"}:                 "v1beta1",
		{Group: "storage.k8s.io", Kind: "StorageClass"}:                   "v1",
		{Group: "storage.k8s.io", Kind: "CSIStorageCapacity"}:             "v1beta1",
		{Group: "coordination.k8s.io", Kind: "LeaseCandidate"}:            "v1beta1", // the preferred version of its group lacks it
		{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}: "v1",
		{Group: "policy", Kind: "PodSecurityPolicy"}:                      "",
		{Group: "example.io", Kind: "Widget"}:                             "",
	} {
		gv, ok := s.StorageVersion(kind)
		require.Equal(t, want != "", ok, kind)
		require.Equal(t, want, gv.Version, kind)
	}
}

func TestConvert(t *testing.T) {
	t.Parallel()
	s := builtin.NewScheme()
	doc := `{"apiVersion":"apps/v1beta1","kind":"Deployment","metadata":{"name":"web","resourceVersion":"7"},"spec":{"template":{"spec":{"containers":[{"name":"c","image":"i"}]}}}}`
	out, err := s.Convert([]byte(doc), schema.GroupVersion{Group: "apps", Version: "v1"})
	require.NoError(t, err)
	var got map[string]any
	require.NoError(t, json.Unmarshal(out, &got))
	require.Equal(t, "apps/v1", got["apiVersion"])
	require.Equal(t, "Deployment", got["kind"])
	require.Subset(t, got["metadata"], map[string]any{"resourceVersion": "7"})
	require.NotContains(t, string(out), "\n")

	_, err = s.Convert([]byte(`{"apiVersion":"example.io/v1","kind":"Widget"}`), schema.GroupVersion{Group: "example.io", Version: "v1"})
	require.Error(t, err)
	_, err = s.Convert([]byte(`{`), schema.GroupVersion{Version: "v1"})
	require.Error(t, err)
}
