// Package classic serves lists of pods in the way that was usual: an object-relational
// mapper reads the rows, each document is decoded into Kubernetes' type, converted to
// the internal one and given its defaults, and the stock handlers convert the list back
// and encode it. Conditions on labels and fields are JSON expressions, which no index
// serves; pages are offsets; lists are counted if asked for. It is what the storage layer is
// compared to.
package classic

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gorm.io/gorm"
	"k8s.io/apimachinery/pkg/api/meta"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/endpoints/handlers"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/core/install"
	"k8s.io/kubernetes/pkg/printers"
	printersinternal "k8s.io/kubernetes/pkg/printers/internalversion"
	printerstorage "k8s.io/kubernetes/pkg/printers/storage"

	"clusterpedia.io/bench/baseline/oldtable"
)

// Root is the path that all others are below, as it is Clusterpedia's.
const Root = "/apis/clusterpedia.io/v1beta1/resources"

// Codec decodes stored documents and encodes those to be stored.
type Codec struct {
	scheme *runtime.Scheme
	codecs serializer.CodecFactory
	codec  runtime.Codec
}

// NewCodec returns a codec of pods.
func NewCodec() *Codec {
	scheme := runtime.NewScheme()
	install.Install(scheme)
	codecs := serializer.NewCodecFactory(scheme)
	info, _ := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), runtime.ContentTypeJSON)
	v1, internal := schema.GroupVersion{Version: "v1"}, schema.GroupVersion{Version: runtime.APIVersionInternal}
	return &Codec{scheme: scheme, codecs: codecs, codec: codecs.CodecForVersions(info.Serializer, codecs.UniversalDeserializer(), v1, internal)}
}

// Decode reads a document into the internal type, with the defaults of Kubernetes.
func (c *Codec) Decode(document []byte) (runtime.Object, error) {
	return runtime.Decode(c.codec, document)
}

// Encode writes an object as it is stored.
func (c *Codec) Encode(o runtime.Object) ([]byte, error) { return runtime.Encode(c.codec, o) }

// Handler serves pods out of the table of v0.9.
type Handler struct {
	*Codec
	DB     *gorm.DB
	Engine oldtable.Engine
	// Count is whether each list that does not say so is counted.
	Count bool

	scope *handlers.RequestScope
}

// NewHandler returns a handler.
func NewHandler(engine oldtable.Engine, db *gorm.DB, count bool) *Handler {
	h := &Handler{Codec: NewCodec(), DB: db, Engine: engine, Count: count}
	h.scope = &handlers.RequestScope{
		Namer: handlers.ContextBasedNaming{Namer: meta.NewAccessor()}, Serializer: h.codecs, ParameterCodec: runtime.NewParameterCodec(h.scheme),
		Creater: h.scheme, Convertor: h.scheme, Defaulter: h.scheme, Typer: h.scheme, UnsafeConvertor: runtime.UnsafeObjectConvertor(h.scheme),
		TableConvertor: printerstorage.TableConvertor{TableGenerator: printers.NewTableGenerator().With(printersinternal.AddHandlers)},
		Resource:       schema.GroupVersionResource{Version: "v1", Resource: "pods"}, Kind: schema.GroupVersionKind{Version: "v1", Kind: "Pod"},
		HubGroupVersion: schema.GroupVersion{Version: runtime.APIVersionInternal}, MetaGroupVersion: metav1.SchemeGroupVersion,
	}
	return h
}

