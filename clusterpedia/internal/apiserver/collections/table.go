package collections

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	metatable "k8s.io/apimachinery/pkg/api/meta/table"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/klog/v2"

	"clusterpedia.io/api/clusterpedia/v1beta1"
	"clusterpedia.io/clusterpedia/internal/apiserver/resources"
	"clusterpedia.io/storage-api/storage"
)

// ConvertToTable implements rest.TableConvertor.
func (*Storage) ConvertToTable(_ context.Context, obj runtime.Object, options runtime.Object) (*metav1.Table, error) {
	table := &metav1.Table{Rows: []metav1.TableRow{}}
	o, ok := options.(*metav1.TableOptions)
	headers := !ok || o == nil || !o.NoHeaders
	text := func(name, format string) metav1.TableColumnDefinition {
		return metav1.TableColumnDefinition{Name: name, Type: "string", Format: format}
	}
	switch c := obj.(type) {
	case *v1beta1.CollectionResource:
		if headers {
			table.ColumnDefinitions = []metav1.TableColumnDefinition{
				text("Cluster", ""), text("Group", ""), text("Version", ""), text("Kind", ""), text("Namespace", ""), text("Name", "name"), text("Age", ""),
			}
		}
		table.Continue, table.RemainingItemCount = c.Continue, c.RemainingItemCount
		for _, item := range c.Items {
			o, ok := item.Object.(*Item) // as Get gives those of a Table
			if !ok {
				o = newItem(&storage.Object{JSON: item.Raw})
			}
			table.Rows = append(table.Rows, o.row())
		}
	case *v1beta1.CollectionResourceList:
		if headers {
			table.ColumnDefinitions = []metav1.TableColumnDefinition{text("Name", "name"), text("Resources", "")}
		}
		for i := range c.Items {
			table.Rows = append(table.Rows, metav1.TableRow{
				Cells: []any{c.Items[i].Name, typesText(c.Items[i].ResourceTypes)}, Object: runtime.RawExtension{Object: &c.Items[i]},
			})
		}
	default:
		return nil, fmt.Errorf("a %T is no collection resource", obj)
	}
	return table, nil
}

// Item is an object of a collection in a row of a Table, of which the stock handler asks for
// its metadata or converts it.
type Item struct {
	metav1.PartialObjectMetadata
	document []byte
}

// AddToScheme registers what the rows of Tables hold, as what has no version of its own: it
// stays as it is, whatever version of a collection a client wants.
func AddToScheme(s *runtime.Scheme) {
	s.AddUnversionedTypes(schema.GroupVersion{Version: "v1"}, &Item{})
}

// DeepCopyObject implements runtime.Object. Nobody changes the document.
func (i *Item) DeepCopyObject() runtime.Object {
	return &Item{PartialObjectMetadata: *i.PartialObjectMetadata.DeepCopy(), document: i.document}
}

// MarshalJSON implements json.Marshaler.
func (i *Item) MarshalJSON() ([]byte, error) { return i.document, nil }

// newItem returns a stored object as the item of a row. One that cannot be read is shown by
// what is known of it alone, and does not hide all others.
func newItem(o *storage.Object) *Item {
	item := &Item{document: slices.Clone(o.JSON)}
	err := resources.CheckObject(o)
	if err == nil {
		err = json.Unmarshal(o.JSON, &item.PartialObjectMetadata)
	}
	if err == nil && item.Name != "" {
		return item
	}
	klog.InfoS("A stored object cannot be printed", "object", o.Key.String())
	item = &Item{PartialObjectMetadata: *resources.KeyOnly(o)}
	item.SetGroupVersionKind(schema.GroupVersionKind{Group: o.Group, Version: o.Version, Kind: o.Kind})
	item.document, _ = json.Marshal(&item.PartialObjectMetadata) // of texts
	return item
}

func (i *Item) row() metav1.TableRow {
	gvk := i.GroupVersionKind()
	return metav1.TableRow{
		Cells:  []any{i.Annotations[v1beta1.ShadowAnnotationClusterName], gvk.Group, gvk.Version, gvk.Kind, i.Namespace, i.Name, metatable.ConvertToHumanReadableDateType(i.CreationTimestamp)},
		Object: runtime.RawExtension{Object: i},
	}
}

// typesText lists types as users know it: group.resource, or * for any.
func typesText(types []v1beta1.CollectionResourceType) string {
	if len(types) == 0 {
		return "*"
	}
	texts := make([]string, len(types))
	for i, t := range types {
		resource := t.Resource
		if resource == "" {
			resource = "*"
		}
		texts[i] = t.Group + "." + resource
	}
	return strings.Join(texts, ",")
}
