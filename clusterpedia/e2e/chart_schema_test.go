package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestChartSchemaRefuses checks that typing errors in what the chart hands to Kubernetes
// are refused, with the place and what is wrong there.
func TestChartSchemaRefuses(t *testing.T) {
	t.Parallel()
	c := newChart(t)
	const affinity = "apiserver.affinity."
	required := func(kind string) string { return affinity + kind + ".requiredDuringSchedulingIgnoredDuringExecution" }
	preferred := func(kind string) string { return affinity + kind + ".preferredDuringSchedulingIgnoredDuringExecution" }
	nodeTerm := required("nodeAffinity") + ".nodeSelectorTerms[0]"
	variable := func(more string) string { return "apiserver.extraEnv[0].name=A,apiserver.extraEnv[0]." + more }
	rule := func(group, resource, verb string) string {
		const at = "controllerManager.rules[0]."
		return at + "apiGroups[0]=" + group + "," + at + "resources[0]=" + resource + "," + at + "verbs[0]=" + verb
	}
	for set, want := range map[string]string{
		"apiserver.resources.limit.cpu=1":                     "at '/apiserver/resources': additional properties 'limit' not allowed",
		"apiserver.resources.limits.mem=1Gi":                  "at '/apiserver/resources/limits': additional properties 'mem' not allowed",
		"apiserver.resources.requests.cpu=one":                "at '/apiserver/resources/requests/cpu': 'one' does not match pattern",
		"apiserver.resources.requests.memory=1GB":             "at '/apiserver/resources/requests/memory': '1GB' does not match pattern",
		"apiserver.resources.requests.memory=-1":              "at '/apiserver/resources/requests/memory': minimum: got -1, want 0",
		"apiserver.resources.requests=100m":                   "at '/apiserver/resources/requests': got string, want object",
		"apiserver.resources.claims[0].request=a":             "at '/apiserver/resources/claims/0': missing property 'name'",
		"storage.database.resources.request.cpu=1":            "at '/storage/database/resources': additional properties 'request' not allowed",
		"storage.database.size=20GB":                          "at '/storage/database/size': '20GB' does not match pattern",
		"apiserver.tolerations.key=infra":                     "at '/apiserver/tolerations': got object, want array",
		"apiserver.tolerations[0]=infra":                      "at '/apiserver/tolerations/0': got string, want object",
		"apiserver.tolerations[0].operator=Exist":             "at '/apiserver/tolerations/0/operator': value must be one of 'Exists', 'Equal', 'Lt', 'Gt'",
		"apiserver.tolerations[0].effect=NoSchedul":           "at '/apiserver/tolerations/0/effect': value must be one of",
		"apiserver.tolerations[0].value=1":                    "at '/apiserver/tolerations/0/value': got number, want string",
		"apiserver.tolerations[0].tolerationSeconds=30s":      "at '/apiserver/tolerations/0/tolerationSeconds': got string, want integer",
		"apiserver.tolerations[0].seconds=30":                 "at '/apiserver/tolerations/0': additional properties 'seconds' not allowed",
		"apiserver.affinity.podAntiAfinity.a=b":               "at '/apiserver/affinity': additional properties 'podAntiAfinity' not allowed",
		"apiserver.affinity.nodeAffinity.required=a":          "at '/apiserver/affinity/nodeAffinity': additional properties 'required' not allowed",
		required("nodeAffinity") + "[0].key=a":                "got array, want object",
		required("nodeAffinity") + ".matchExpressions[0]=a":   "missing property 'nodeSelectorTerms'",
		nodeTerm + ".matchExpressions[0].operator=Is":         "missing property 'key'",
		nodeTerm + ".matchLabels.a=b":                         "additional properties 'matchLabels' not allowed",
		required("podAntiAffinity") + "[0].labelSelector.a=b": "missing property 'topologyKey'",
		required("podAntiAffinity") + ".topologyKey=a":        "got object, want array",
		preferred("podAffinity") + "[0].weight=0":             "minimum: got 0, want 1",
		preferred("podAffinity") + "[0].topologyKey=a":        "additional properties 'topologyKey' not allowed",
		preferred("nodeAffinity") + "[0].weight=101":          "maximum: got 101, want 100",
		"apiserver.nodeSelector.ssd=true":                     "at '/apiserver/nodeSelector/ssd': got boolean, want string",
		"apiserver.nodeSelector.disk=a b":                     "at '/apiserver/nodeSelector/disk': 'a b' does not match pattern",
		"apiserver.podAnnotations.port=8443":                  "at '/apiserver/podAnnotations/port': got number, want string",
		"apiserver.extraEnv.A=b":                              "at '/apiserver/extraEnv': got object, want array",
		"apiserver.extraEnv[0].value=b":                       "at '/apiserver/extraEnv/0': missing property 'name'",
		"apiserver.extraEnv[0].name=A=B":                      "at '/apiserver/extraEnv/0/name': 'A=B' does not match pattern",
		variable("value=1"):                                   "at '/apiserver/extraEnv/0/value': got number, want string",
		variable("valueFrom.secretKeyRef.name=a"):             "at '/apiserver/extraEnv/0/valueFrom/secretKeyRef': missing property 'key'",
		variable("valueFrom.secretRef.name=a"):                "at '/apiserver/extraEnv/0/valueFrom': additional properties 'secretRef' not allowed",
		"controllerManager.rules[0].verbs=get":                "at '/controllerManager/rules/0/verbs': got string, want array",
		"controllerManager.rules[0].groups[0]=apps":           "additional properties 'groups' not allowed",
		rule("apps", "deployments", "create"):                 "at '/controllerManager/rules/0/verbs/0': value must be one of 'get', 'list', 'watch'",
		rule("apps", "deployments", "*"):                      "at '/controllerManager/rules/0/verbs/0': value must be one of 'get', 'list', 'watch'",
		rule("*", "deployments", "get"):                       "at '/controllerManager/rules/0/apiGroups/0': '*' does not match pattern",
		rule("apps", "*", "get"):                              "at '/controllerManager/rules/0/resources/0': '*' does not match pattern",
		rule("apps", "*/scale", "get"):                        "at '/controllerManager/rules/0/resources/0': '*/scale' does not match pattern",
		"controllerManager.rules[0].verbs[0]=get":             "at '/controllerManager/rules/0': missing properties 'apiGroups', 'resources'",
		"controllerManager.rules[0].nonResourceURLs[0]=/a":    "at '/controllerManager/rules/0/nonResourceURLs': maxItems: got 1, want 0",
		"bindingApiserver.replicas=2":                         "at '/bindingApiserver': additional properties 'replicas' not allowed",
		"bindingApiserver.podDisruptionBudget.minAvailable=1": "at '/bindingApiserver': additional properties 'podDisruptionBudget' not allowed",
		"bindingApiserver.shardingName=a":                     "at '/bindingApiserver': additional properties 'shardingName' not allowed",
		"apiserver.shardingName=a":                            "at '/apiserver': additional properties 'shardingName' not allowed",
		"controllerManager.shardingName=a":                    "at '/controllerManager': additional properties 'shardingName' not allowed",
		"apiserver.rules[0].verbs[0]=get":                     "at '/apiserver': additional properties 'rules' not allowed",
		"clustersynchroManager.rules[0].verbs[0]=get":         "at '/clustersynchroManager': additional properties 'rules' not allowed",
		"apiserver.podDisruptionBudget.minAvailable=half":     "at '/apiserver/podDisruptionBudget/minAvailable': 'half' does not match pattern",
	} {
		c.refuses(t, set, want)
	}
}

