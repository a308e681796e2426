package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// queries is how many searches the storages must agree on.
	queries = 1000
	// seed makes the same queries in every run.
	seed = 20260102
)

// TestDifferential asks all storages the same, and expects the same objects in the
// same order, and the same numbers. They hold a hundred odd objects beside the fixture.
func TestDifferential(t *testing.T) {
	deployments := all(t)
	if len(deployments) < 2 {
		t.Skip("there is one storage alone: nothing to compare")
	}
	ctx := t.Context()
	odd := newOddMember()
	t.Cleanup(odd.close)
	var loading sync.WaitGroup
	errs := make([]error, len(deployments))
	for i, d := range deployments {
		loading.Go(func() { errs[i] = d.join(ctx, odd) })
	}
	loading.Wait()
	for i, d := range deployments {
		require.NoError(t, errs[i], d.storage)
		t.Cleanup(func() { require.NoError(t, d.RemoveCluster(context.WithoutCancel(ctx), odd.name)) })
	}
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // the same in every run
	var urls []string
	for range queries {
		urls = append(urls, generate(random))
	}
	found, refused := 0, 0
	for _, query := range urls {
		want, err := deployments[0].answerTo(ctx, query)
		require.NoError(t, err)
		for _, d := range deployments[1:] {
			got, err := d.answerTo(ctx, query)
			require.NoError(t, err)
			require.Equal(t, want, got, "%s and %s differ in\n%s", deployments[0].storage, d.storage, query)
		}
		switch {
		case strings.HasPrefix(want, "400"):
			refused++
		case strings.Contains(want, "odd/"):
			found++
		}
	}
	t.Logf("%d queries, of which %d found some of the odd objects and %d were refused, are the same on %d storages", queries, found, refused, len(deployments))
	require.Greater(t, found, queries/4, "the queries must find something")
	require.Less(t, refused, queries/10, "the queries must be valid")
}

// all returns the deployments of all storages that there are databases for.
func all(t *testing.T) []*deployment {
	t.Helper()
	var names []string
	for _, storage := range storages() {
		if variable := variables()[storage]; variable == "" || os.Getenv(variable) != "" {
			names = append(names, storage)
		}
	}
	found := make([]*deployment, len(names))
	t.Run("deploy", func(t *testing.T) { // as this test ends, all have started
		for i, storage := range names {
			t.Run(storage, func(t *testing.T) {
				t.Parallel()
				found[i] = shared.deployment(t, storage)
			})
		}
	})
	if testing.Short() || t.Failed() {
		t.SkipNow()
	}
	return found
}

// join registers a member, of which more is to be copied than of others, and waits until it
// is synced.
func (d *deployment) join(ctx context.Context, member *stub, more ...resource) error {
	if err := d.addMember(ctx, member.name, member, nil, more...); err != nil {
		return err
	}
	if err := d.WaitSynced(ctx, member.name, syncLimit, nil); err != nil {
		return err
	}
	return d.until(ctx, func() error {
		r, err := d.send(ctx, &Case{}, "M/api/v1/configmaps?limit=1&clusters="+member.name)
		if err == nil && (!strings.Contains(string(r.body), "annotations") || r.header.Get("Warning") != "") {
			err = fmt.Errorf("not yet: %s", r)
		}
		return err
	})
}

// answerTo returns all that storages must agree on in an answer.
func (d *deployment) answerTo(ctx context.Context, query string) (string, error) {
	r, err := d.send(ctx, &Case{}, query)
	if err != nil {
		return "", err
	}
	if r.status != http.StatusOK {
		return fmt.Sprintf("%d %s", r.status, r.body), nil
	}
	var list struct {
		Metadata metav1.ListMeta
		Items    []metav1.PartialObjectMetadata
	}
	if err := json.Unmarshal(r.body, &list); err != nil {
		return "", fmt.Errorf("%w in %s", err, r)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "200 continue %q", list.Metadata.Continue)
	if list.Metadata.RemainingItemCount != nil {
		fmt.Fprintf(&out, " remaining %d", *list.Metadata.RemainingItemCount)
	}
	for _, o := range list.Items {
		fmt.Fprintf(&out, "\n%s/%s/%s", o.Annotations[clusterAnnotation], o.Namespace, o.Name)
	}
	return out.String(), nil
}

// oddTexts are values that engines may take for something else.
func oddTexts() []string {
	return []string{
		"", "a", "A", "b", "ä", "z", "true", "false", "null", "0", "1", "-1", "01", "+1", "1.0", "1e3", "10", "9", "9007199254740993", "999999999999999999", "1000000000000000000",
		"a b", " a", "a ", "%", "_", "\\", "\"", "'", "a%b", "日本", "\U0001f600", "NULL", "$.a", "[0]",
	}
}

