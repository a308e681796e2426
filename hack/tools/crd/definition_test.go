package crd

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"sigs.k8s.io/yaml"
)

const directory = "../../../charts/clusterpedia/crds"

// definition is one custom resource definition with its schema in the two forms
// that the API server uses.
type definition struct {
	*apiextensionsv1.CustomResourceDefinition

	internal   *apiextensions.JSONSchemaProps
	structural *schema.Structural
}

// load reads the definition of a resource, such as
// "pediaclusters.cluster.clusterpedia.io". Unknown fields are errors.
func load(t *testing.T, name string) definition {
	t.Helper()
	for _, d := range loadAll(t) {
		if d.Name == name {
			return d
		}
	}
	require.Failf(t, "no such definition", "%s is not in %s", name, directory)
	return definition{}
}

func loadAll(t *testing.T) []definition {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(directory, "*.yaml"))
	require.NoError(t, err)

	var all []definition
	for _, file := range files {
		content, err := os.ReadFile(file)
		require.NoError(t, err)

		crd := &apiextensionsv1.CustomResourceDefinition{}
		require.NoError(t, yaml.UnmarshalStrict(content, crd), file)
		require.Len(t, crd.Spec.Versions, 1, file)

		internal := &apiextensions.JSONSchemaProps{}
		require.NoError(t, apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(
			crd.Spec.Versions[0].Schema.OpenAPIV3Schema, internal, nil), file)
		structural, err := schema.NewStructural(internal)
		require.NoError(t, err, file)
		all = append(all, definition{CustomResourceDefinition: crd, internal: internal, structural: structural})
	}
	return all
}

func TestDefinitions(t *testing.T) {
	t.Parallel()

	column := func(name, path string, priority int32) apiextensionsv1.CustomResourceColumnDefinition {
		return apiextensionsv1.CustomResourceColumnDefinition{Name: name, Type: "string", JSONPath: path, Priority: priority}
	}
	condition := func(name, field string, priority int32) apiextensionsv1.CustomResourceColumnDefinition {
		return column(name, ".status.conditions[?(@.type == '"+name+"')]."+field, priority)
	}
	status := &apiextensionsv1.CustomResourceSubresources{Status: &apiextensionsv1.CustomResourceSubresourceStatus{}}

	type want struct {
		group, version string
		names          apiextensionsv1.CustomResourceDefinitionNames
		subresources   *apiextensionsv1.CustomResourceSubresources
		columns        []apiextensionsv1.CustomResourceColumnDefinition
	}
	wants := map[string]want{
		"pediaclusters.cluster.clusterpedia.io": {
			group: "cluster.clusterpedia.io", version: "v1alpha2",
			names: apiextensionsv1.CustomResourceDefinitionNames{
				Plural: "pediaclusters", Singular: "pediacluster",
				Kind: "PediaCluster", ListKind: "PediaClusterList",
			},
			subresources: status,
			columns: []apiextensionsv1.CustomResourceColumnDefinition{
				condition("Ready", "status", 0),
				column("Version", ".status.version", 0),
				column("APIServer", ".status.apiserver", 0),
				condition("Validated", "reason", 10),
				condition("SynchroRunning", "reason", 10),
				condition("ClusterHealthy", "reason", 10),
				column("ShardingName", ".status.shardingName", 10),
			},
		},
		"clustersyncresources.cluster.clusterpedia.io": {
			group: "cluster.clusterpedia.io", version: "v1alpha2",
			names: apiextensionsv1.CustomResourceDefinitionNames{
				Plural: "clustersyncresources", Singular: "clustersyncresources",
				Kind: "ClusterSyncResources", ListKind: "ClusterSyncResourcesList",
			},
		},
		"clusterimportpolicies.policy.clusterpedia.io": {
			group: "policy.clusterpedia.io", version: "v1alpha1",
			names: apiextensionsv1.CustomResourceDefinitionNames{
				Plural: "clusterimportpolicies", Singular: "clusterimportpolicy",
				Kind: "ClusterImportPolicy", ListKind: "ClusterImportPolicyList",
			},
			subresources: status,
			columns: []apiextensionsv1.CustomResourceColumnDefinition{
				condition("Validated", "reason", 0),
				condition("Reconciling", "reason", 0),
			},
		},
		"pediaclusterlifecycles.policy.clusterpedia.io": {
			group: "policy.clusterpedia.io", version: "v1alpha1",
			names: apiextensionsv1.CustomResourceDefinitionNames{
				Plural: "pediaclusterlifecycles", Singular: "pediaclusterlifecycle",
				Kind: "PediaClusterLifecycle", ListKind: "PediaClusterLifecycleList",
			},
			subresources: status,
			columns: []apiextensionsv1.CustomResourceColumnDefinition{
				condition("Created", "reason", 0),
				condition("Updating", "reason", 0),
			},
		},
	}

	all := loadAll(t)
	require.Len(t, all, len(wants))
	for _, d := range all {
		t.Run(d.Name, func(t *testing.T) {
			t.Parallel()
			want, ok := wants[d.Name]
			require.True(t, ok, "unexpected definition")

			version := d.Spec.Versions[0]
			require.Equal(t, want.group, d.Spec.Group)
			require.Equal(t, want.names, d.Spec.Names)
			require.Equal(t, apiextensionsv1.ClusterScoped, d.Spec.Scope)
			require.Nil(t, d.Spec.Conversion)
			require.False(t, d.Spec.PreserveUnknownFields)
			require.Equal(t, want.version, version.Name)
			require.True(t, version.Served)
			require.True(t, version.Storage)
			require.Equal(t, want.subresources, version.Subresources)
			require.Equal(t, want.columns, version.AdditionalPrinterColumns)
			require.Empty(t, schema.ValidateStructural(nil, d.structural))
		})
	}
}