// TestChartSchemaFollowsKubernetes checks that the schema knows the fields that
// Kubernetes' types have, by their names, and no others.
func TestChartSchemaFollowsKubernetes(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(shared.root, "charts", "clusterpedia", "values.schema.json"))
	require.NoError(t, err)
	type definition struct {
		Properties map[string]struct {
			Enum []string
		}
		AdditionalProperties any
		Pattern              string
	}
	var schema struct{ Definitions map[string]definition }
	require.NoError(t, json.Unmarshal(text, &schema))
	kinds := map[string]reflect.Type{}
	for _, value := range []any{corev1.ResourceRequirements{}, corev1.Toleration{}, corev1.Affinity{}, corev1.EnvVar{}, rbacv1.PolicyRule{}} {
		collectKinds(reflect.TypeOf(value), kinds)
	}
	for name, kind := range kinds {
		found, ok := schema.Definitions[name]
		require.True(t, ok, name)
		require.ElementsMatch(t, jsonNames(kind), slices.Collect(maps.Keys(found.Properties)), name)
		require.Equal(t, false, found.AdditionalProperties, name)
	}
	enum := func(kind, property string) []string { return schema.Definitions[kind].Properties[property].Enum }
	require.ElementsMatch(t, enum("Toleration", "operator"),
		texts(corev1.TolerationOpExists, corev1.TolerationOpEqual, corev1.TolerationOpLt, corev1.TolerationOpGt))
	require.ElementsMatch(t, enum("Toleration", "effect"),
		texts("", corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute))
	require.ElementsMatch(t, enum("NodeSelectorRequirement", "operator"),
		texts(corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn, corev1.NodeSelectorOpExists, corev1.NodeSelectorOpDoesNotExist, corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt))
	require.ElementsMatch(t, enum("LabelSelectorRequirement", "operator"),
		texts(metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn, metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist))

	pattern := regexp.MustCompile(schema.Definitions["quantity"].Pattern)
	for _, text := range []string{
		"0", "1", "+1", "-1", "1.5", "1.", ".5", "", " 1", "1 ", "one", "1e3", "1E3", "1e-3", "1e+3", "1e", "1E", "1Ei", "0x10", "1,5", "1_000",
		"1n", "1u", "1m", "1k", "1K", "1M", "1G", "1T", "1P", "1Ki", "1ki", "1Mi", "1Gi", "1Ti", "1Pi", "1mi", "1GB", "1Gb", "1B", "1.5Gi", ".5Gi", "1e3Gi", "1Zi",
	} {
		quantity, err := resource.ParseQuantity(text)
		require.Equal(t, err == nil && quantity.Sign() >= 0, pattern.MatchString(text), "%q", text)
	}
}

