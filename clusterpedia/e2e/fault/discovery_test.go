package fault

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apidiscovery "k8s.io/api/apidiscovery/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"clusterpedia.io/testbed/sample"
)

const aggregatedDiscovery = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

// discoveryFault is a way in which a member fails to tell what it serves.
type discoveryFault struct {
	name string
	// meets says that a request does, answer answers it.
	meets  func(*http.Request) bool
	answer func(http.ResponseWriter, *http.Request)
	// old says that the member is one that gives no aggregated answers.
	old bool
}

func discoveryFaults(t *testing.T, m *member) []discoveryFault {
	t.Helper()
	client, err := rest.HTTPClientFor(m.config)
	require.NoError(t, err)
	aggregated := func(r *http.Request) (list apidiscovery.APIGroupDiscoveryList, text []byte, err error) {
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, m.URL()+r.URL.Path, nil)
		if err != nil {
			return list, nil, err
		}
		req.Header.Set("Accept", aggregatedDiscovery)
		resp, err := client.Do(req)
		if err != nil {
			return list, nil, err
		}
		defer resp.Body.Close()
		if text, err = io.ReadAll(resp.Body); err != nil {
			return list, nil, err
		}
		return list, text, json.Unmarshal(text, &list)
	}
	// changed answers with the member's own document, which change changes.
	changed := func(change func(*apidiscovery.APIGroupDiscoveryList, []byte) []byte) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			list, text, err := aggregated(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			if text = change(&list, text); text == nil {
				if text, err = json.Marshal(list); err != nil {
					http.Error(w, err.Error(), http.StatusInternalServerError)
					return
				}
			}
			w.Header().Set("Content-Type", aggregatedDiscovery)
			_, _ = w.Write(text) // the client notices
		}
	}
	named := func(r *http.Request) bool { return r.URL.Path == "/apis" }
	widgets := "/apis/" + sample.Widgets.GroupVersion().String()
	return []discoveryFault{
		{name: "everything refused", meets: isRoot, answer: unavailable},
		{name: "everything stale", meets: named, answer: changed(func(list *apidiscovery.APIGroupDiscoveryList, _ []byte) []byte {
			for i := range list.Items {
				for j := range list.Items[i].Versions {
					list.Items[i].Versions[j] = apidiscovery.APIVersionDiscovery{Version: list.Items[i].Versions[j].Version, Freshness: apidiscovery.DiscoveryFreshnessStale}
				}
			}
			return nil
		})},
		{name: "half a document", meets: named, answer: changed(func(_ *apidiscovery.APIGroupDiscoveryList, text []byte) []byte { return text[:len(text)/2] })},
		{name: "an empty document", meets: isRoot, answer: changed(func(list *apidiscovery.APIGroupDiscoveryList, _ []byte) []byte {
			list.Items = []apidiscovery.APIGroupDiscovery{}
			return nil
		})},
		{name: "old member, all versions refused", old: true, answer: unavailable, meets: func(r *http.Request) bool {
			path := strings.TrimSuffix(r.URL.Path, "/")
			return strings.HasPrefix(path, "/api/") && strings.Count(path, "/") == 2 || strings.HasPrefix(path, "/apis/") && strings.Count(path, "/") == 3
		}},
		{name: "old member, one version refused", old: true, answer: unavailable, meets: func(r *http.Request) bool { return r.URL.Path == widgets }},
	}
}

func isRoot(r *http.Request) bool { return r.URL.Path == "/api" || r.URL.Path == "/apis" }

func unavailable(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusServiceUnavailable)
	_ = json.NewEncoder(w).Encode(apierrors.NewServiceUnavailable("this is a fault").Status()) // the client notices
}

// discoveryFails has the member not tell what it serves, while it serves it, to a manager
// that runs and to one that starts.
func discoveryFails(t *testing.T, m *member) {
	g := startGateway(t, m)
	s := newStage(t, m, scene{kubeconfig: writeKubeconfig(t, m, g.url), lease: 2 * shortLease})
	for _, f := range discoveryFaults(t, m) {
		var met, asked atomic.Int64
		g.set(func(w http.ResponseWriter, r *http.Request) bool {
			if isRoot(r) {
				asked.Add(1)
				if f.old {
					r.Header.Set("Accept", "application/json")
					r.Header.Del("If-None-Match")
				}
			}
			if !f.meets(r) {
				return false
			}
			met.Add(1)
			f.answer(w, r)
			return true
		})
		meets := func() int64 {
			t.Helper()
			before := met.Load()
			eventually(t, syncLimit, func() error {
				if met.Load() == before {
					return fmt.Errorf("%s: nobody has met the fault; discovery was asked for %d times", f.name, asked.Load())
				}
				return nil
			})
			pause(t, lasting(3*time.Second, 20*time.Second))
			return met.Load() - before
		}
		// The manager looks anew when definitions change.
		touchDefinition(t, m)
		running := meets()
		require.NoError(t, s.manager.Kill())
		s.startManager()
		starting := meets()
		for _, e := range s.tally(s.begun).deletes {
			require.Contains(t, e.object, "/"+loadPrefix, "what the member has was removed: %s", e)
		}
		g.set(nil)
		touchDefinition(t, m)
		require.NoError(t, s.WaitSynced(t.Context(), s.name, syncLimit, nil))
		t.Logf("%s: met %d times by a manager that ran, %d times by one that started", f.name, running, starting)
	}
	s.settleCleanly()
}

func touchDefinition(t *testing.T, m *member) {
	t.Helper()
	u, err := m.client.Resource(definitions).Get(t.Context(), sample.Widgets.GroupResource().String(), metav1.GetOptions{})
	require.NoError(t, err)
	u.SetAnnotations(map[string]string{"touched": time.Now().Format(time.RFC3339Nano)})
	_, err = m.client.Resource(definitions).Update(t.Context(), u, metav1.UpdateOptions{})
	require.NoError(t, err)
}
