package synchro

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubefake "k8s.io/client-go/kubernetes/fake"

	"clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/clusterpedia/internal/synchro/fakemember"
	"clusterpedia.io/storage-api/storage"
)

// chance is a source of randomness for several goroutines.
type chance struct {
	mu  sync.Mutex
	rng *rand.Rand
}

func (c *chance) n(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rng.IntN(n)
}

// TestConverges lets everything fail at random while the member changes, and checks
// that in the end the storage layer has what the member has.
func TestConverges(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			c := &chance{rng: rand.New(rand.NewPCG(seed, 1))}
			w := newWorld(t, pods, nodes, deployments)
			w.options.Tuning.Writer.QueueChanges = 10
			w.options.Tuning.Writer.BatchChanges = 4
			resources := []fakemember.Resource{pods, nodes, deployments}
			change := func() {
				r := resources[c.n(len(resources))]
				namespace := ""
				if r.Namespaced {
					namespace = fmt.Sprintf("ns%d", c.n(3))
				}
				name := fmt.Sprintf("n%d", c.n(15))
				if c.n(3) == 0 && slices.ContainsFunc(w.member.Names(), func(n string) bool {
					return slices.Contains([]string{r.Name + " " + namespace + "/" + name, r.Name + " " + name}, n[:max(0, len(n)-4)])
				}) {
					w.member.Delete(r, namespace, name)
					return
				}
				w.member.Put(r, namespace, name, fmt.Sprintf("u%d", c.n(3)), "")
			}
			for range 60 {
				change()
			}
			w.member.FailWith(func(*http.Request) int {
				return []int{0, 0, 0, 0, 0, 0, 0, 0, http.StatusInternalServerError, http.StatusGone}[c.n(10)]
			})
			w.storage.FailWith(func(string, []storage.Change) error {
				switch c.n(8) {
				case 0:
					return storage.Retryable(errors.New("connection lost"))
				case 1:
					return errors.New("some other failure")
				}
				return nil
			})
			w.create(entry("", "*"), entry("apps", "*"))
			w.run()
			for i := range 400 {
				change()
				switch c.n(40) {
				case 0:
					w.member.CutWatches()
				case 1:
					w.member.Compact()
					w.member.CutWatches()
				case 2:
					w.stop()
					w.run()
				}
				if i%20 == 0 {
					w.member.Requests("")
				}
			}
			w.member.FailWith(nil)
			w.storage.FailWith(nil)
			w.eventually(func() bool { return slices.Equal(w.member.Names(), w.storage.Names()) }, "the member has %q", w.member.Names())
			w.shows("Ready=True", "pods.v1=Syncing", "nodes.v1=Syncing", "deployments.v1=Syncing")
		})
	}
}

func TestCredentialsFromSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.member.Put(pods, "default", "a", "ua", "")
	kube := kubefake.NewClientset()
	w.options.Kubernetes, w.options.Namespace = kube, "system"
	w.options.Gates.ClusterAuthenticationFromSecret = true
	w.create(entry("", "pods"))
	w.update(func(p *v1alpha2.PediaCluster) {
		p.Spec.TokenData = nil
		p.Spec.AuthenticationFrom = &v1alpha2.ClusterAuthentication{Token: &v1alpha2.SecretKeySelector{Name: "member", Key: "token"}}
	})
	var mu sync.Mutex
	tokens := map[string]bool{}
	w.member.FailWith(func(r *http.Request) int {
		mu.Lock()
		defer mu.Unlock()
		tokens[r.Header.Get("Authorization")] = true
		return 0
	})
	w.run()
	w.shows("Validated=False/InvalidConfig/invalid cluster config: Cluster Authentication Error: secret \"member\" not found")
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "member", Namespace: "other"}, Data: map[string][]byte{"token": []byte("first")}}
	for _, namespace := range []string{"other", "system"} {
		secret.Namespace = namespace
		_, err := kube.CoreV1().Secrets(namespace).Create(t.Context(), secret, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	w.shows("Ready=True")
	w.stored("pods default/a 101")
	w.storage.Writes()
	secret.Data["token"] = []byte("second")
	_, err := kube.CoreV1().Secrets("system").Update(t.Context(), secret, metav1.UpdateOptions{})
	require.NoError(t, err)
	w.eventually(func() bool {
		mu.Lock()
		defer mu.Unlock()
		return tokens["Bearer second"]
	}, "the new token is not used")
	w.shows("Ready=True", "pods.v1=Syncing/")
	puts, deletes := w.storage.Writes()
	require.Zero(t, puts+deletes)
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	for _, change := range []func(*Options){
		func(o *Options) { o.Clusterpedia = nil },
		func(o *Options) { o.Storage = nil },
		func(o *Options) { o.Workers = 0 },
		func(o *Options) { o.Kinds.Convert = nil },
		func(o *Options) { o.Gates.ClusterAuthenticationFromSecret = true },
	} {
		options := w.options
		change(&options)
		_, err := New(options)
		require.Error(t, err)
	}
	options := w.options
	options.PageSize, options.Metrics, options.Tuning = 0, nil, Tuning{}
	m, err := New(options)
	require.NoError(t, err)
	require.EqualValues(t, DefaultPageSize, m.PageSize)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, m.Run(ctx))
}