// newOddMember returns a stub with objects that are meant to divide the engines.
func newOddMember() *stub {
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // the same in every run
	l := &loader{newStub("odd", 9999, served()...), 9, 9000}
	texts := oddTexts()
	text := func() string { return texts[random.IntN(len(texts))] }
	value := func() any {
		switch random.IntN(9) {
		case 0:
			return nil
		case 1:
			return random.IntN(3) == 0
		case 2:
			return random.IntN(20) - 5
		case 3:
			return []any{text(), random.IntN(5)}
		case 4:
			return document{"a": text()}
		case 5:
			return []any{}
		}
		return text()
	}
	for _, namespace := range []string{"default", "kube-system", "x-1", "x.1"} {
		l.load(namespaces, "", "odd-"+namespace, document{})
	}
	for n := range 100 {
		namespace := []string{"default", "kube-system", "x-1", "x.1"}[random.IntN(4)]
		name := []string{"a", "b-1", "b.1", "b1", "web", "z"}[random.IntN(6)] + "-" + strconv.Itoa(n)
		metadata := document{
			"creationTimestamp": fmt.Sprintf("2022-0%d-01T00:00:00Z", 1+random.IntN(5)),
			"labels":            document{"n": strconv.Itoa(random.IntN(15) - 3), "t": []string{"", "a", "A", "1", "true"}[random.IntN(5)]},
			"annotations":       document{"text": text(), "a/b": text()},
		}
		if random.IntN(3) == 0 {
			metadata["labels"] = document{"only": "x"}
		}
		if n%3 == 0 {
			var data document
			for _, key := range []string{"k", "K", "a.b", "long-key"} {
				if random.IntN(2) == 0 {
					if data == nil {
						data = document{}
					}
					data[key] = text()
				}
			}
			l.load(configMaps, namespace, name, document{"metadata": metadata, "data": data})
			continue
		}
		var list []any
		for range random.IntN(4) {
			list = append(list, document{"name": text(), "value": value(), "deep": []any{document{"n": random.IntN(4)}}})
		}
		l.load(widgets, namespace, name, document{"metadata": metadata, "spec": document{"v": value(), "w": value(), "size": random.IntN(12) - 3, "on": random.IntN(2) == 0, "list": list}})
	}
	return l.stub
}

// generate makes a search.
func generate(random *rand.Rand) string {
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	path := pick("M/apis/example.io/v1/widgets", "M/apis/example.io/v1/widgets", "M/api/v1/configmaps", "M/api/v1/pods", "D", "C(odd)/apis/example.io/v1/widgets", "M/apis/example.io/v1/namespaces/default/widgets")
	var query []string
	add := func(key, value string) { query = append(query, key+"="+url.QueryEscape(value)) }
	for range random.IntN(4) {
		switch random.IntN(11) {
		case 0:
			add("clusters", pick("odd", "cluster-1", "odd,cluster-2", "ODD"))
		case 1:
			add("namespaces", pick("default", "x-1,x.1", "kube-system", "X-1"))
		case 2:
			add("names", pick("w1", "cm1,web", "web-1,a-2,b-1-3", "WEB"))
		case 3:
			add("since", pick("2022-02-01", "2022-03-01T00:00:00Z"))
		case 4:
			add("before", pick("2022-04-01", "1646092800"))
		case 5, 6:
			add("orderby", pick("name", "name desc", "created_at desc", "namespace,name desc", "resource_version", "resource_version desc", "cluster desc,created_at", "uid desc", "kind,owner_uid,name"))
		case 7, 8:
			add("limit", strconv.Itoa(1+random.IntN(20)))
			if random.IntN(2) == 0 {
				add("continue", strconv.Itoa(random.IntN(30)))
			}
		default:
			add("labelSelector", labels(pick))
		}
	}
	add("withRemainingCount", pick("true", "false")) // the servers' defaults differ
	if random.IntN(5) > 0 {
		add("fieldSelector", fields(random, pick))
	}
	return path + "?" + strings.Join(query, "&")
}

func labels(pick func(...string) string) string {
	return pick("n>1", "n<1", "n>-2,n<5", "n", "!n", "t=", "t=a", "t!=a", "t in (a,1)", "t notin (A,)", "n=-1", "n in (1,2,-3)", "only", "!only,n!=3",
		"search.clusterpedia.io/namespaces in (default,x-1)", "internalstorage.clusterpedia.io/fuzzy-name=b", "internalstorage.clusterpedia.io/fuzzy-name in (b,1)", "internalstorage.clusterpedia.io/fuzzy-name=.")
}

// fields makes a field selector. Its values are those that the grammar allows.
func fields(random *rand.Rand, pick func(...string) string) string {
	var values []string
	for _, text := range oddTexts() {
		if !strings.ContainsAny(text, " ") {
			values = append(values, text)
		}
	}
	var requirements []string
	for range 1 + random.IntN(2) {
		path := pick("spec.v", "spec.w", "spec.size", "spec.on", "spec.list[].name", "spec.list[].value", "spec.list[0].name", "spec.list[1].value", "spec.list[].deep[].n", "spec.list[].deep[0].n",
			"spec.v.a", "spec.w[]", "spec.w[0]", "data.k", "data.K", "data['a.b']", "data.long-key", "metadata.annotations.text", "metadata.annotations['a/b']", "metadata.labels.n", "metadata.name", "spec.containers[].image", "spec.replicas")
		requirements = append(requirements, path+pick("="+pick(values...), "!="+pick(values...), " in ("+pick(values...)+","+pick(values...)+")", " notin ("+pick(values...)+","+pick(values...)+")",
			">"+strconv.Itoa(random.IntN(9)-4), "<"+strconv.Itoa(random.IntN(9)-4), ">999999999999999998", "", ""))
		if random.IntN(8) == 0 {
			requirements[len(requirements)-1] = "!" + path
		}
	}
	return strings.Join(requirements, ",")
}
