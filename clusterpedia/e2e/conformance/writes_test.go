package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestPagesUnderWrites reads lists in pages while objects come and go: each object that was
// there all the time is listed once, whatever happens to the others.
//
//nolint:tparallel // other tests would find the objects, too
func TestPagesUnderWrites(t *testing.T) {
	for _, d := range all(t) {
		t.Run(d.storage, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			busy := newStub("busy", 1, served()...)
			t.Cleanup(busy.close)
			stable := map[string]bool{}
			for n := range 40 {
				busy.put(configMaps, configMap(fmt.Sprintf("s-%02d", n), "stays"))
				stable[fmt.Sprintf("s-%02d", n)] = true
			}
			require.NoError(t, d.join(ctx, busy))
			t.Cleanup(func() { require.NoError(t, d.RemoveCluster(context.WithoutCancel(ctx), busy.name)) })

			ctx, cancel := context.WithCancel(ctx)
			stopped := make(chan struct{})
			t.Cleanup(func() { cancel(); <-stopped })
			go func() {
				defer close(stopped)
				busy.write(ctx)
			}()
			moved := map[string]bool{}
			for _, query := range []string{"limit=3", "limit=7&orderby=name desc", "limit=5&orderby=created_at", "limit=4&labelSelector=kind=stays", "limit=6&orderby=uid desc"} {
				got := d.pages(t, "C(busy)/api/v1/configmaps?"+query)
				names := map[string]int{}
				for _, name := range got {
					names[name]++
					if !stable[name] {
						moved[name] = true
					}
				}
				for name := range stable {
					require.Equal(t, 1, names[name], "%s: %s", query, name)
				}
				for name, times := range names {
					require.Equal(t, 1, times, "%s: %s", query, name)
				}
			}
			require.NotEmpty(t, moved, "some of the others must have been seen")
		})
	}
}

func configMap(name, kind string) document {
	return document{"kind": "ConfigMap", "apiVersion": "v1", "metadata": document{
		"name": name, "namespace": "default", "uid": "busy-" + name, "creationTimestamp": "2022-01-01T00:00:00Z", "labels": document{"kind": kind},
	}}
}

// write creates and deletes config maps between the others until ctx ends.
func (s *stub) write(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		name := fmt.Sprintf("s-%02d-%d", n*7%40, n%3)
		s.put(configMaps, configMap(name, "goes"))
		if n > 20 {
			old := n - 20
			s.remove(configMaps, "default", fmt.Sprintf("s-%02d-%d", old*7%40, old%3))
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// pages returns the names of all objects of a list, page by page.
func (d *deployment) pages(t *testing.T, query string) []string {
	t.Helper()
	var names []string
	for token := ""; ; {
		r, err := d.send(t.Context(), &Case{}, query+"&continue="+url.QueryEscape(token))
		require.NoError(t, err)
		require.Equal(t, 200, r.status, r)
		var list struct {
			Metadata metav1.ListMeta
			Items    []metav1.PartialObjectMetadata
		}
		require.NoError(t, json.Unmarshal(r.body, &list))
		for i := range list.Items {
			names = append(names, list.Items[i].Name)
		}
		if token = list.Metadata.Continue; token == "" {
			return names
		}
		require.Less(t, len(names), 10000, "the pages do not end")
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // as a client that works on each page
	}
}

// TestLiveWatch follows all clusters while one changes: each change is an event, once.
func TestLiveWatch(t *testing.T) {
	d := shared.deployment(t, memory)
	ctx, cancel := context.WithTimeout(t.Context(), syncLimit)
	defer cancel()
	list, err := d.get(ctx, d.URL()+expand("M/api/v1/configmaps"))
	require.NoError(t, err)
	var got struct{ Metadata metav1.ListMeta }
	require.NoError(t, json.Unmarshal(list.body, &got))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.URL()+expand("M/api/v1/configmaps?watch=true&resourceVersion="+got.Metadata.ResourceVersion), nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+users()["admin"])
	resp, err := d.client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)

	// Changes of one object that follow each other at once may be told as one.
	events := json.NewDecoder(resp.Body)
	next := func(kind, name, data string) {
		t.Helper()
		var e event
		require.NoError(t, events.Decode(&e))
		metadata, _ := e.Object["metadata"].(document)
		require.Equal(t, []any{kind, name}, []any{e.Type, metadata["name"]})
		annotations, _ := metadata["annotations"].(document)
		require.Equal(t, "cluster-1", annotations[clusterAnnotation])
		if data != "" {
			require.Equal(t, document{"a": data}, e.Object["data"])
		}
	}
	member := d.members[0]
	for n := range 5 {
		name := fmt.Sprint("live-", n)
		for _, data := range []string{"one", "two"} {
			o := configMap(name, "live")
			o["data"] = document{"a": data}
			member.put(configMaps, o)
			next(map[string]string{"one": "ADDED", "two": "MODIFIED"}[data], name, data)
		}
		member.remove(configMaps, "default", name)
		next("DELETED", name, "")
	}
}

