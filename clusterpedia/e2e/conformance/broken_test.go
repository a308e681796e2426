package conformance

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBrokenObjects copies objects that are none of the kinds that they say to be, as of a
// member that is no kube-apiserver: they are served as they are, hide no others where that is
// possible, and are named where it is not.
func TestBrokenObjects(t *testing.T) {
	d := shared.deployment(t, sqlite)
	ctx := t.Context()
	l := &loader{newStub("broken", 4999, served()...), 4, 4000}
	t.Cleanup(l.close)
	l.load(configMaps, "default", "cm1", document{"data": document{"key": "value"}})
	l.load(pods, "default", "fine", document{"spec": document{"containers": []any{}}})
	l.load(pods, "default", "odd", document{"spec": document{"containers": "none"}})
	l.load(deployments, "default", "odd", document{"spec": document{"replicas": "many"}})
	l.load(widgets, "default", "odd", document{"spec": []any{1, nil, "x"}, "status": nil})
	require.NoError(t, d.join(ctx, l.stub))
	t.Cleanup(func() { require.NoError(t, d.RemoveCluster(context.WithoutCancel(ctx), l.name)) })
	const (
		list, get, other = "M/api/v1/pods?clusters=broken", "C(broken)/api/v1/namespaces/default/pods/odd", "M/apis/apps/v1beta1/deployments?clusters=broken"
		json, yaml       = "application/json", "application/yaml"
		metadata         = json + ";as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
	)
	for url, formats := range map[string][]string{
		list: {json, json + asTable, yaml + asTable, json + asPartial, yaml + asPartial}, get: {json, json + asTable, yaml + asTable, metadata}, other: {json + asTable, json + asPartial},
		"M/apis/apps/v1/deployments?clusters=broken":    {json, json + asTable},
		"M/apis/example.io/v1/widgets?clusters=broken":  {json, yaml, json + ";pretty=1", json + asTable, json + asPartial},
		"CO/any?groups=*&clusters=broken":               {json, yaml, json + asTable},
		"M/api/v1/pods?clusters=broken&onlyMetadata=1":  {json, yaml},
		"M/api/v1/pods?clusters=broken&injectEvents=on": {json},
	} {
		for _, accept := range formats {
			r, err := d.send(ctx, &Case{Accept: accept}, url)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, r.status, "%s\n%s", accept, r)
			require.Contains(t, string(r.body), "odd", "%s\n%s", accept, r)
			if strings.Contains(url, "pods?") {
				require.Contains(t, string(r.body), "fine", "%s\n%s", accept, r)
			}
		}
	}
	for url, formats := range map[string][]string{list: {yaml, json + ";pretty=1", "application/vnd.kubernetes.protobuf"}, get: {yaml, json + ";pretty=1"}, other: {json, yaml}} {
		for _, accept := range formats {
			r, err := d.send(ctx, &Case{Accept: accept}, url)
			require.NoError(t, err)
			require.Equal(t, http.StatusInternalServerError, r.status, "%s\n%s", accept, r)
			text := strings.Join(strings.Fields(string(r.body)), " ") // YAML breaks lines
			require.Contains(t, text, "the stored object broken ", "%s\n%s", accept, r)
			require.Contains(t, text, "default/odd cannot be read as", "%s\n%s", accept, r)
		}
	}
}
