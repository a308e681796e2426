package resources

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/endpoints/handlers/negotiation"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/klog/v2"

	"clusterpedia.io/api/clusterpedia/v1beta1"
	"clusterpedia.io/clusterpedia/internal/apiserver/listoptions"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// reader answers one request. The stock handlers call it as the rest.Getter and
// rest.Lister of a resource.
type reader struct {
	storage storage.Storage
	scope   *scope
	cluster string
	// options are set for lists, and limits for those whose callers may not see all.
	options *listoptions.Options
	limits  *limits
	// events asks for the Events of one object; of lists the options say so.
	events bool
	// wanted is the form of the answer.
	wanted
	// transform is what the client wants in place of the objects: Table,
	// PartialObjectMetadata or PartialObjectMetadataList; empty for the objects.
	transform string
	// include is what a Table has of the objects.
	include metav1.IncludeObjectPolicy

	open *listing
}

// wanted is the form of an answer that the request's Accept header and URL ask for, or why
// there is none.
type wanted struct {
	media      negotiation.MediaTypeOptions
	serializer runtime.SerializerInfo
	refused    error
}

var (
	_ rest.Getter = &reader{}
	_ rest.Lister = &reader{}
)

// newReader returns the reader of a request. What cannot be negotiated is left for the stock
// handler to refuse.
func newReader(req *http.Request, st storage.Storage, s *scope, cluster string) *reader {
	r := &reader{storage: st, scope: s, cluster: cluster, include: metav1.IncludeObjectPolicy(req.URL.Query().Get("includeObject"))}
	r.media, r.serializer, r.refused = negotiation.NegotiateOutputMediaType(req, s.Serializer, s)
	if r.refused == nil && r.media.Convert != nil {
		r.transform = r.media.Convert.Kind
	}
	return r
}

// close releases what List opened. It is called when the answer is written.
func (r *reader) close() {
	if r.open != nil {
		r.open.Close()
	}
}

// New implements rest.Lister's storage.
func (r *reader) New() runtime.Object { return &document{scope: r.scope} }

// NewList implements rest.Lister.
func (r *reader) NewList() runtime.Object { return &listing{scope: r.scope} }

// ConvertToTable implements rest.TableConvertor.
func (r *reader) ConvertToTable(ctx context.Context, obj runtime.Object, options runtime.Object) (*metav1.Table, error) {
	return r.scope.TableConvertor.ConvertToTable(ctx, obj, options)
}

// Get implements rest.Getter.
func (r *reader) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	key := storage.Key{Cluster: r.cluster, Resource: r.scope.resource.Stored, Namespace: request.NamespaceValue(ctx), Name: name}
	// No object has such a name, and databases fail on it.
	if text := key.Namespace + name; !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return nil, apierrors.NewNotFound(r.scope.Resource.GroupResource(), name)
	}
	o, err := r.get(ctx, key)
	if err != nil {
		return nil, APIError(err, r.scope.Resource.GroupResource(), name)
	}
	switch {
	case r.transform != "Table" && !isObject(o.JSON):
		return nil, r.scope.unreadable(o.Key, errNoObject)
	case r.transform == "Table", r.transform == "" && !Audited(ctx):
		return &document{scope: r.scope, key: o.Key, json: o.JSON}, nil
	case r.transform == "PartialObjectMetadata":
		partial := &metav1.PartialObjectMetadata{}
		if json.Unmarshal(o.JSON, partial) == nil {
			return partial, nil
		}
	}
	return r.scope.read(o.Key, o.JSON)
}

// get reads one object, with its Events if they are asked for, which only lists have.
func (r *reader) get(ctx context.Context, key storage.Key) (storage.Object, error) {
	if !r.events {
		return r.storage.Get(ctx, key)
	}
	q := &query.Query{
		Types:    []query.Type{{Group: key.Group, Version: key.Version, Resource: key.Resource.Resource}},
		Clusters: []string{key.Cluster}, Namespaces: []string{key.Namespace}, Names: []string{key.Name}, Events: true,
	}
	found := storage.Object{}
	_, err := r.storage.List(ctx, q, func(o *storage.Object) error {
		found = *WithEvents(o)
		found.JSON = slices.Clone(found.JSON)
		return nil
	})
	if err == nil && found.JSON == nil {
		err = fmt.Errorf("%s: %w", key, storage.ErrNotFound)
	}
	return found, err
}