func texts[T ~string](values ...T) []string {
	var out []string
	for _, v := range values {
		out = append(out, string(v))
	}
	return out
}

// collectKinds adds a struct and those that it is made of, by name.
func collectKinds(kind reflect.Type, kinds map[string]reflect.Type) {
	for kind.Kind() == reflect.Pointer || kind.Kind() == reflect.Slice || kind.Kind() == reflect.Map {
		kind = kind.Elem()
	}
	if kind.Kind() != reflect.Struct || kind == reflect.TypeFor[resource.Quantity]() {
		return
	}
	kinds[kind.Name()] = kind
	for i := range kind.NumField() {
		if field := kind.Field(i); !field.Anonymous {
			collectKinds(field.Type, kinds)
		}
	}
}

// jsonNames returns the names of a struct's fields in JSON.
func jsonNames(kind reflect.Type) []string {
	var names []string
	for i := range kind.NumField() {
		field := kind.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" && field.Anonymous {
			names = append(names, jsonNames(field.Type)...)
			continue
		}
		names = append(names, name)
	}
	return names
}

// TestChartSchemaAccepts has values that Kubernetes takes, and that no file of values
// has: claims need more in the pod than the chart renders.
func TestChartSchemaAccepts(t *testing.T) {
	t.Parallel()
	c := newChart(t)
	for set, want := range map[string]string{
		"apiserver.resources.claims[0].name=gpu,apiserver.resources.claims[0].request=one": "- name: gpu\n              request: one\n",
		"apiserver.resources=null,apiserver.nodeSelector=null,apiserver.affinity=null":     "resources:\n            null\n",
		"apiserver.resources.requests.memory=null":                                         "requests:\n              cpu: 100m\n",
	} {
		rendered := c.render(t, "--set", "storage.password=x,"+set)
		require.True(t, strings.Contains(rendered, want), "%s: no %q", set, want) //nolint:testifylint // The text is long.
	}
}
