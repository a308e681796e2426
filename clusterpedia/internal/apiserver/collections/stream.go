package collections

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
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
	asJSON runtime.Identifier
	*resources.Found
	types    []v1beta1.CollectionResourceType
	seen     map[v1beta1.CollectionResourceType]bool
	metadata func(query.Page, int64) metav1.ListMeta
}

var _ runtime.CacheableObject = &stream{}

// each is Each, and takes notice of the types.
func (s *stream) each(fn func(*storage.Object) error) error {
	return s.Each(func(o *storage.Object) error {
		t := v1beta1.CollectionResourceType{Group: o.Group, Version: o.Version, Kind: o.Kind, Resource: o.Resource.Resource}
		if !s.seen[t] {
			s.seen[t] = true
			s.types = append(s.types, t)
		}
		return fn(o)
	})
}

// whole reads all objects, for a Table as what its rows hold.
func (s *stream) whole(table bool) (*v1beta1.CollectionResource, error) {
	found := &v1beta1.CollectionResource{}
	found.Name = s.name
	err := s.each(func(o *storage.Object) error {
		if table {
			found.Items = append(found.Items, runtime.RawExtension{Object: newItem(o)})
			return nil
		}
		if !json.Valid(o.JSON) {
			return resources.Unreadable(o, errMalformed)
		}
		if err := resources.CheckObject(o); err != nil {
			return err
		}
		found.Items = append(found.Items, runtime.RawExtension{Raw: slices.Clone(o.JSON)})
		return nil
	})
	list := s.metadata(s.Page, s.Count)
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
	found, err := s.whole(false)
	if err != nil {
		return &metav1.Status{Status: metav1.StatusFailure, Message: err.Error()}
	}
	return found
}

// CacheEncode implements runtime.CacheableObject.
func (s *stream) CacheEncode(asker runtime.Identifier, encode func(runtime.Object, io.Writer) error, w io.Writer) error {
	if asker == s.asJSON && asker != "" {
		to := &begun{Writer: w}
		if err := s.write(to); err != nil {
			if !to.begun {
				return err
			}
			// A part is on its way under status 200. To end the answer cleanly would make the
			// client take it for all.
			klog.ErrorS(err, "A collection was cut off", "collection", s.name)
			panic(http.ErrAbortHandler) //nolint:forbidigo // the one way to end an answer that has begun
		}
		return nil
	}
	found, err := s.whole(false)
	if err != nil {
		return err
	}
	return encode(found, w)
}

// errMalformed stands for a decoder's error, which may repeat what it has read.
var errMalformed = errors.New("it is no JSON")

// begun is a writer that tells whether anything was written.
type begun struct {
	io.Writer
	begun bool
}

// Write implements io.Writer.
func (b *begun) Write(p []byte) (int, error) {
	b.begun = true
	return b.Writer.Write(p)
}

// ahead is how much of an answer is written before any of it is on its way, and a failure
// can be told no more. The response writer compresses what begins with a write this large.
const ahead = 128<<10 + 1

// write writes JSON. What only the end of the objects knows comes last.
func (s *stream) write(w io.Writer) error {
	metadata, err := json.Marshal(metav1.ObjectMeta{Name: s.name})
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, ahead)
	fmt.Fprintf(out, `{"kind":"CollectionResource","apiVersion":%q,"metadata":%s`, v1beta1.GroupVersion.String(), metadata)
	before := `,"items":[`
	err = s.each(func(o *storage.Object) error {
		if err := resources.CheckObject(o); err != nil {
			return err
		}
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
	if s.Count > 0 {
		fmt.Fprint(out, "]")
	}
	list := s.metadata(s.Page, s.Count)
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
