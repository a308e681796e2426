package crd

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

const (
	groupResources = `
PATH array
PATH[] object
PATH[].eventsInvolvedResources array
PATH[].eventsInvolvedResources[] string
PATH[].group string required
PATH[].resources array required {"minItems":1}
PATH[].resources[] string
PATH[].versions array
PATH[].versions[] string
`
	conditions = `
status object
status.conditions array
status.conditions[] object
status.conditions[].lastTransitionTime string required {"format":"date-time"}
status.conditions[].message string required {"maxLength":32768}
status.conditions[].observedGeneration integer {"format":"int64","minimum":0}
status.conditions[].reason string required {"maxLength":1024,"minLength":1,"pattern":"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"}
status.conditions[].status string required {"enum":["True","False","Unknown"]}
status.conditions[].type string required {"maxLength":316,"pattern":"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"}
`
	pediaCluster = `
spec object
spec.apiserver string
spec.authenticationFrom object
spec.authenticationFrom.ca object
spec.authenticationFrom.ca.key string required
spec.authenticationFrom.ca.name string required
spec.authenticationFrom.cert object
spec.authenticationFrom.cert.key string required
spec.authenticationFrom.cert.name string required
spec.authenticationFrom.key object
spec.authenticationFrom.key.key string required
spec.authenticationFrom.key.name string required
spec.authenticationFrom.kubeconfig object
spec.authenticationFrom.kubeconfig.key string required
spec.authenticationFrom.kubeconfig.name string required
spec.authenticationFrom.token object
spec.authenticationFrom.token.key string required
spec.authenticationFrom.token.name string required
spec.caData string {"format":"byte"}
spec.certData string {"format":"byte"}
spec.keyData string {"format":"byte"}
spec.kubeconfig string {"format":"byte"}
spec.shardingName string
status.prunedFields array
status.prunedFields[] object
status.prunedFields[].fields array
status.prunedFields[].fields[] string
status.prunedFields[].group string required
status.prunedFields[].resource string required
status.prunedFields[].rewriting boolean
status.prunedFields[].version string required
spec.syncAllCustomResources boolean
spec.syncResourcesRefName string
spec.tokenData string {"format":"byte"}
status.apiserver string
status.shardingName string
status.syncResources array
status.syncResources[] object
status.syncResources[].group string required
status.syncResources[].resources array required
status.syncResources[].resources[] object
status.syncResources[].resources[].kind string required
status.syncResources[].resources[].name string required
status.syncResources[].resources[].namespaced boolean required
status.syncResources[].resources[].syncConditions array required
status.syncResources[].resources[].syncConditions[] object
status.syncResources[].resources[].syncConditions[].initialListPhase boolean
status.syncResources[].resources[].syncConditions[].lastTransitionTime string required {"format":"date-time"}
status.syncResources[].resources[].syncConditions[].message string
status.syncResources[].resources[].syncConditions[].reason string
status.syncResources[].resources[].syncConditions[].status string required
status.syncResources[].resources[].syncConditions[].storageResource string
status.syncResources[].resources[].syncConditions[].storageVersion string
status.syncResources[].resources[].syncConditions[].syncResource string
status.syncResources[].resources[].syncConditions[].syncVersion string
status.syncResources[].resources[].syncConditions[].version string required
status.version string
`
	exclusions = `
spec.excludedNamespaces array
spec.excludedNamespaces[] string {"maxLength":63,"minLength":1}
spec.excludedResources array
spec.excludedResources[] object
spec.excludedResources[].group string required
spec.excludedResources[].resources array required {"minItems":1}
spec.excludedResources[].resources[] string
spec.prunedFields array
spec.prunedFields[] object
spec.prunedFields[].fields array required {"minItems":1}
spec.prunedFields[].fields[] string
spec.prunedFields[].group string required
spec.prunedFields[].resources array required {"minItems":1}
spec.prunedFields[].resources[] string
`
	clusterImportPolicy = `
spec object
spec.creationCondition string required
spec.nameTemplate string required
spec.references array {"x-kubernetes-list-map-keys":["key"],"x-kubernetes-list-type":"map"}
spec.references[] object
spec.references[].group string required
spec.references[].key string required
spec.references[].nameTemplate string required
spec.references[].namespaceTemplate string
spec.references[].resource string required
spec.references[].versions array
spec.references[].versions[] string
spec.source object required
spec.source.group string required
spec.source.resource string required
spec.source.selectorTemplate string
spec.source.versions array
spec.source.versions[] string
spec.template string required
`
	pediaClusterLifecycle = `
spec object
spec.creationCondition string required
spec.references array {"x-kubernetes-list-map-keys":["key"],"x-kubernetes-list-type":"map"}
spec.references[] object
spec.references[].group string required
spec.references[].key string required
spec.references[].nameTemplate string required
spec.references[].namespaceTemplate string
spec.references[].resource string required
spec.references[].version string required
spec.source object required
spec.source.group string required
spec.source.name string required
spec.source.namespace string
spec.source.resource string required
spec.source.version string required
spec.template string required
status.references array
status.references[] object
status.references[].group string required
status.references[].name string required
status.references[].namespace string
status.references[].resource string required
status.references[].version string required
`
)

