package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// limited returns a deployment whose apiserver limits searches, and the arguments with
// which cases find it.
func (b *bed) limited(t *testing.T, storage string) (d *deployment, server string) {
	t.Helper()
	if storage == memory { // another process has another memory
		return b.deploy(t, memory+"-"+"PerResource", memory, true), ""
	}
	return b.deployment(t, storage), perResource
}

// TestPerResource runs the cases of testdata/limited, and those of testdata/cases as an
// administrator to whom an apiserver that limits searches answers as any other.
//
//nolint:tparallel // what the other tests load would be found, too
func TestPerResource(t *testing.T) {
	limited, err := readCases("testdata/limited")
	require.NoError(t, err)
	common, err := readCases("testdata/cases")
	require.NoError(t, err)
	for _, storage := range storages() {
		t.Run(storage, func(t *testing.T) {
			t.Parallel()
			d, server := shared.limited(t, storage)
			require.NoError(t, d.awaitFixture(t.Context(), server))
			run := func(group string, files []file, choose func(Case) (Case, bool)) {
				for _, f := range files {
					t.Run(group+f.name, func(t *testing.T) {
						t.Parallel()
						for _, c := range f.cases {
							chosen, ok := choose(*c)
							if !ok || !c.isFor(storage) {
								continue
							}
							chosen.Server = strings.TrimSpace(server + " " + c.Server)
							t.Run(c.Case, func(t *testing.T) {
								t.Parallel()
								d.try(t, &chosen)
							})
						}
					})
				}
			}
			run("", limited, func(c Case) (Case, bool) { return c, true })
			run("operator-", common, func(c Case) (Case, bool) {
				ok := c.As == "" && c.Via == "" && (c.Server == "" || strings.Contains(c.Server, "AllowRawSQLQuery"))
				c.As = "operator"
				return c, ok
			})
		})
	}
}

// rightsLimit bounds how long a watch may show what its caller may see no more: the bound
// that is documented, and a slow machine.
const rightsLimit = 60 * time.Second

// TestRightsOfWatches changes what the caller of a running watch may see: it ends, and a
// new list tells how things are.
func TestRightsOfWatches(t *testing.T) {
	d, _ := shared.limited(t, memory)
	ctx, cancel := context.WithTimeout(t.Context(), 5*rightsLimit)
	defer cancel()
	of := func(namespace, cluster string) right {
		return right{user: "lars", namespace: namespace, rules: []any{see([]any{"pods", "configmaps"}, []any{cluster}, []any{"list", "watch"})}}
	}
	const podList, configMapList, secretList = "M/api/v1/pods", "M/api/v1/configmaps", "M/api/v1/secrets"
	require.Equal(t, "1/cm1", d.names(ctx, t, configMapList))

	onPods, onConfigMaps, onSecrets := d.open(ctx, t, podList), d.open(ctx, t, configMapList), d.open(ctx, t, secretList)
	require.NoError(t, d.grant(ctx, of("kube-system", "cluster-2"), "User"))
	onPods.ends(t)
	onConfigMaps.ends(t)
	onSecrets.goesOn(t) // of which nothing was granted
	require.Contains(t, d.names(ctx, t, podList), "2/coredns-rs-0 2/coredns-rs-1")

	onPods = d.open(ctx, t, podList)
	bindings := schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"}
	require.NoError(t, d.dynamic.Resource(bindings).Namespace("default").Delete(ctx, "lars", metav1.DeleteOptions{}))
	onPods.ends(t)
	onSecrets.ends(t)
	require.Equal(t, "2/coredns-rs-0 2/coredns-rs-1", d.names(ctx, t, podList))

	// A namespace of a member, for which there is a right already.
	hosted := &unstructured.Unstructured{Object: document{"apiVersion": "v1", "kind": "Namespace", "metadata": document{"name": "later"}}}
	_, err := d.dynamic.Resource(namespaces.GroupVersionResource).Create(ctx, hosted, metav1.CreateOptions{})
	require.NoError(t, err)
	require.NoError(t, d.grant(ctx, of("later", "cluster-1"), "User"))
	onConfigMaps = d.open(ctx, t, configMapList)
	d.members[0].put(namespaces, document{"kind": "Namespace", "apiVersion": "v1", "metadata": document{"name": "later", "uid": "later"}})
	o := configMap("in-later", "later")
	o["metadata"] = document{"name": "in-later", "namespace": "later", "uid": "in-later"}
	d.members[0].put(configMaps, o)
	onConfigMaps.ends(t)
	require.Equal(t, "1/in-later", d.names(ctx, t, configMapList))
}

// TestOwnerPages follows what is owned by one of a name while another one of that name is
// hidden from the caller.
func TestOwnerPages(t *testing.T) {
	d, _ := shared.limited(t, memory)
	const hidden = "C(cluster-1)/api/v1/namespaces/kube-system/secrets/web-rs"
	d.members[0].put(secrets, document{"kind": "Secret", "apiVersion": "v1", "metadata": document{"name": "web-rs", "namespace": "kube-system", "uid": "other"}})
	t.Cleanup(func() { d.members[0].remove(secrets, "kube-system", "web-rs") })
	require.NoError(t, d.until(t.Context(), func() error { return d.check(t.Context(), &Case{As: "operator"}, hidden) }))
	all := "1/web-rs-0 1/web-rs-1 1/web-rs-2"
	c := &Case{As: "dora", Follow: true, Expect: Expect{Objects: &all}}
	require.NoError(t, d.check(t.Context(), c, "C(cluster-1)/api/v1/pods?ownerName=web-rs&limit=1"))
}

