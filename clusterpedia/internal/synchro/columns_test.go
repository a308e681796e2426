package synchro

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"clusterpedia.io/clusterpedia/internal/synchro/fakemember"
	"clusterpedia.io/clusterpedia/internal/synchro/negotiation"
	"clusterpedia.io/storage-api/storage"
)

// printAs prints cells that tell what they are made by.
func printAs(columns string) negotiation.Print {
	return func(doc []byte) (*storage.Cells, error) {
		if strings.Contains(string(doc), "unprintable") {
			return nil, errors.New("cannot be printed")
		}
		return &storage.Cells{Columns: columns, Values: []byte("[]")}, nil
	}
}

func withCells(o *Options) {
	o.Kinds.Cells = func(kind schema.GroupKind) negotiation.Print {
		if kind.Kind == "Deployment" {
			return nil
		}
		return printAs(kind.String())
	}
	o.Kinds.CustomCells = func(columns []byte) (negotiation.Print, error) {
		if string(columns) == "[]" {
			return nil, errors.New("there are none")
		}
		return printAs(string(columns)), nil
	}
}

var (
	crds    = fakemember.Resource{GroupVersion: schema.GroupVersion{Group: "apiextensions.k8s.io", Version: "v1"}, Name: "customresourcedefinitions", Kind: "CustomResourceDefinition"}
	widgets = fakemember.Resource{GroupVersion: schema.GroupVersion{Group: "example.io", Version: "v1"}, Name: "widgets", Kind: "Widget", Namespaced: true}
)

const widgetsSpec = `{"group":"example.io","names":{"plural":"widgets","kind":"Widget"},"versions":[{"name":"v2","additionalPrinterColumns":["other"]},{"name":"v1","schema":{"x":"]}"},"additionalPrinterColumns":%s}]}`

// cellsOf returns by what the cells of a stored object were made.
func (w *world) cellsOf(group, resource, name string) string {
	o, err := w.storage.Get(w.t.Context(), storage.Key{Cluster: "one", Resource: storage.Resource{Group: group, Version: "v1", Resource: resource}, Namespace: "default", Name: name})
	switch {
	case err != nil:
		return err.Error()
	case o.Cells == nil:
		return ""
	}
	return o.Cells.Columns
}

// What tables show is written with the objects: of custom resources by the columns of their
// definition, which is waited for.
func TestCells(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods, deployments, crds, widgets)
	withCells(&w.options)
	w.member.Put(pods, "default", "p", "u1", "")
	w.member.Put(pods, "default", "q", "u2", `"labels":{"a":"unprintable"}`)
	w.member.Put(deployments, "default", "d", "u3", "")
	w.member.Put(widgets, "default", "w", "u4", "")
	w.member.PutSpec(crds, "", "widgets.example.io", "u5", "", fmt.Sprintf(widgetsSpec, `["a"]`))
	let := make(chan struct{})
	w.member.FailWith(func(r *http.Request) int {
		if strings.Contains(r.URL.Path, "/customresourcedefinitions") {
			select {
			case <-let:
			case <-r.Context().Done():
			}
		}
		return 0
	})
	w.create(entry("", "pods"), entry("apps", "deployments"), entry("example.io", "widgets"), entry("apiextensions.k8s.io", "customresourcedefinitions"))
	w.run()
	w.stored("deployments default/d 103", "pods default/p 101", "pods default/q 102")
	require.Equal(t, "Pod", w.cellsOf("", "pods", "p"))
	require.Empty(t, w.cellsOf("", "pods", "q"))
	require.Empty(t, w.cellsOf("apps", "deployments", "d"))
	require.Empty(t, w.member.Requests("/widgets"))

	close(let)
	w.stored("customresourcedefinitions widgets.example.io 105", "deployments default/d 103", "pods default/p 101", "pods default/q 102", "widgets default/w 104")
	require.Equal(t, `["a"]`, w.cellsOf("example.io", "widgets", "w"))

	// Later objects are written with the columns of that time.
	w.member.PutSpec(crds, "", "widgets.example.io", "u5", "", fmt.Sprintf(widgetsSpec, `["b"]`))
	w.eventually(func() bool {
		w.member.Put(widgets, "default", "w", "u4", "")
		return w.cellsOf("example.io", "widgets", "w") == `["b"]`
	}, "the columns have changed")
	w.member.Delete(crds, "", "widgets.example.io")
	w.eventually(func() bool {
		w.member.Put(widgets, "default", "w", "u4", "")
		return w.cellsOf("example.io", "widgets", "w") == ""
	}, "the columns are gone")
}