// List implements rest.Lister. The options that it is given are those that the
// stock handler validated; the request's own were parsed before.
func (r *reader) List(ctx context.Context, _ *metainternalversion.ListOptions) (runtime.Object, error) {
	q := *r.options.Query
	switch {
	case q.Projection != query.Full: // the client wants no more
	case r.transform == "PartialObjectMetadataList":
		q.Projection = query.Metadata
	case r.transform == "Table":
		q.Projection, q.Columns = r.scope.shown(r.include)
	}
	fail := func(err error) (runtime.Object, error) {
		return nil, APIError(err, r.scope.Resource.GroupResource(), "")
	}
	list, err := r.listing(ctx, &q)
	if err != nil {
		return nil, err
	}
	switch {
	case r.transform == "PartialObjectMetadataList":
		partial, err := list.partial()
		if err != nil {
			return fail(err)
		}
		return partial, nil
	case r.transform == "" && Audited(ctx):
		decoded, err := list.decoded()
		if err != nil {
			return fail(err)
		}
		return decoded, nil
	case r.transform == "PartialObjectMetadata":
		return list.GetObject(), nil // the stock handler refuses it by the list's type
	}
	return list, nil
}

// listing starts to list, until the reader is closed.
func (r *reader) listing(ctx context.Context, q *query.Query) (*listing, error) {
	found, err := Find(ctx, r.storage, q, func(err error) error { return APIError(err, r.scope.Resource.GroupResource(), "") })
	if err != nil {
		return nil, err
	}
	list := &listing{Found: found, scope: r.scope, metadata: r.limits.listMeta(r.options.ListMeta)}
	r.open = list
	return list, nil
}

// Audited reports whether the answer goes to the audit log too, and so has to be
// encoded twice.
func Audited(ctx context.Context) bool {
	a := audit.AuditContextFrom(ctx)
	return a != nil && a.Enabled() && a.GetEventLevel() == auditinternal.LevelRequestResponse
}

// invalidSQL is the answer to a condition in SQL that cannot be used, as it always was.
func invalidSQL(e *query.InvalidQueryError) error {
	var value any = e.Value
	if e.Value == "" {
		value = noValue{}
	}
	return apierrors.NewInvalid(v1beta1.GroupVersion.WithKind("ListOptions").GroupKind(), "urlQuery",
		field.ErrorList{field.Invalid(field.NewPath(e.Field), value, e.Reason)})
}

// noValue stands for a parameter that is missing, and is printed as it always was: by
// now lists are printed as JSON, if they can be.
type noValue struct{}

// MarshalJSON implements json.Marshaler.
func (noValue) MarshalJSON() ([]byte, error) { return nil, errors.New("a missing value is no JSON") }

// String implements fmt.Stringer.
func (noValue) String() string { return "[]string(nil)" }

// APIError turns an error of the storage layer into what clients may see: what is
// wrong with their request, and never the text of a database.
func APIError(err error, resource schema.GroupResource, name string) error {
	var invalid *query.InvalidQueryError
	var status apierrors.APIStatus
	switch {
	case errors.As(err, &status):
		return err
	case errors.Is(err, storage.ErrNotFound):
		return apierrors.NewNotFound(resource, name)
	case errors.As(err, &invalid) && strings.HasPrefix(invalid.Field, "whereSQL"):
		return invalidSQL(invalid)
	case errors.As(err, &invalid):
		return apierrors.NewBadRequest(invalid.Error())
	case errors.Is(err, storage.ErrUnsupported):
		return apierrors.NewBadRequest(err.Error())
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return apierrors.NewTimeoutError("the request ended before the storage layer answered", 0)
	}
	klog.ErrorS(err, "The storage layer failed", "resource", resource, "name", name)
	if storage.IsRetryable(err) {
		return apierrors.NewServiceUnavailable("the storage layer cannot answer at the moment, the server's log has the reason")
	}
	return apierrors.NewInternalError(errors.New("the storage layer failed, the server's log has the reason"))
}
