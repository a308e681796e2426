package memory_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"clusterpedia.io/memorystorage/memory"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
	"clusterpedia.io/storage-api/storagetest"
)

func BenchmarkStore(b *testing.B) {
	storagetest.Benchmark(b, open)
}

// BenchmarkWatch measures a change of one of 1000 pods of 6 KiB, from the write to
// the last of the watches that are told of it. Allocations are those of all.
func BenchmarkWatch(b *testing.B) {
	one := query.Query{Namespaces: []string{"namespace-7"}}
	for _, batch := range []int{1, 100} {
		for _, watches := range []int{0, 1, 100, 1000} {
			b.Run(fmt.Sprintf("batch=%d/watches=%d", batch, watches), func(b *testing.B) { benchWatch(b, query.Query{}, watches, batch) })
		}
		b.Run(fmt.Sprintf("batch=%d/watches=100,of one pod in 100", batch), func(b *testing.B) { benchWatch(b, one, 100, batch) })
	}
}

func benchWatch(b *testing.B, q query.Query, watches, batch int) {
	s := memory.New()
	w := storage.Writer{Cluster: "c"}
	document := []byte(`{"spec":"` + strings.Repeat("x", 6<<10) + `"}`)
	pods := make([]storage.Change, 1000)
	for i := range pods {
		pods[i].Put = &storage.Object{
			Key: storage.Key{
				Cluster: "c", Resource: storage.Resource{Version: "v1", Resource: "pods"},
				Namespace: fmt.Sprint("namespace-", i%100), Name: fmt.Sprint("pod-", i),
			},
			Kind: "Pod", UID: fmt.Sprint(i), JSON: document, Labels: map[string]string{"app": "web"},
		}
	}
	if err := s.Apply(b.Context(), w, pods); err != nil {
		b.Fatal(err)
	}
	page, err := s.List(b.Context(), &query.Query{Limit: 1}, func(*storage.Object) error { return nil })
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	done := make([]atomic.Int64, watches)
	for i := range watches {
		running.Go(func() {
			err := s.Watch(ctx, &q, page.Version, func(e storage.WatchEvent) error {
				if e.Type != storage.Bookmark {
					done[i].Add(1)
				}
				return nil
			})
			if !errors.Is(err, context.Canceled) {
				b.Errorf("watch: %v", err)
			}
		})
	}

	changes, told := 0, int64(0)
	b.ReportAllocs()
	for b.Loop() {
		start := changes % len(pods)
		part := pods[start : start+batch]
		for i := range part {
			changes++
			part[i].Put.ResourceVersion = fmt.Sprint(changes)
			if query.Match(&q, part[i].Put, nil) {
				told++
			}
		}
		if err := s.Apply(b.Context(), w, part); err != nil {
			b.Fatal(err)
		}
		if changes%1000 == 0 {
			await(done, told)
		}
	}
	await(done, told)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(changes), "ns/change")
	b.ReportMetric(float64(told)*float64(watches)/float64(changes), "events/change")
}

// await waits until all watches have given that many events.
func await(done []atomic.Int64, told int64) {
	for i := range done {
		for done[i].Load() < told {
			runtime.Gosched()
		}
	}
}
