package collections

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/klog/v2"

	"clusterpedia.io/api/clusterpedia/v1beta1"
	"clusterpedia.io/clusterpedia/internal/apiserver/resources"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// stream is a collection as an answer: objects that flow from the storage layer while they
// are written to the client as JSON, as those of lists do in package resources. Every other
// encoder gets the whole. It can be read once.
type stream struct {
	name string
	// asJSON identifies the encoder that would write just this JSON.
	asJSON  runtime.Identifier
	objects func() (*storage.Object, bool)
	stop    func()
	// first is the object that was fetched before the answer began.
	first *storage.Object
	types []v1beta1.CollectionResourceType
	seen  map[v1beta1.CollectionResourceType]bool
	count int64
	// page and err are set when the objects have ended.
	page     query.Page
	err      error
	metadata func(query.Page, int64) metav1.ListMeta
}

var _ runtime.CacheableObject = &stream{}

var errClosed = errors.New("the collection was closed")

// open starts to search. The first object is fetched, so that a search that fails does
// so before the answer begins. The stream must be stopped.
func open(ctx context.Context, st storage.Storage, q *query.Query, s *stream) error {
	s.seen = map[v1beta1.CollectionResourceType]bool{}
	s.objects, s.stop = iter.Pull(func(yield func(*storage.Object) bool) {
		s.page, s.err = st.List(ctx, q, func(o *storage.Object) error {
			o, err := resources.WithEvents(o)
			if err == nil && !yield(o) {
				err = errClosed
			}
			return err
		})
	})
	if first, ok := s.objects(); ok {
		s.first = first
	} else if s.err != nil {
		s.stop()
		return s.err
	}
	return nil
}

// each calls fn for every object, valid until fn returns.
func (s *stream) each(fn func(*storage.Object) error) error {
	o := s.first
	s.first = nil
	for ok := o != nil; ok; o, ok = s.objects() {
		s.count++
		t := v1beta1.CollectionResourceType{Group: o.Group, Version: o.Version, Kind: o.Kind, Resource: o.Resource.Resource}
		if !s.seen[t] {
			s.seen[t] = true
			s.types = append(s.types, t)
		}
		if err := fn(o); err != nil {
			return err
		}
	}
	if s.err != nil {
		return resources.APIError(s.err, groupResource(), s.name)
	}
	return nil
}

// whole reads all objects.
func (s *stream) whole() (*v1beta1.CollectionResource, error) {
	found := &v1beta1.CollectionResource{}
	found.Name = s.name
	err := s.each(func(o *storage.Object) error {
		found.Items = append(found.Items, runtime.RawExtension{Raw: slices.Clone(o.JSON)})
		return nil
	})
	list := s.metadata(s.page, s.count)
	found.ResourceTypes, found.Continue, found.RemainingItemCount = s.types, list.Continue, list.RemainingItemCount
	return found, err
}

// GetObjectKind implements runtime.Object.
func (*stream) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object. A stream cannot be read twice, and nobody who
// copies it does.
func (s *stream) DeepCopyObject() runtime.Object { return s }

// GetObject implements runtime.CacheableObject.
func (s *stream) GetObject() runtime.Object {
	found, err := s.whole()
	if err != nil {
		return &metav1.Status{Status: metav1.StatusFailure, Message: err.Error()}
	}
	return found
}

// CacheEncode implements runtime.CacheableObject.
func (s *stream) CacheEncode(asker runtime.Identifier, encode func(runtime.Object, io.Writer) error, w io.Writer) error {
	if asker == s.asJSON && asker != "" {
		if err := s.write(w); err != nil {
			// A part may be on its way under status 200. To end the answer cleanly would
			// make the client take it for all.
			klog.ErrorS(err, "A collection was cut off", "collection", s.name)
			panic(http.ErrAbortHandler) //nolint:forbidigo // the one way to end an answer that has begun
		}
		return nil
	}
	found, err := s.whole()
	if err != nil {
		return err
	}
	return encode(found, w)
}

// write writes JSON. What only the end of the objects knows comes last.
func (s *stream) write(w io.Writer) error {
	// The response writer compresses what begins with a write this small.
	if _, err := io.WriteString(w, "{"); err != nil {
		return err
	}
	metadata, err := json.Marshal(metav1.ObjectMeta{Name: s.name})
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 32<<10)
	fmt.Fprintf(out, `"kind":"CollectionResource","apiVersion":%q,"metadata":%s`, v1beta1.GroupVersion.String(), metadata)
	before := `,"items":[`
	err = s.each(func(o *storage.Object) error {
		if _, err := out.WriteString(before); err != nil {
			return err
		}
		before = ","
		_, err := out.Write(o.JSON)
		return err
	})
	if err != nil {
		return err
	}
	if s.count > 0 {
		fmt.Fprint(out, "]")
	}
	list := s.metadata(s.page, s.count)
	rest, err := json.Marshal(struct {
		ResourceTypes      []v1beta1.CollectionResourceType `json:"resourceTypes"`
		Continue           string                           `json:"continue,omitempty"`
		RemainingItemCount *int64                           `json:"remainingItemCount,omitempty"`
	}{s.types, list.Continue, list.RemainingItemCount})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, ",%s\n", rest[1:])
	return out.Flush()
}

// jsonEncoder returns what identifies the encoder that writes plain JSON.
func jsonEncoder(serializer runtime.NegotiatedSerializer) runtime.Identifier {
	info, ok := runtime.SerializerInfoForMediaType(serializer.SupportedMediaTypes(), runtime.ContentTypeJSON)
	if !ok {
		return ""
	}
	return serializer.EncoderForVersion(info.Serializer, v1beta1.GroupVersion).Identifier()
}

// audited reports whether the answer goes to the audit log too, and so has to be encoded
// twice.
func audited(ctx context.Context) bool {
	a := audit.AuditContextFrom(ctx)
	return a != nil && a.Enabled() && a.GetEventLevel() == auditinternal.LevelRequestResponse
}
