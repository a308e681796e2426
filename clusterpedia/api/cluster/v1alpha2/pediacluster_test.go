package v1alpha2

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestSyncConditionGVR(t *testing.T) {
	t.Parallel()

	deployments := schema.GroupResource{Group: "apps", Resource: "deployments"}
	gvr := func(group, version, resource string) schema.GroupVersionResource {
		return schema.GroupVersionResource{Group: group, Version: version, Resource: resource}
	}
	for name, test := range map[string]struct {
		condition     ClusterResourceSyncCondition
		sync, storage schema.GroupVersionResource
	}{
		"nothing": {},
		"version alone": {
			condition: ClusterResourceSyncCondition{Version: "v1"},
			sync:      gvr("apps", "v1", "deployments"),
		},
		"same versions": {
			condition: ClusterResourceSyncCondition{Version: "v1", StorageVersion: "v1"},
			sync:      gvr("apps", "v1", "deployments"),
			storage:   gvr("apps", "v1", "deployments"),
		},
		"other sync version": {
			condition: ClusterResourceSyncCondition{Version: "v1", SyncVersion: "v1beta1", StorageVersion: "v1"},
			sync:      gvr("apps", "v1beta1", "deployments"),
			storage:   gvr("apps", "v1", "deployments"),
		},
		"other sync resource": {
			condition: ClusterResourceSyncCondition{
				Version: "v1", SyncVersion: "v1beta1", SyncResource: "deployments.extensions", StorageVersion: "v1",
			},
			sync:    gvr("extensions", "v1beta1", "deployments"),
			storage: gvr("apps", "v1", "deployments"),
		},
		"other sync resource of the same version": {
			condition: ClusterResourceSyncCondition{Version: "v1", SyncResource: "pods"},
			sync:      gvr("", "v1", "pods"),
		},
		"other storage resource": {
			condition: ClusterResourceSyncCondition{
				Version: "v1beta1", StorageVersion: "v1", StorageResource: "things.example.com",
			},
			sync:    gvr("apps", "v1beta1", "deployments"),
			storage: gvr("example.com", "v1", "things"),
		},
		"storage version without version": {
			condition: ClusterResourceSyncCondition{StorageVersion: "v1", StorageResource: "things.example.com"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.sync, test.condition.SyncGVR(deployments))
			require.Equal(t, test.storage, test.condition.StorageGVR(deployments))
		})
	}
}

func TestPediaClusterJSON(t *testing.T) {
	t.Parallel()

	empty := ""
	for name, test := range map[string]struct {
		cluster PediaCluster
		want    string
	}{
		"zero": {
			want: `{"metadata":{}}`,
		},
		"selecting nothing": {
			cluster: PediaCluster{Spec: ClusterSpec{SyncResources: []ClusterGroupResources{}}},
			want:    `{"metadata":{},"spec":{"syncResources":[]}}`,
		},
		"data is in base64": {
			cluster: PediaCluster{Spec: ClusterSpec{
				TokenData:     []byte("secret"),
				SyncResources: []ClusterGroupResources{{Resources: []string{"pods"}}},
			}},
			want: `{"metadata":{},"spec":{"tokenData":"c2VjcmV0","syncResources":[{"group":"","resources":["pods"]}]}}`,
		},
		"owned by the manager without a name": {
			cluster: PediaCluster{Status: ClusterStatus{ShardingName: &empty}},
			want:    `{"metadata":{},"status":{"shardingName":""}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := json.Marshal(test.cluster)
			require.NoError(t, err)
			require.JSONEq(t, test.want, string(got))
		})
	}
}

func TestScheme(t *testing.T) {
	t.Parallel()

	scheme := runtime.NewScheme()
	require.NoError(t, Install(scheme))
	for _, kind := range []string{"PediaCluster", "PediaClusterList", "ClusterSyncResources", "ClusterSyncResourcesList", "ListOptions"} {
		require.True(t, scheme.Recognizes(GroupVersion.WithKind(kind)), kind)
	}
	require.Equal(t, "pediaclusters.cluster.clusterpedia.io", Resource("pediaclusters").String())
}