// TestManyNamespaces joins a cluster with more namespaces than there may be reviews: what a
// search says of it is said of one that there is not, narrower searches go on, and no
// message names a cluster that its caller did not.
func TestManyNamespaces(t *testing.T) {
	d, server := shared.limited(t, sqlite)
	ctx := t.Context()
	l := &loader{newStub("great", 4999, served()...), 4, 4000}
	t.Cleanup(l.close)
	const many = 1100
	for n := range many {
		l.load(namespaces, "", fmt.Sprintf("ns-%04d", n), document{})
	}
	l.load(configMaps, "default", "cm1", document{"data": document{"key": "value"}})
	require.NoError(t, d.join(ctx, l.stub))
	t.Cleanup(func() { require.NoError(t, d.RemoveCluster(context.WithoutCancel(ctx), l.name)) })
	ask := func(as, url string) *response {
		t.Helper()
		r, err := d.send(ctx, &Case{As: as, Server: server}, url)
		require.NoError(t, err)
		return r
	}
	require.NoError(t, d.until(ctx, func() error { // another server follows, too
		return d.check(ctx, &Case{As: "operator", Server: server, Expect: Expect{Items: new(many)}}, "M/api/v1/namespaces?clusters=great")
	}))
	for _, user := range []string{"gina", "dora"} {
		for _, url := range []string{"M/api/v1/configmaps", "M/api/v1/configmaps?clusters=great,cluster-1", "M/api/v1/configmaps?clusters=cluster-2,great", "CO/any?groups=*"} {
			r := ask(user, url)
			require.Equal(t, http.StatusForbidden, r.status, r)
			require.Contains(t, string(r.body), "ask for less, as at", r)
			for _, name := range []string{"great", "cluster-"} {
				require.NotContains(t, string(r.body), name, r)
			}
		}
		known, unknown := ask(user, "C(great)/api/v1/configmaps"), ask(user, "C(nowhere)/api/v1/configmaps")
		require.Equal(t, http.StatusForbidden, known.status, known)
		require.Equal(t, strings.ReplaceAll(string(unknown.body), "nowhere", "great"), string(known.body))
	}
	one := "1/cm1"
	for _, url := range []string{"M/api/v1/namespaces/default/configmaps", "M/api/v1/configmaps?namespaces=default", "C(cluster-1)/api/v1/configmaps", "M/api/v1/configmaps?clusters=cluster-1,cluster-2"} {
		require.NoError(t, d.check(ctx, &Case{As: "dora", Server: server, Expect: Expect{Objects: &one}}, url))
	}
	both := "1/coredns-rs-0 1/coredns-rs-1 2/coredns-rs-0 2/coredns-rs-1"
	require.NoError(t, d.check(ctx, &Case{As: "hugo", Server: server, Expect: Expect{Objects: &both}}, "M/api/v1/namespaces/kube-system/pods"))
	// He names the one namespace in which he may list, of which there is no need to ask for all.
	require.NoError(t, d.check(ctx, &Case{As: "hugo", Server: server, Expect: Expect{Items: new(0)}}, "C(great)/api/v1/pods?namespaces=kube-system"))
}

// names lists as lars, whose rights change.
func (d *deployment) names(ctx context.Context, t *testing.T, url string) string {
	t.Helper()
	r, err := d.send(ctx, &Case{As: "lars"}, url)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, r.status, r)
	var got items
	require.NoError(t, json.Unmarshal(r.body, &got))
	names := got.names()
	slices.Sort(names)
	return strings.Join(names, " ")
}

// opened is a watch of lars, which tells how it has ended.
type opened struct {
	url   string
	ended chan string
}

// open watches from a list on.
func (d *deployment) open(ctx context.Context, t *testing.T, url string) opened {
	t.Helper()
	r, err := d.send(ctx, &Case{As: "lars"}, url)
	require.NoError(t, err)
	var list struct{ Metadata metav1.ListMeta }
	require.NoError(t, json.Unmarshal(r.body, &list), r)
	require.NotEmpty(t, list.Metadata.ResourceVersion)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.URL()+expand(url+"?watch=true&resourceVersion="+list.Metadata.ResourceVersion), nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+users()["lars"])
	patient := &http.Client{Transport: d.client.Transport}
	resp, err := patient.Do(req) //nolint:bodyclose // as the watch ends
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	o := opened{url, make(chan string, 1)}
	go func() {
		defer resp.Body.Close()
		var last event
		for decoder := json.NewDecoder(resp.Body); ; {
			var e event
			if err := decoder.Decode(&e); err != nil {
				break
			}
			last = e
		}
		o.ended <- fmt.Sprint(last.Type, " ", last.Object["code"])
	}()
	t.Cleanup(func() { _ = resp.Body.Close() }) // it may have ended
	return o
}

// ends waits until the watch has ended because its caller may see something else.
func (o opened) ends(t *testing.T) {
	t.Helper()
	begin := time.Now()
	select {
	case how := <-o.ended:
		require.Equal(t, "ERROR 410", how, o.url)
		t.Logf("the watch of %s ended after %s", o.url, time.Since(begin).Round(time.Second))
	case <-time.After(rightsLimit):
		require.Fail(t, "the watch goes on", o.url)
	}
}

func (o opened) goesOn(t *testing.T) {
	t.Helper()
	select {
	case how := <-o.ended:
		require.Fail(t, "the watch has ended", "%s: %s", o.url, how)
	default:
	}
}