// ServeHTTP answers Root[/clusters/CLUSTER]/api/v1[/namespaces/NAMESPACE]/pods[/NAME].
func (h *Handler) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	rest, ok := strings.CutPrefix(req.URL.Path, Root)
	r := &reader{Handler: h, values: req.URL.Query(), metadata: strings.Contains(req.Header.Get("Accept"), "PartialObjectMetadataList")}
	if below, yes := strings.CutPrefix(rest, "/clusters/"); yes {
		r.cluster, rest, _ = strings.Cut(below, "/")
		rest = "/" + rest
	}
	rest, core := strings.CutPrefix(rest, "/api/v1/")
	if below, yes := strings.CutPrefix(rest, "namespaces/"); yes {
		r.namespace, rest, _ = strings.Cut(below, "/")
	}
	name, single := strings.CutPrefix(rest, "pods/")
	if !ok || !core || !single && rest != "pods" {
		http.NotFound(w, req)
		return
	}
	info := &request.RequestInfo{IsResourceRequest: true, Path: req.URL.Path, Verb: "list", APIPrefix: "api", APIVersion: "v1", Namespace: r.namespace, Resource: "pods", Parts: []string{"pods"}}
	stock := req.WithContext(request.WithRequestInfo(req.Context(), info))
	if single {
		info.Verb, info.Name = "get", name
		handlers.GetResource(r, h.scope)(w, stock)
		return
	}
	// The stock handler has a grammar of its own for field selectors.
	values := req.URL.Query()
	values.Del("fieldSelector")
	stock.URL = &url.URL{Path: req.URL.Path, RawQuery: values.Encode()}
	handlers.ListResource(r, nil, h.scope, false, time.Minute)(w, stock)
}

// reader answers one request.
type reader struct {
	*Handler
	values             url.Values
	cluster, namespace string
	metadata           bool
}

var (
	_ rest.Lister = &reader{}
	_ rest.Getter = &reader{}
)

// New implements rest.Storage.
func (r *reader) New() runtime.Object { return &core.Pod{} }

// Destroy implements rest.Storage.
func (r *reader) Destroy() {}

// NewList implements rest.Lister.
func (r *reader) NewList() runtime.Object { return &core.PodList{} }

// ConvertToTable implements rest.TableConvertor.
func (r *reader) ConvertToTable(ctx context.Context, o, options runtime.Object) (*metav1.Table, error) {
	return r.scope.TableConvertor.ConvertToTable(ctx, o, options)
}

// Get implements rest.Getter.
func (r *reader) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	var row struct{ Object []byte }
	err := r.pods(ctx).Where("cluster = ? AND namespace = ? AND name = ?", r.cluster, r.namespace, name).Select("object").Order("id").Limit(1).Take(&row).Error
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", name, err)
	}
	return r.Decode(row.Object)
}

// List implements rest.Lister.
func (r *reader) List(ctx context.Context, _ *metainternalversion.ListOptions) (runtime.Object, error) {
	db, err := r.conditions(r.pods(ctx))
	if err != nil {
		return nil, err
	}
	list := &core.PodList{Items: []core.Pod{}}
	var count int64
	if r.Count {
		// A session of its own: gorm's conditions grow in place.
		if err := db.Session(&gorm.Session{}).Count(&count).Error; err != nil {
			return nil, fmt.Errorf("count: %w", err)
		}
	}
	db, page := r.page(db.Session(&gorm.Session{}))
	documents, err := r.documents(db)
	if err != nil {
		return nil, err
	}
	for _, document := range documents {
		o, err := r.Decode(document)
		if err != nil {
			return nil, err
		}
		pod, ok := o.(*core.Pod)
		if !ok {
			return nil, fmt.Errorf("a %T is stored in place of a pod", o)
		}
		list.Items = append(list.Items, *pod)
	}
	if r.Count && page.limit > 0 {
		remaining := count - page.offset - int64(len(list.Items))
		list.RemainingItemCount = &remaining
	}
	return list, nil
}

// documents reads the documents that a query finds.
func (r *reader) documents(db *gorm.DB) ([][]byte, error) {
	type row struct{ Object []byte }
	var rows []row
	column := "object"
	if r.metadata {
		column = oldtable.Metadata(r.Engine) + " AS object"
	}
	if err := db.Select(column).Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	documents := make([][]byte, len(rows))
	for i := range rows {
		documents[i] = rows[i].Object
		if r.metadata {
			documents[i] = fmt.Appendf(nil, `{"kind":"Pod","apiVersion":"v1","metadata":%s}`, rows[i].Object)
		}
	}
	return documents, nil
}
