// Package resources serves the objects of member clusters as if this server were
// each of them, and all of them at once. It turns a client's request into a query
// to the storage layer and the objects that come back into the client's format:
// as they are stored, without decoding them, wherever that is what was asked for.
package resources

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/handlers"

	"clusterpedia.io/clusterpedia/internal/apiserver/discovery"
	"clusterpedia.io/clusterpedia/internal/apiserver/table"
	"clusterpedia.io/clusterpedia/internal/builtin"
	"clusterpedia.io/storage-api/storage"
)

// scope is what the server knows of a resource in the version that a client asks
// for.
type scope struct {
	handlers.RequestScope
	resource discovery.Resource
	columns  table.Columns
	// asStored identifies the encoder that would write just what is stored; empty
	// if answers are in another version than the stored one.
	asStored runtime.Identifier
	// itemStarts are the ways in which the stored documents of a compiled-in kind
	// begin: with kind and apiVersion, in the order that their member gave them.
	itemStarts [][]byte
	// decode reads a stored document: compiled-in kinds into their internal type,
	// others as they are. Its errors repeat nothing of the document.
	decode func(doc []byte) (runtime.Object, error)
	// newList returns an empty list of what decode returns.
	newList func() (runtime.Object, error)
}

func newScope(ctx context.Context, r discovery.Resource, scheme *builtin.Scheme, printer *table.Printer) (*scope, error) {
	s := &scope{resource: r, columns: printer.Columns(ctx, schema.GroupKind{Group: r.Group, Kind: r.Kind})}
	s.Namer = handlers.ContextBasedNaming{Namer: meta.NewAccessor(), ClusterScoped: !r.Namespaced}
	s.Resource = r.GroupVersionResource
	s.Kind = r.GroupVersion().WithKind(r.Kind)
	s.MetaGroupVersion = metav1.SchemeGroupVersion
	s.TableConvertor = tableConvertor{s}
	if r.Builtin {
		s.setBuiltin(scheme)
	} else {
		s.setCustom()
	}
	decode := s.decode
	s.decode = func(doc []byte) (runtime.Object, error) {
		if !isObject(doc) {
			return nil, errNoObject
		}
		obj, err := decode(doc)
		if err != nil {
			return nil, flaw(doc, err)
		}
		return obj, nil
	}
	if r.Stored.Version != r.Version {
		return s, nil
	}
	for _, info := range s.Serializer.SupportedMediaTypes() {
		if info.MediaType == runtime.ContentTypeJSON {
			s.asStored = s.Serializer.EncoderForVersion(info.Serializer, s.Kind.GroupVersion()).Identifier()
			return s, nil
		}
	}
	return nil, fmt.Errorf("no JSON serializer for %s", r.GroupVersionResource)
}

// read decodes a stored document. The error is a Status that names the object.
func (s *scope) read(key storage.Key, doc []byte) (runtime.Object, error) {
	obj, err := s.decode(doc)
	if err != nil {
		return nil, s.unreadable(key, err)
	}
	return obj, nil
}

// storedVersion is the apiVersion of stored documents.
func (s *scope) storedVersion() string {
	return schema.GroupVersion{Group: s.resource.Stored.Group, Version: s.resource.Stored.Version}.String()
}

func (s *scope) setBuiltin(scheme *builtin.Scheme) {
	known := scheme.Runtime()
	s.Serializer = scheme.Codecs()
	s.ParameterCodec = runtime.NewParameterCodec(known)
	s.Creater, s.Convertor, s.Defaulter, s.Typer = known, known, known, known
	s.UnsafeConvertor = runtime.UnsafeObjectConvertor(known)
	internal := schema.GroupVersion{Group: s.Kind.Group, Version: runtime.APIVersionInternal}
	s.HubGroupVersion = internal
	kind, version := fmt.Sprintf(`"kind":%q,`, s.Kind.Kind), fmt.Sprintf(`"apiVersion":%q,`, s.Kind.GroupVersion().String())
	s.itemStarts = [][]byte{[]byte("{" + kind + version), []byte("{" + version + kind)}
	s.decode = scheme.Decode
	s.newList = func() (runtime.Object, error) { return known.New(internal.WithKind(s.Kind.Kind + "List")) }
}

func (s *scope) setCustom() {
	s.Serializer, s.StandardSerializers = customSerializer{}, customSerializer{}.forObjects()
	s.ParameterCodec = unstructuredParameterCodec()
	s.Creater, s.Convertor, s.Defaulter, s.Typer = customScheme{}, customScheme{}, customScheme{}, customScheme{}
	s.UnsafeConvertor = customScheme{}
	s.HubGroupVersion = s.Kind.GroupVersion()
	s.decode = func(doc []byte) (runtime.Object, error) {
		obj := &unstructured.Unstructured{}
		if err := obj.UnmarshalJSON(doc); err != nil {
			return nil, fmt.Errorf("decode: %w", err)
		}
		return obj, nil
	}
	s.newList = func() (runtime.Object, error) {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(s.Kind.GroupVersion().WithKind(s.Kind.Kind + "List"))
		return list, nil
	}
}
