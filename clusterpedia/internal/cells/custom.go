package cells

import (
	"context"
	"encoding/json"
	"fmt"
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
	k.Columns = nameOf(schema.GroupKind{}, key)
	if p.custom.known == nil || len(p.custom.known) >= maxCustomKinds {
		p.custom.known = map[string]*Kind{}
	}
	p.custom.known[string(key)] = k
	return k, nil
}

// CustomJSON is Custom of additionalPrinterColumns in a definition; nil if these are none.
func (p *Printer) CustomJSON(columns []byte) (*Kind, error) {
	var defined []apiextensionsv1.CustomResourceColumnDefinition
	if err := json.Unmarshal(columns, &defined); err != nil || len(defined) == 0 {
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
	// None may be used by two at once.
	var idle sync.Pool
	k.print = func(obj runtime.Object) (*metav1.Table, error) {
		convertor, ok := idle.Get().(rest.TableConvertor)
		if !ok {
			var err error
			if convertor, err = tableconvertor.New(all); err != nil {
				return nil, err
			}
		}
		defer idle.Put(convertor)
		return convertor.ConvertToTable(context.Background(), obj, &metav1.TableOptions{NoHeaders: true})
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
