package crd

import (
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

// TestAdmission sends objects through the steps by which an API server decides
// whether it takes a custom resource.
func TestAdmission(t *testing.T) {
	t.Parallel()

	const (
		clusters   = "pediaclusters.cluster.clusterpedia.io"
		policies   = "clusterimportpolicies.policy.clusterpedia.io"
		lifecycles = "pediaclusterlifecycles.policy.clusterpedia.io"

		source    = "source: {group: '', version: v1, resource: secrets, name: a, namespace: b}"
		templates = "template: '{}', creationCondition: 'true', nameTemplate: a"
		reference = "key: a, group: '', resource: secrets, nameTemplate: a"
		condition = "type: Ready, status: 'True', message: '', lastTransitionTime: '2026-01-01T00:00:00Z'"
	)

	for name, test := range map[string]struct {
		definition string
		object     string
		refused    string // the field that is refused; none: the object is taken
		dropped    string // a top-level field of spec that is dropped
	}{
		"no spec":            {definition: clusters, object: "{}"},
		"empty spec":         {definition: clusters, object: "spec: {}", refused: "spec.syncResources"},
		"no resources":       {definition: clusters, object: "spec: {syncResources: []}"},
		"null resources":     {definition: clusters, object: "spec: {syncResources: null}", refused: "spec.syncResources"},
		"null data":          {definition: clusters, object: "spec: {caData: , tokenData: null, syncResources: []}", dropped: "caData"},
		"unknown field":      {definition: clusters, object: "spec: {syncResources: [], color: red}", dropped: "color"},
		"data not in base64": {definition: clusters, object: "spec: {caData: '***', syncResources: []}", refused: "spec.caData"},
		"group resources":    {definition: clusters, object: "spec: {syncResources: [{group: apps, resources: [deployments]}]}"},
		"group without resources": {
			definition: clusters, object: "spec: {syncResources: [{group: apps, resources: []}]}",
			refused: "spec.syncResources[0].resources",
		},
		"resources without group": {
			definition: clusters, object: "spec: {syncResources: [{resources: [pods]}]}",
			refused: "spec.syncResources[0].group",
		},
		"null list of events": {
			definition: clusters,
			object:     "spec: {syncResources: [{group: apps, resources: [deployments], eventsInvolvedResources: null}]}",
		},
		"secret": {
			definition: clusters,
			object:     "spec: {syncResources: [], authenticationFrom: {token: {name: a, key: b}}}",
		},
		"secret without key": {
			definition: clusters, object: "spec: {syncResources: [], authenticationFrom: {token: {name: a}}}",
			refused: "spec.authenticationFrom.token.key",
		},
		"secret without name": {
			definition: clusters, object: "spec: {syncResources: [], authenticationFrom: {token: {key: a}}}",
			refused: "spec.authenticationFrom.token.name",
		},
		"condition":                       {definition: clusters, object: "status: {conditions: [{" + condition + ", reason: Ready}]}"},
		"condition with an empty reason":  {definition: clusters, object: "status: {conditions: [{" + condition + ", reason: ''}]}", refused: "status.conditions[0].reason"},
		"condition with a blank inside":   {definition: clusters, object: "status: {conditions: [{" + condition + ", reason: a b}]}", refused: "status.conditions[0].reason"},
		"conditions may repeat a type":    {definition: clusters, object: "status: {conditions: [{" + condition + ", reason: a}, {" + condition + ", reason: b}]}"},
		"policy":                          {definition: policies, object: "spec: {" + source + ", " + templates + "}"},
		"policy without source":           {definition: policies, object: "spec: {" + templates + "}", refused: "spec.source"},
		"policy without template":         {definition: policies, object: "spec: {" + source + ", nameTemplate: a, creationCondition: a}", refused: "spec.template"},
		"policy without condition":        {definition: policies, object: "spec: {" + source + ", nameTemplate: a, template: a}", refused: "spec.creationCondition"},
		"policy without name":             {definition: policies, object: "spec: {" + source + ", template: a, creationCondition: a}", refused: "spec.nameTemplate"},
		"policy with references":          {definition: policies, object: "spec: {" + source + ", " + templates + ", references: [{" + reference + "}]}"},
		"policy repeats a reference":      {definition: policies, object: "spec: {" + source + ", " + templates + ", references: [{" + reference + "}, {" + reference + "}]}", refused: "spec.references[1]"},
		"lifecycle":                       {definition: lifecycles, object: "spec: {" + source + ", " + templates + ", references: [{" + reference + ", version: v1}]}"},
		"lifecycle of a cluster's object": {definition: lifecycles, object: "spec: {source: {group: '', version: v1, resource: nodes, name: a}, " + templates + "}"},
		"lifecycle reference without version": {
			definition: lifecycles, object: "spec: {" + source + ", " + templates + ", references: [{" + reference + "}]}",
			refused: "spec.references[0].version",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var object map[string]any
			require.NoError(t, yaml.Unmarshal([]byte(test.object), &object))

			errs := admit(t, load(t, test.definition), object)
			if test.refused != "" {
				require.NotEmpty(t, errs)
				for _, err := range errs {
					require.Equal(t, test.refused, err.Field)
				}
				return
			}
			require.Empty(t, errs)
			if test.dropped != "" {
				require.NotContains(t, object["spec"], test.dropped)
			}
		})
	}
}

// admit changes the object as an API server does, and returns what it refuses.
func admit(t *testing.T, d definition, object map[string]any) field.ErrorList {
	t.Helper()
	defaulting.PruneNonNullableNullsWithoutDefaults(object, d.structural)
	pruning.Prune(object, d.structural, true)

	validator, _, err := validation.NewSchemaValidator(d.internal)
	require.NoError(t, err)
	errs := validation.ValidateCustomResource(nil, object, validator)
	return append(errs, listtype.ValidateListSetsAndMaps(nil, d.structural, object)...)
}