// Nobody waits for definitions that cannot be read.
func TestCellsWithoutDefinitions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, crds, widgets)
	withCells(&w.options)
	w.member.Put(widgets, "default", "w", "u", "")
	w.member.FailWith(func(r *http.Request) int {
		if strings.HasSuffix(r.URL.Path, "/customresourcedefinitions") {
			return http.StatusForbidden
		}
		return 0
	})
	w.create(entry("example.io", "widgets"), entry("apiextensions.k8s.io", "customresourcedefinitions"))
	w.run()
	w.stored("widgets default/w 101")
	require.Empty(t, w.cellsOf("example.io", "widgets", "w"))
}

// A failure that passes is waited for: what was written meanwhile would have no cells until it
// changes.
func TestCellsAfterFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t, crds, widgets)
	withCells(&w.options)
	w.member.Put(widgets, "default", "w", "u1", "")
	w.member.PutSpec(crds, "", "widgets.example.io", "u2", "", fmt.Sprintf(widgetsSpec, `["a"]`))
	var failures atomic.Int32
	w.member.FailWith(func(r *http.Request) int {
		if strings.HasSuffix(r.URL.Path, "/customresourcedefinitions") && failures.Add(1) <= 3 {
			return http.StatusServiceUnavailable
		}
		return 0
	})
	w.create(entry("example.io", "widgets"), entry("apiextensions.k8s.io", "customresourcedefinitions"))
	w.run()
	w.stored("customresourcedefinitions widgets.example.io 102", "widgets default/w 101")
	require.Equal(t, `["a"]`, w.cellsOf("example.io", "widgets", "w"))
}

// Definitions are read at once, though other lists take all the time in the world: what waits
// for them would give up, and be written without cells.
func TestCellsBesideLists(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods, crds)
	withCells(&w.options)
	w.options.Tuning.Lists = 1
	w.member.Put(pods, "default", "p", "u1", "")
	w.member.PutSpec(crds, "", "widgets.example.io", "u2", "", fmt.Sprintf(widgetsSpec, `["a"]`))
	let := make(chan struct{})
	w.member.FailWith(func(r *http.Request) int {
		if strings.HasSuffix(r.URL.Path, "/pods") {
			select {
			case <-let:
			case <-r.Context().Done():
			}
		}
		return 0
	})
	w.create(entry("", "pods"))
	w.run()
	w.eventually(func() bool { return len(w.member.Requests("/pods")) > 0 }, "pods are being listed")
	w.selectOnly(entry("", "pods"), entry("apiextensions.k8s.io", "customresourcedefinitions"))
	w.stored("customresourcedefinitions widgets.example.io 102")
	close(let)
	w.stored("customresourcedefinitions widgets.example.io 102", "pods default/p 101")
}

func TestLearnColumns(t *testing.T) {
	t.Parallel()
	var o Options
	withCells(&o)
	one := storage.Resource{Group: "example.io", Version: "v1", Resource: "widgets"}
	two := storage.Resource{Group: "example.io", Version: "v2", Resource: "widgets"}
	for doc, want := range map[string][2]bool{
		`{"spec":` + fmt.Sprintf(widgetsSpec, `["a"]`) + `}`:                                                                           {true, true},
		`{"spec":` + fmt.Sprintf(widgetsSpec, `[]`) + `}`:                                                                              {false, true},
		`{"spec":{"group":"example.io","names":{"plural":"widgets"},"versions":[{"additionalPrinterColumns":["a"]},{"name":"v1"},7]}}`: {},
		`{"spec":{"group":"other.io","names":{"plural":"widgets"},"versions":[{"name":"v1","additionalPrinterColumns":["a"]}]}}`:       {},
		`{"spec":{"group":7,"names":[],"versions":{}}}`:                                                                                {},
		`{"spec":null}`:                     {},
		`{"spec":{"versions":[{"name":"v1"`: {},
		`{}`:                                {},
		``:                                  {},
	} {
		c := newColumns(o.Kinds)
		c.learn([]byte(doc))
		known := [2]bool{c.print(one) != nil, c.print(two) != nil}
		require.Equal(t, want, known, doc)
	}

	c := newColumns(o.Kinds)
	c.learn([]byte(`{"spec":` + fmt.Sprintf(widgetsSpec, `["a"]`) + `}`))
	c.forget("gadgets.example.io")
	require.NotNil(t, c.print(one))
	c.forget("widgets.example.io")
	require.Nil(t, c.print(one))

	c.wait(t.Context()) // for nothing: none are expected
	c.expect()
	waiting, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	c.wait(waiting)
	require.Error(t, waiting.Err(), "it returned before the definitions were read")
	c.done()
	c.done()
	c.wait(t.Context())
}
