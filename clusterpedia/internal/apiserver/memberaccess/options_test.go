package memberaccess

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-base/featuregate"
)

func TestOptions(t *testing.T) {
	t.Parallel()
	const gateOff = "please enable feature gate AllowProxyRequestToClusters to allow apiserver to handle the proxy and forward requests"
	for name, tc := range map[string]struct {
		options       Options
		on, noForward bool
		err           string
	}{
		"nothing":                         {},
		"the PediaCluster's credentials":  {options: Options{UsePediaClusterConfig: true}},
		"subresources, gate off":          {options: Options{AllowedSubresources: []string{"log"}}, err: gateOff},
		"the proxy path, gate off":        {options: Options{ProxyPath: true}, err: gateOff},
		"what is not synced, gate off":    {options: Options{ForwardUnsynced: true}, err: gateOff},
		"everything":                      {options: Options{AllowedSubresources: []string{"log", "proxy"}, ProxyPath: true, ForwardUnsynced: true}, on: true},
		"no forwarding":                   {options: Options{AllowedSubresources: []string{"log"}, ProxyPath: true}, on: true, noForward: true},
		"no forwarding, but of anything":  {options: Options{ForwardUnsynced: true}, on: true, noForward: true, err: "--allow-forward-unsync-resource-request needs the feature gate AllowForwardRequestToClusters"},
		"an unknown subresource":          {options: Options{AllowedSubresources: []string{"foo"}}, on: true, err: `--allowed-proxy-subresources: unsupported subresources or invalid format "foo"`},
		"a subresource of something else": {options: Options{AllowedSubresources: []string{"deployments/log"}}, on: true, err: `unsupported subresources or invalid format "deployments/log"`},
		"too many parts":                  {options: Options{AllowedSubresources: []string{"a/b/c"}}, on: true, err: `--allowed-proxy-subresources: invalid format "a/b/c"`},
		"nothing in it":                   {options: Options{AllowedSubresources: []string{""}}, on: true, err: `unsupported subresources or invalid format ""`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gate := featuregate.NewFeatureGate()
			require.NoError(t, AddGates(gate))
			require.NoError(t, AddGates(gate), "one server has the synchro's gates, too")
			require.NoError(t, gate.SetFromMap(map[string]bool{string(GateAllowProxy): tc.on, string(GateForward): !tc.noForward}))
			err := tc.options.Validate(gate)
			if tc.err == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tc.err)
		})
	}
}

func TestParseSubresources(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ values, want []string }{
		"none":                 {},
		"one":                  {[]string{"pods/log"}, []string{"pods/log"}},
		"of all that have it":  {[]string{"proxy"}, []string{"nodes/proxy", "pods/proxy", "services/proxy"}},
		"of one that has it":   {[]string{"services/proxy"}, []string{"services/proxy"}},
		"twice":                {[]string{"log", "pods/log"}, []string{"pods/log"}},
		"as it was once spelt": {[]string{"portfowrd", "exec", " attach"}, []string{"pods/attach", "pods/exec", "pods/portforward"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			allowed, err := ParseSubresources(tc.values)
			require.NoError(t, err)
			require.Equal(t, tc.want, slices.Sorted(maps.Keys(allowed)))
		})
	}
}

func TestDiscoveryAndMethods(t *testing.T) {
	t.Parallel()
	allowed, err := ParseSubresources([]string{"pods/proxy", "log", "exec", "nodes/proxy"})
	require.NoError(t, err)
	all := metav1.Verbs{"create", "delete", "get", "patch", "update"}
	require.Equal(t, []metav1.APIResource{
		{Name: "pods/exec", Namespaced: true, Verbs: metav1.Verbs{"create", "get"}},
		{Name: "pods/log", Namespaced: true, Verbs: metav1.Verbs{"get"}},
		{Name: "pods/proxy", Namespaced: true, Verbs: all},
	}, allowed.Discovery("pods"))
	require.Equal(t, []metav1.APIResource{{Name: "nodes/proxy", Verbs: all}}, allowed.Discovery("nodes"))
	require.Empty(t, allowed.Discovery("services"))

	require.Equal(t, []string{"GET"}, New(Config{}).Methods())
	onlyLogs, err := ParseSubresources([]string{"log"})
	require.NoError(t, err)
	require.Equal(t, []string{"GET"}, New(Config{Allowed: onlyLogs}).Methods())
	shells, err := ParseSubresources([]string{"log", "exec"})
	require.NoError(t, err)
	require.Equal(t, []string{"GET", "POST"}, New(Config{Allowed: shells}).Methods())
	require.ElementsMatch(t, allMethods(), New(Config{Allowed: allowed}).Methods())
	require.ElementsMatch(t, allMethods(), New(Config{ProxyPath: true}).Methods())
}
