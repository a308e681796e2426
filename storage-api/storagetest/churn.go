package storagetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// churnOrders are the orders in which a changing storage is listed. None sorts by
// what a rewrite of an object changes.
func churnOrders() map[string][]query.Order {
	return map[string][]query.Order{
		"default":          nil,
		"name, descending": {{By: query.ByName, Desc: true}},
		"creation time":    {{By: query.ByCreatedAt}},
		"namespace and creation time, descending": {{By: query.ByNamespace}, {By: query.ByCreatedAt, Desc: true}},
		"uid":              {{By: query.ByUID}},
		"resource version": {{By: query.ByResourceVersion, Desc: true}},
		"deletion time":    {{By: query.ByDeletedAt}},
	}
}

// testChurn lists, in pages, objects that stay as they are while others come and
// go around them: each that stays is given exactly once, and all in their order.
func testChurn(t *testing.T, s suite) {
	for name, order := range churnOrders() {
		for _, limit := range []int64{7, 0} {
			t.Run(fmt.Sprintf("%s,limit=%d", name, limit), func(t *testing.T) {
				t.Parallel()
				c := newChurn(t, s.start(t))
				c.list(query.Query{Order: order, Limit: limit, Namespaces: []string{"ns-0", "ns-1"}})
			})
		}
	}
}

// churn is a storage that changes while it is listed.
type churn struct {
	*testing.T
	storage.Storage
	stable map[object.Key]bool
	moving []*object.Object
	steps  int
	last   *object.Object
}

func newChurn(t *testing.T, st storage.Storage) *churn {
	c := &churn{T: t, Storage: st, stable: map[object.Key]bool{}}
	for i := range 120 {
		o := thing{
			cluster: fmt.Sprint("c", 1+i%3), namespace: fmt.Sprint("ns-", i%2), name: fmt.Sprintf("pod-%03d", (i*7)%120),
			version: fmt.Sprint(1000 + (i*11)%120), created: epoch.Add(time.Duration(i%10) * time.Minute),
		}.object()
		put(t, st, o)
		if i%2 == 0 {
			c.stable[o.Key] = true
			continue
		}
		c.moving = append(c.moving, o)
	}
	return c
}

// list follows the pages of q to their end. It changes the storage between the
// pages and after each object, while another goroutine does so all the time.
func (c *churn) list(q query.Query) {
	ctx := patience(c)
	disturbing, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { c.disturb(disturbing) })
	defer running.Wait()
	defer stop()

	given := map[object.Key]int{}
	for pages := 0; ; pages++ {
		page, err := c.List(ctx, &q, func(o *object.Object) error {
			given[o.Key]++
			if c.last != nil && query.Compare(&q, c.last, o) >= 0 {
				c.Errorf("%s comes behind %s", o.Key, c.last.Key)
			}
			c.last = snapshot(o)
			c.step(ctx)
			return nil
		})
		if err != nil {
			c.Fatalf("list page %d: %v", pages, err)
		}
		// The next page starts behind an object that no longer exists.
		if c.last != nil && !c.stable[c.last.Key] {
			c.write(ctx, storage.Change{Delete: &c.last.Key})
		}
		q.Continue = page.Continue
		if q.Continue == "" {
			break
		}
		if pages > 1000 {
			c.Fatal("the pages have no end")
		}
	}
	for key := range c.stable {
		if given[key] != 1 {
			c.Errorf("%s was given %d times", key, given[key])
		}
	}
}

// step removes one of the moving objects, and puts another back.
func (c *churn) step(ctx context.Context) {
	gone, back := c.moving[c.steps%len(c.moving)], c.moving[(c.steps+17)%len(c.moving)]
	c.steps++
	c.write(ctx, storage.Change{Delete: &gone.Key})
	c.write(ctx, storage.Change{Put: back})
}

func (c *churn) write(ctx context.Context, change storage.Change) {
	key := change.Delete
	if change.Put != nil {
		key = &change.Put.Key
	}
	if err := applyRetrying(ctx, c.Storage, storage.Writer{Cluster: key.Cluster}, change); err != nil {
		c.Errorf("write %s: %v", key, err)
	}
}

// disturb inserts and removes objects before and behind all others until ctx
// ends.
func (c *churn) disturb(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		x := thing{namespace: "ns-0", name: fmt.Sprintf("%s-%d", []string{"a", "pod-050", "z"}[i%3], i%20), created: epoch.Add(time.Duration(i%10) * time.Minute)}
		change := storage.Change{Put: x.object()}
		if i%40 >= 20 {
			change = storage.Change{Delete: &x.object().Key}
		}
		err := applyRetrying(ctx, c.Storage, storage.Writer{Cluster: "c1"}, change)
		if err != nil && !errors.Is(err, context.Canceled) {
			c.Errorf("write %s: %v", x.name, err)
			return
		}
	}
}

// applyRetrying applies changes again as long as the storage layer says that this
// may help, as after a deadlock of two writers.
func applyRetrying(ctx context.Context, st storage.Storage, w storage.Writer, changes ...storage.Change) error {
	for {
		err := st.Apply(ctx, w, changes)
		if !storage.IsRetryable(err) || ctx.Err() != nil {
			return err
		}
	}
}