// TestSchemas compares every field of every schema with what users may write and
// read: its type, whether it is required, and all that limits its value.
func TestSchemas(t *testing.T) {
	t.Parallel()

	syncResources := strings.ReplaceAll(groupResources, "PATH", "spec.syncResources")
	syncResources = strings.Replace(syncResources, "array", "array required", 1)

	// What stands in the status of a ClusterSyncResources is its spec.
	ref := "status.syncResourcesRef object\nstatus.syncResourcesRef.name string required\nstatus.syncResourcesRef.spec object required\n" +
		strings.ReplaceAll("\n"+syncResources+exclusions, "\nspec.", "\nstatus.syncResourcesRef.spec.")

	for name, want := range map[string]string{
		"pediaclusters.cluster.clusterpedia.io":         pediaCluster + syncResources + exclusions + ref + conditions,
		"clustersyncresources.cluster.clusterpedia.io":  "spec object\n" + syncResources + exclusions,
		"clusterimportpolicies.policy.clusterpedia.io":  clusterImportPolicy + conditions,
		"pediaclusterlifecycles.policy.clusterpedia.io": pediaClusterLifecycle + conditions,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines := strings.FieldsFunc(want, func(r rune) bool { return r == '\n' })
			lines = append(lines, "apiVersion string", "kind string", "metadata object")
			slices.Sort(lines)

			root := load(t, name).Spec.Versions[0].Schema.OpenAPIV3Schema
			require.Empty(t, root.Required)
			got := describeProperties(t, "", root)
			slices.Sort(got)
			require.Equal(t, lines, got)
		})
	}
}

// describeProperties returns a line for each field below a schema.
func describeProperties(t *testing.T, prefix string, schema *apiextensionsv1.JSONSchemaProps) []string {
	t.Helper()
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		property := schema.Properties[name]
		lines = append(lines, describe(t, prefix+name, &property, slices.Contains(schema.Required, name))...)
	}
	return lines
}

// describe returns the lines of one field: its path, its type, "required" if it
// is, and the rest of its schema but the description in JSON, if there is one.
func describe(t *testing.T, path string, schema *apiextensionsv1.JSONSchemaProps, required bool) []string {
	t.Helper()
	require.NotEmpty(t, schema.Type, "%s has no type", path)
	line := path + " " + schema.Type
	if required {
		line += " required"
	}

	rest := *schema
	rest.Type, rest.Description, rest.Properties, rest.Items, rest.Required = "", "", nil, nil, nil
	encoded, err := json.Marshal(rest)
	require.NoError(t, err)
	if string(encoded) != "{}" {
		// The order of keys in the JSON is that of their names.
		var values map[string]any
		require.NoError(t, json.Unmarshal(encoded, &values))
		encoded, err = json.Marshal(values)
		require.NoError(t, err)
		line += " " + string(encoded)
	}

	lines := append([]string{line}, describeProperties(t, path+".", schema)...)
	if schema.Items != nil {
		lines = append(lines, describe(t, path+"[]", schema.Items.Schema, false)...)
	}
	return lines
}
