package client_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"

	"clusterpedia.io/api/client/clientset/versioned"
	"clusterpedia.io/api/client/clientset/versioned/fake"
	typedv1alpha2 "clusterpedia.io/api/client/clientset/versioned/typed/cluster/v1alpha2"
	"clusterpedia.io/api/client/informers/externalversions"
	clusterv1alpha2 "clusterpedia.io/api/cluster/v1alpha2"
	policyv1alpha1 "clusterpedia.io/api/policy/v1alpha1"
)

func TestPaths(t *testing.T) {
	t.Parallel()

	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		// The test reads the path back from the object's name.
		_ = json.NewEncoder(w).Encode(map[string]any{"metadata": map[string]any{"name": r.Method + " " + r.URL.Path}})
	}))
	t.Cleanup(server.Close)
	clients, err := versioned.NewForConfig(&rest.Config{Host: server.URL})
	require.NoError(t, err)

	cluster, policy := clients.ClusterV1alpha2(), clients.PolicyV1alpha1()
	for name, test := range map[string]struct {
		call func(context.Context) (metav1.Object, error)
		want string
	}{
		"PediaCluster": {
			call: func(ctx context.Context) (metav1.Object, error) {
				return cluster.PediaClusters().Get(ctx, "a", metav1.GetOptions{})
			},
			want: "GET /apis/cluster.clusterpedia.io/v1alpha2/pediaclusters/a",
		},
		"PediaCluster status": {
			call: func(ctx context.Context) (metav1.Object, error) {
				object := &clusterv1alpha2.PediaCluster{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
				return cluster.PediaClusters().UpdateStatus(ctx, object, metav1.UpdateOptions{})
			},
			want: "PUT /apis/cluster.clusterpedia.io/v1alpha2/pediaclusters/a/status",
		},
		"ClusterSyncResources": {
			call: func(ctx context.Context) (metav1.Object, error) {
				return cluster.ClusterSyncResources().Get(ctx, "a", metav1.GetOptions{})
			},
			want: "GET /apis/cluster.clusterpedia.io/v1alpha2/clustersyncresources/a",
		},
		"ClusterImportPolicy status": {
			call: func(ctx context.Context) (metav1.Object, error) {
				object := &policyv1alpha1.ClusterImportPolicy{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
				return policy.ClusterImportPolicies().UpdateStatus(ctx, object, metav1.UpdateOptions{})
			},
			want: "PUT /apis/policy.clusterpedia.io/v1alpha1/clusterimportpolicies/a/status",
		},
		"PediaClusterLifecycle status": {
			call: func(ctx context.Context) (metav1.Object, error) {
				object := &policyv1alpha1.PediaClusterLifecycle{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
				return policy.PediaClusterLifecycles().UpdateStatus(ctx, object, metav1.UpdateOptions{})
			},
			want: "PUT /apis/policy.clusterpedia.io/v1alpha1/pediaclusterlifecycles/a/status",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := test.call(t.Context())
			require.NoError(t, err)
			require.Equal(t, test.want, got.GetName())
		})
	}

	_, hasStatus := reflect.TypeFor[typedv1alpha2.ClusterSyncResourcesInterface]().MethodByName("UpdateStatus")
	require.False(t, hasStatus, "ClusterSyncResources has no status")
}

func TestInformers(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())

	clients := fake.NewSimpleClientset(
		&clusterv1alpha2.PediaCluster{ObjectMeta: metav1.ObjectMeta{Name: "a"}},
		&policyv1alpha1.ClusterImportPolicy{ObjectMeta: metav1.ObjectMeta{Name: "b"}},
		&policyv1alpha1.PediaClusterLifecycle{ObjectMeta: metav1.ObjectMeta{Name: "c"}},
	)
	shared := &clusterv1alpha2.ClusterSyncResources{ObjectMeta: metav1.ObjectMeta{Name: "d"}}
	_, err := clients.ClusterV1alpha2().ClusterSyncResources().Create(ctx, shared, metav1.CreateOptions{})
	require.NoError(t, err)

	factory := externalversions.NewSharedInformerFactory(clients, 0)
	t.Cleanup(factory.Shutdown)
	t.Cleanup(cancel)
	clusters := factory.Cluster().V1alpha2().PediaClusters().Lister()
	resources := factory.Cluster().V1alpha2().ClusterSyncResources().Lister()
	policies := factory.Policy().V1alpha1().ClusterImportPolicies().Lister()
	lifecycles := factory.Policy().V1alpha1().PediaClusterLifecycles().Lister()
	factory.Start(ctx.Done())
	for informer, synced := range factory.WaitForCacheSync(ctx.Done()) {
		require.True(t, synced, informer)
	}

	_, err = clusters.Get("a")
	require.NoError(t, err)
	_, err = policies.Get("b")
	require.NoError(t, err)
	_, err = lifecycles.Get("c")
	require.NoError(t, err)
	all, err := resources.List(labels.Everything())
	require.NoError(t, err)
	require.Len(t, all, 1)
}
