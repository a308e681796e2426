package resources

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"clusterpedia.io/clusterpedia/internal/rawjson"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// The stock handlers of Kubernetes hand whatever a Lister or Getter returns to the
// encoder that the client's Accept header chose. An encoder that meets a
// runtime.CacheableObject asks it to encode itself and says who asks. That is how
// document and listing pass stored bytes through: if the asker is the encoder that
// would write just these bytes, they write them; any other encoder gets the
// decoded object.

// document is one stored object as an answer.
type document struct {
	scope *scope
	key   storage.Key
	json  []byte
}

var _ runtime.CacheableObject = &document{}

// GetObjectKind implements runtime.Object.
func (d *document) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object. A document does not change.
func (d *document) DeepCopyObject() runtime.Object { return d }

// GetObject implements runtime.CacheableObject.
func (d *document) GetObject() runtime.Object {
	obj, err := d.scope.read(d.key, d.json)
	if err != nil {
		return &metav1.Status{Status: metav1.StatusFailure, Message: err.Error()}
	}
	return obj
}

// CacheEncode implements runtime.CacheableObject.
func (d *document) CacheEncode(asker runtime.Identifier, encode func(runtime.Object, io.Writer) error, w io.Writer) error {
	if asker == d.scope.asStored && asker != "" {
		if _, err := w.Write(d.json); err != nil {
			return err
		}
		_, err := io.WriteString(w, "\n")
		return err
	}
	obj, err := d.scope.read(d.key, d.json)
	if err != nil {
		return err
	}
	return encode(obj, w)
}

// listing is a list as an answer.
type listing struct {
	*Found
	scope *scope
	// metadata makes the list's metadata of the page and the number of objects.
	metadata func(query.Page, int64) metav1.ListMeta
}

var _ runtime.CacheableObject = &listing{}

var errNoRequestInfo = errors.New("no RequestInfo found in the context")

// GetObjectKind implements runtime.Object.
func (l *listing) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object. A listing cannot be read twice, and
// nobody who copies it does.
func (l *listing) DeepCopyObject() runtime.Object { return l }

// GetObject implements runtime.CacheableObject.
func (l *listing) GetObject() runtime.Object {
	list, err := l.decoded()
	if err != nil {
		return &metav1.Status{Status: metav1.StatusFailure, Message: err.Error()}
	}
	return list
}

// CacheEncode implements runtime.CacheableObject.
func (l *listing) CacheEncode(_ runtime.Identifier, encode func(runtime.Object, io.Writer) error, w io.Writer) error {
	list, err := l.decoded()
	if err != nil {
		return err
	}
	return encode(list, w)
}

// writeItem writes a stored document as it stands in a list: items of compiled-in
// kinds have no kind and apiVersion there.
func (s *scope) writeItem(w *bufio.Writer, o *storage.Object) error {
	doc := o.JSON
	if !isObject(doc) {
		return s.unreadable(o.Key, errNoObject)
	}
	for _, start := range s.itemStarts {
		if rest, ok := bytes.CutPrefix(doc, start); ok {
			if err := w.WriteByte('{'); err != nil {
				return err
			}
			_, err := w.Write(rest)
			return err
		}
	}
	if len(s.itemStarts) > 0 {
		if err := writeUnversioned(w, doc); err != nil {
			return s.unreadable(o.Key, flaw(doc, err))
		}
		return nil
	}
	_, err := w.Write(doc)
	return err
}

// writeUnversioned writes a document without its kind and apiVersion, wherever they are:
// databases that keep no bytes, as those of v0.9, sort and space its fields.
func writeUnversioned(w *bufio.Writer, doc []byte) error {
	written := byte('{')
	err := rawjson.Fields(doc, func(name, value []byte) bool {
		switch string(name) {
		case "kind", "apiVersion":
			return true
		}
		quoted, err := json.Marshal(string(name))
		if err != nil {
			return true // not of a text
		}
		w.WriteByte(written)
		w.Write(quoted)
		w.WriteByte(':')
		w.Write(value)
		written = ','
		return true
	})
	if err != nil {
		return err
	}
	if written == '{' {
		w.WriteByte(written)
	}
	return w.WriteByte('}')
}

// decoded returns the whole list, decoded.
func (l *listing) decoded() (runtime.Object, error) {
	list, err := l.scope.newList()
	if err != nil {
		return nil, err
	}
	items := []runtime.Object{}
	err = l.Each(func(o *storage.Object) error {
		obj, err := l.scope.read(o.Key, o.JSON)
		if err != nil {
			return err
		}
		items = append(items, obj)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := meta.SetList(list, items); err != nil {
		return nil, err
	}
	accessor, err := meta.ListAccessor(list)
	if err != nil {
		return nil, err
	}
	m := l.metadata(l.Page, l.Count)
	accessor.SetContinue(m.Continue)
	accessor.SetRemainingItemCount(m.RemainingItemCount)
	accessor.SetResourceVersion(m.ResourceVersion)
	return list, nil
}

// partial returns the metadata of all objects.
func (l *listing) partial() (*metav1.PartialObjectMetadataList, error) {
	list := &metav1.PartialObjectMetadataList{Items: []metav1.PartialObjectMetadata{}}
	err := l.Each(func(o *storage.Object) error {
		var item metav1.PartialObjectMetadata
		if !isObject(o.JSON) {
			return l.scope.unreadable(o.Key, errNoObject)
		}
		if err := json.Unmarshal(o.JSON, &item); err != nil {
			return l.scope.unreadable(o.Key, flaw(o.JSON, err))
		}
		list.Items = append(list.Items, item)
		return nil
	})
	list.ListMeta = l.metadata(l.Page, l.Count)
	return list, err
}
