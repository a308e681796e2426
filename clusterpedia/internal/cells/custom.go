package cells

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/rest"
)

// customKinds are the columns of custom resources that were asked for. Many clusters have
// the same.
type customKinds struct {
	mu    sync.Mutex
	known map[string]*Kind
}

// maxCustomKinds bounds what is kept of columns: they are forgotten then.
const maxCustomKinds = 10_000

// maxColumnsJSON bounds the columns that are kept. Those of well-known definitions take up to
// 3 KiB.
const maxColumnsJSON = 16 << 10

// maxPrinted bounds what is printed of one object to be kept: the size of its document times
// the number of columns, each of which may show all of it.
const maxPrinted = 8 << 20

// bounded reports whether to print an object takes no more than its size allows. Who may
// define a resource in one cluster must not be able to keep the synchro from all others:
// ".." repeated finds the same values again and again, and so does a union of the same names.
// Braces end the path, and may begin loops.
func bounded(defined []apiextensionsv1.CustomResourceColumnDefinition) bool {
	for i := range defined {
		if path := defined[i].JSONPath; strings.Contains(path, "..") || strings.ContainsAny(path, "{},") {
			return false
		}
	}
	return true
}

// Custom returns what prints custom resources with the columns of their definition.
func (p *Printer) Custom(defined []apiextensionsv1.CustomResourceColumnDefinition) (*Kind, error) {
	key, err := json.Marshal(defined)
	if err != nil {
		return nil, fmt.Errorf("columns: %w", err)
	}
	p.custom.mu.Lock()
	defer p.custom.mu.Unlock()
	if k := p.custom.known[string(key)]; k != nil {
		return k, nil
	}
	k, err := newCustom(defined)
	if err != nil {
		return nil, err
	}
	if len(key) <= maxColumnsJSON && bounded(defined) {
		k.Columns = nameOf(schema.GroupKind{}, key)
	}
	if p.custom.known == nil || len(p.custom.known) >= maxCustomKinds {
		p.custom.known = map[string]*Kind{}
	}
	p.custom.known[string(key)] = k
	return k, nil
}

// CustomJSON is Custom of additionalPrinterColumns in a definition; nil if these are none, or
// none whose cells are kept.
func (p *Printer) CustomJSON(columns []byte) (*Kind, error) {
	var defined []apiextensionsv1.CustomResourceColumnDefinition
	err := json.Unmarshal(columns, &defined)
	if err != nil || len(defined) == 0 || len(columns) > maxColumnsJSON || !bounded(defined) {
		return nil, err
	}
	return p.Custom(defined)
}

// dateType is the type of the columns that show how long ago something was.
const dateType = "date"

//nolint:contextcheck,nolintlint // convertors need none; the latter does not see that it is used
func newCustom(defined []apiextensionsv1.CustomResourceColumnDefinition) (*Kind, error) {
	// Behind the columns are those of dates once more, as texts.
	all := defined[:len(defined):len(defined)]
	texts := map[int]int{}
	for i, column := range defined {
		if column.Type == dateType {
			texts[1+i] = 1 + len(all)
			column.Type = "string"
			all = append(all, column)
		}
	}
	convertor, err := tableconvertor.New(all)
	if err != nil {
		return nil, fmt.Errorf("columns: %w", err)
	}
	head, err := convertor.ConvertToTable(context.Background(), &unstructured.UnstructuredList{}, nil)
	if err != nil {
		return nil, fmt.Errorf("columns: %w", err)
	}
	k := &Kind{Definitions: head.ColumnDefinitions[:1+len(defined)], custom: true, ages: make([]bool, 1+len(defined))}
	for i := range texts {
		k.ages[i] = true
	}
	k.decode = func(doc []byte) (runtime.Object, error) {
		obj := &unstructured.Unstructured{}
		return obj, obj.UnmarshalJSON(doc)
	}
	// None may be used by two at once, and none again that loops have changed.
	var idle sync.Pool
	again := bounded(defined)
	k.print = func(obj runtime.Object) (*metav1.Table, error) {
		convertor, ok := idle.Get().(rest.TableConvertor)
		if !ok {
			var err error
			if convertor, err = tableconvertor.New(all); err != nil {
				return nil, err
			}
		}
		table, err := convertor.ConvertToTable(context.Background(), obj, &metav1.TableOptions{NoHeaders: true})
		if again {
			idle.Put(convertor)
		}
		return table, err
	}
	k.age = func(_ runtime.Object, column int, printed []any) any {
		text, ok := printed[texts[column]].(string)
		var t metav1.Time
		if !ok || printed[column] == nil || t.UnmarshalQueryParameter(text) != nil {
			return printed[column]
		}
		return timeOr(t.Time, printed[column])
	}
	return k, nil
}
