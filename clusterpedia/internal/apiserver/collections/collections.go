// Package collections serves collection resources: named sets of types that are
// searched as one. It stands beside package resources on the data's path, and hands
// out documents in the version in which they are stored.
package collections

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/handlers"
	"k8s.io/apiserver/pkg/endpoints/handlers/negotiation"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/warning"

	"clusterpedia.io/api/clusterpedia/v1beta1"
	"clusterpedia.io/clusterpedia/internal/apiserver/listoptions"
	"clusterpedia.io/clusterpedia/internal/apiserver/resources"
	"clusterpedia.io/clusterpedia/internal/apiserver/visibility"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// Resource is the plural name.
const Resource = "collectionresources"

// Storage serves the collections that a storage layer defines.
type Storage struct {
	storage storage.Storage
	params  []string
	count   query.Count
	warner  resources.Warner
	checker *visibility.Checker
	asJSON  runtime.Identifier
	// serializer and scope are what the stock handlers negotiate with.
	serializer runtime.NegotiatedSerializer
	scope      *handlers.RequestScope
	all        []storage.Collection
}

var (
	_ rest.Getter               = &Storage{}
	_ rest.Lister               = &Storage{}
	_ rest.Scoper               = &Storage{}
	_ rest.TableConvertor       = &Storage{}
	_ rest.SingularNameProvider = &Storage{}
)

// New asks a storage layer for its collections; one that defines none has none.
// params are the URL parameters that the storage layer reads itself; count is whether the
// objects behind a page are counted if the client doesn't say; warner warns of clusters;
// checker, if not nil, limits searches to what callers may see; serializer encodes answers.
func New(
	ctx context.Context, st storage.Storage, params []string, count query.Count, warner resources.Warner, checker *visibility.Checker, serializer runtime.NegotiatedSerializer,
) (*Storage, error) {
	s := &Storage{storage: st, params: params, count: count, warner: warner, checker: checker, asJSON: jsonEncoder(serializer), serializer: serializer}
	s.scope = &handlers.RequestScope{TableConvertor: s, MetaGroupVersion: metav1.SchemeGroupVersion}
	if layer, ok := st.(storage.Collections); ok {
		all, err := layer.Collections(ctx)
		if err != nil {
			return nil, fmt.Errorf("ask the storage layer for its collections: %w", err)
		}
		s.all = all
	}
	return s, nil
}

// New implements rest.Storage.
func (*Storage) New() runtime.Object { return &v1beta1.CollectionResource{} }

// NewList implements rest.Lister.
func (*Storage) NewList() runtime.Object { return &v1beta1.CollectionResourceList{} }

// Destroy implements rest.Storage.
func (*Storage) Destroy() {}

// NamespaceScoped implements rest.Scoper.
func (*Storage) NamespaceScoped() bool { return false }

// GetSingularName implements rest.SingularNameProvider.
func (*Storage) GetSingularName() string { return Resource }

// List implements rest.Lister: it lists the collections, without objects.
func (s *Storage) List(context.Context, *metainternalversion.ListOptions) (runtime.Object, error) {
	list := &v1beta1.CollectionResourceList{}
	for _, c := range s.all {
		item := v1beta1.CollectionResource{ResourceTypes: []v1beta1.CollectionResourceType{}}
		item.Name = c.Name
		for _, t := range c.Types {
			item.ResourceTypes = append(item.ResourceTypes, v1beta1.CollectionResourceType{Group: t.Group, Version: t.Version, Resource: t.Resource})
		}
		list.Items = append(list.Items, item)
	}
	return list, nil
}

// Get implements rest.Getter: it searches a collection.
func (s *Storage) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	i := slices.IndexFunc(s.all, func(c storage.Collection) bool { return c.Name == name })
	if i < 0 {
		return nil, apierrors.NewNotFound(groupResource(), name)
	}
	request := requestFrom(ctx)
	types := s.all[i].Types
	if len(types) == 0 {
		var err error
		if types, err = listoptions.CollectionTypes(request.values); err != nil {
			return nil, err
		}
	}
	options, err := listoptions.Parse(listoptions.Input{Values: request.values, Types: types, Params: s.params, Count: s.count})
	if err != nil {
		return nil, err
	}
	for _, text := range options.Warnings {
		warning.AddWarning(ctx, "", text)
	}
	if s.checker != nil {
		if err := s.checker.Collection(ctx, options.Query); err != nil {
			return nil, resources.APIError(err, groupResource(), name)
		}
		if err := resources.WithoutForbiddenEvents(ctx, s.checker, options.Query); err != nil {
			return nil, resources.APIError(err, groupResource(), name)
		}
	}
	s.warner.Warn(ctx, types, options.Query)
	wanted, whole := s.negotiate(request)
	if wanted == "Table" && request.values.Get("includeObject") != string(metav1.IncludeObject) {
		options.Query.Projection = query.Metadata
	}
	objects, err := resources.Find(ctx, s.storage, options.Query, func(err error) error { return resources.APIError(err, groupResource(), name) })
	if err != nil {
		return nil, err
	}
	found := &stream{Found: objects, name: name, asJSON: s.asJSON, seen: map[v1beta1.CollectionResourceType]bool{}, metadata: options.ListMeta}
	if !whole && !resources.Audited(ctx) {
		request.opened = found
		return found, nil
	}
	defer found.Close()
	all, err := found.whole(wanted == "Table")
	if err != nil {
		return nil, err
	}
	return all, nil
}

// negotiate returns the kind that the stock handler will turn the collection into, if it
// will, and whether it has to have the whole.
func (s *Storage) negotiate(r *request) (kind string, whole bool) {
	if r.http == nil {
		return "", true
	}
	media, _, err := negotiation.NegotiateOutputMediaType(r.http, s.serializer, s.scope)
	switch {
	case err != nil: // which the stock handler says
		return "", true
	case media.Convert != nil:
		return media.Convert.Kind, true
	}
	return "", false
}

func groupResource() schema.GroupResource { return v1beta1.Resource(Resource) }

// request is what Get needs of a request beyond what the stock handler gives it.
type request struct {
	http   *http.Request
	values url.Values
	// opened is what was found, until the answer is written and the request stops it.
	opened *stream
}

type requestKey struct{}

func requestFrom(ctx context.Context) *request {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r
	}
	return &request{}
}

// WithRequest is a filter that keeps for Get what a client asks for. It stands right before
// the handlers, and closes what Get opened when they have answered.
func WithRequest(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		kept := &request{http: req, values: req.URL.Query()}
		defer func() {
			if kept.opened != nil {
				kept.opened.Close()
			}
		}()
		next.ServeHTTP(w, req.WithContext(context.WithValue(req.Context(), requestKey{}, kept)))
	})
}
