package resources

import (
	"context"
	"encoding/json"

	"k8s.io/apiserver/pkg/warning"
	"k8s.io/klog/v2"

	"clusterpedia.io/api/clusterpedia/v1beta1"
	"clusterpedia.io/clusterpedia/internal/apiserver/visibility"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// WithEvents returns an object of a search that asks for Events, with those that are
// recorded of it in an annotation of its document. The object itself does not change. One
// whose document has no place for them is left as it is, for its format to bear.
func WithEvents(o *storage.Object) *storage.Object {
	if len(o.Events) == 0 {
		return o
	}
	with := *o
	var err error
	if with.JSON, err = annotated(o.JSON, v1beta1.ShadowAnnotationEvents, string(o.Events)); err != nil {
		klog.InfoS("A stored object takes no Events", "object", o.Key.String(), "err", flaw(o.JSON, err))
		return o
	}
	return &with
}

// WithoutForbiddenEvents leaves Events out of a search whose caller may see the objects and
// not the Events, and says so.
func WithoutForbiddenEvents(ctx context.Context, checker *visibility.Checker, q *query.Query) error {
	if !q.Events {
		return nil
	}
	allowed, err := checker.Events(ctx, q)
	if err == nil && !allowed {
		q.Events = false
		warning.AddWarning(ctx, "", "the objects lack their Events, which you may not list everywhere")
	}
	return err
}

// annotated returns a document with one more annotation. All else in it stays as it is.
func annotated(doc []byte, key, value string) ([]byte, error) {
	if !isObject(doc) {
		return nil, errNoObject
	}
	object, err := members(doc)
	if err != nil {
		return nil, err
	}
	metadata, err := members(object["metadata"])
	if err != nil {
		return nil, err
	}
	annotations, err := members(metadata["annotations"])
	if err != nil {
		return nil, err
	}
	if annotations[key], err = json.Marshal(value); err != nil {
		return nil, err
	}
	if metadata["annotations"], err = json.Marshal(annotations); err != nil {
		return nil, err
	}
	if object["metadata"], err = json.Marshal(metadata); err != nil {
		return nil, err
	}
	return json.Marshal(object)
}

// members returns the members of a JSON object; none of null, or of one that is absent.
func members(text json.RawMessage) (map[string]json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	if len(text) == 0 {
		return all, nil
	}
	err := json.Unmarshal(text, &all)
	if all == nil {
		all = map[string]json.RawMessage{}
	}
	return all, err
}