// TestWatchTimeout is case 199 of the contract: a watch ends when its client wants.
func TestWatchTimeout(t *testing.T) {
	t.Parallel()
	d := shared.deployment(t, memory)
	begin := time.Now()
	r, err := d.send(t.Context(), &Case{}, "M/api/v1/configmaps?watch=true&timeoutSeconds=2")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, r.status)
	require.NotContains(t, string(r.body), "ERROR")
	require.GreaterOrEqual(t, time.Since(begin), 2*time.Second)
	require.Less(t, time.Since(begin), 30*time.Second)
}

// beyondRequests is longer than other requests may take, with the time that the end of their
// answers may take.
const beyondRequests = 68 * time.Second

// TestLongStreams follows changes for a while in which nothing happens, and in which any other
// request would end: those that the storage layer tells, and those that a member tells itself.
func TestLongStreams(t *testing.T) {
	t.Parallel()
	for storage, c := range map[string]*Case{
		memory: {URL: list{"M/api/v1/configmaps?watch=true"}},
		sqlite: {URL: list{"C(cluster-1)/api/v1/configmaps?watch=true"}, Header: map[string]string{"X-Clusterpedia-Forward": "true"}},
	} {
		t.Run(storage, func(t *testing.T) {
			t.Parallel()
			d := shared.deployment(t, storage)
			ctx, cancel := context.WithTimeout(t.Context(), beyondRequests+syncLimit)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.URL()+expand(c.URL[0]), nil)
			require.NoError(t, err)
			req.Header.Set("Authorization", "Bearer "+users()["admin"])
			for name, value := range c.Header {
				req.Header.Set(name, value)
			}
			resp, err := (&http.Client{Transport: d.client.Transport}).Do(req)
			require.NoError(t, err)
			defer resp.Body.Close()
			require.Equal(t, http.StatusOK, resp.StatusCode)
			require.Equal(t, storage == sqlite, resp.Header.Get("Echo-Member") == "cluster-1", "of the member itself")
			<-time.After(beyondRequests)
			d.members[0].put(configMaps, configMap("late", "goes"))
			t.Cleanup(func() { d.members[0].remove(configMaps, "default", "late") })
			for events := json.NewDecoder(resp.Body); ; {
				var e event
				require.NoError(t, events.Decode(&e), "it was cut off")
				if metadata, _ := e.Object["metadata"].(document); metadata["name"] == "late" {
					require.Equal(t, "ADDED", e.Type)
					return
				}
			}
		})
	}
}

// TestDeletionTime is case 217 of the contract: an object that is not deleted after all has
// no deletion time in its row.
//
//nolint:tparallel // other tests would find the object, too
func TestDeletionTime(t *testing.T) {
	for _, d := range all(t) {
		if d.database == nil {
			continue
		}
		t.Run(d.storage, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			member := newStub("saved", 1, served()...)
			t.Cleanup(member.close)
			put := func(deletion any) {
				o := configMap("saved", "stays")
				o["metadata"].(document)["deletionTimestamp"] = deletion
				member.put(configMaps, o)
			}
			put("2022-03-01T00:00:00Z")
			require.NoError(t, d.join(ctx, member))
			t.Cleanup(func() { require.NoError(t, d.RemoveCluster(context.WithoutCancel(ctx), member.name)) })
			for _, deletion := range []any{nil, "2022-03-02T00:00:00Z", nil} {
				put(deletion)
				require.NoError(t, d.until(ctx, func() error {
					rows, err := d.database.read("SELECT CASE WHEN deleted_at IS NULL THEN 'none' ELSE 'some' END FROM resources WHERE cluster = 'saved' AND name = 'saved'")
					if want := map[bool]string{true: "[none]", false: "[some]"}[deletion == nil]; err == nil && (len(rows) != 1 || rows[0] != want) {
						err = fmt.Errorf("the deletion times are %s, not %s", rows, want)
					}
					return err
				}))
			}
		})
	}
}
