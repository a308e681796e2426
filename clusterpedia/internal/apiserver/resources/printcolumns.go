package resources

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/klog/v2"

	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// definitionAge bounds how long columns are kept before their definition is read again.
const definitionAge = 30 * time.Second

// definitions are where the custom resource definitions of members are stored.
var definitions = storage.Resource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// printColumns knows the columns of custom resources, as their definitions say, of
// members whose definitions are stored.
type printColumns struct {
	storage storage.Storage

	mu    sync.Mutex
	known map[columnsKey]knownColumns
	// reading has one caller read for all who ask for the same.
	reading singleflight.Group
}

// columnsLimit bounds how long it takes to read columns.
const columnsLimit = 30 * time.Second

// maxKnownColumns bounds what is kept: it is forgotten then, and read again.
const maxKnownColumns = 10_000

// columnsKey is a custom resource of a cluster; of all for the empty name.
type columnsKey struct {
	cluster string
	schema.GroupVersionResource
}

func newPrintColumns(st storage.Storage) *printColumns {
	return &printColumns{storage: st, known: map[columnsKey]knownColumns{}}
}

type knownColumns struct {
	columns []apiextensionsv1.CustomResourceColumnDefinition
	read    time.Time
}

// of returns the columns of a custom resource: nil if no definition is stored, or none
// that has columns. Of all clusters it takes the first one's that has some, so that a list
// of many is one table.
func (p *printColumns) of(ctx context.Context, key columnsKey) []apiextensionsv1.CustomResourceColumnDefinition {
	known, fresh := p.remembered(key)
	if fresh {
		return known.columns
	}
	answer, err, _ := p.reading.Do(fmt.Sprintf("%q %q", key.cluster, key.GroupVersionResource), func() (any, error) {
		if known, fresh := p.remembered(key); fresh { // by now
			return known.columns, nil
		}
		// It is not for one caller alone.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), columnsLimit)
		defer cancel()
		columns, err := p.read(ctx, key)
		if err != nil {
			return nil, err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.known) >= maxKnownColumns {
			clear(p.known)
		}
		p.known[key] = knownColumns{columns, time.Now()}
		return columns, nil
	})
	columns, ok := answer.([]apiextensionsv1.CustomResourceColumnDefinition)
	if err != nil || !ok {
		klog.ErrorS(err, "The columns of a custom resource cannot be read", "resource", key.GroupVersionResource, "cluster", key.cluster)
		return known.columns
	}
	return columns
}

// remembered returns what was read, and whether that need not be read again yet.
func (p *printColumns) remembered(key columnsKey) (known knownColumns, fresh bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known, ok := p.known[key]
	return known, ok && time.Since(known.read) < definitionAge
}

var errFound = errors.New("found")

func (p *printColumns) read(ctx context.Context, key columnsKey) ([]apiextensionsv1.CustomResourceColumnDefinition, error) {
	q := &query.Query{
		Types: []query.Type{{Group: definitions.Group, Version: definitions.Version, Resource: definitions.Resource}},
		Names: []string{key.GroupResource().String()},
	}
	if key.cluster != "" {
		q.Clusters = []string{key.cluster}
	}
	var columns []apiextensionsv1.CustomResourceColumnDefinition
	_, err := p.storage.List(ctx, q, func(o *storage.Object) error {
		var definition apiextensionsv1.CustomResourceDefinition
		if err := json.Unmarshal(o.JSON, &definition); err != nil {
			klog.ErrorS(err, "A stored custom resource definition cannot be read", "object", o.Key.String())
			return nil
		}
		i := slices.IndexFunc(definition.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool { return v.Name == key.Version })
		if i < 0 || len(definition.Spec.Versions[i].AdditionalPrinterColumns) == 0 {
			return nil
		}
		columns = definition.Spec.Versions[i].AdditionalPrinterColumns
		return errFound
	})
	if err != nil && !errors.Is(err, errFound) {
		return nil, err
	}
	return columns, nil
}

// forTable has a reader that answers with a Table use the columns of the cluster.
func (h *Handler) forTable(ctx context.Context, r *reader, cluster string) *scope {
	if r.transform == "Table" {
		r.scope = h.withColumns(ctx, r.scope, cluster)
	}
	return r.scope
}

func first(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// withColumns returns the scope with the columns that a Table of a cluster has, or of all
// clusters for the empty name.
func (h *Handler) withColumns(ctx context.Context, s *scope, cluster string) *scope {
	if s.resource.Builtin {
		return s
	}
	defined := h.definitions.of(ctx, columnsKey{cluster, s.Resource})
	if len(defined) == 0 {
		return s
	}
	columns, err := h.printer.Custom(defined)
	if err != nil {
		klog.ErrorS(err, "The columns of a custom resource cannot be used", "resource", s.Resource, "cluster", cluster)
		return s
	}
	with := *s
	with.columns = columns
	with.TableConvertor = tableConvertor{&with}
	return &with
}
