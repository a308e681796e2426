package resources

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metainternalversionscheme "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme"
	metainternalversionvalidation "k8s.io/apimachinery/pkg/apis/meta/internalversion/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/features"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/klog/v2"

	"clusterpedia.io/clusterpedia/internal/rawjson"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// Lists as JSON flow: what is known of one object is on its way before the next one is
// read. The stock handlers answer with a whole list, which only whoever asks for
// protobuf, YAML, indented JSON or another version than the stored one has to wait for.

// format writes one object of a list that flows, and what stands around all of them.
type format struct {
	// projection is what is read of the objects, and columns that of cells.
	projection query.Projection
	columns    string
	// open is what the list begins with, up to the first object.
	open []byte
	// item writes one object.
	item func(ctx context.Context, w *bufio.Writer, o *storage.Object) error
}

// format returns the format in which the answer to a list flows; nil if the stock
// handler has to answer.
func (r *reader) format(req *http.Request) *format {
	s, media := r.scope, r.media
	// Browsers, and whoever asks for it in the URL, get another serializer: one that indents.
	if r.refused != nil || media.Pretty || r.serializer.Serializer != media.Accepted.Serializer || media.Accepted.MediaType != runtime.ContentTypeJSON || Audited(req.Context()) || !validList(req, s) {
		return nil
	}
	switch {
	case media.Convert == nil && s.asStored != "":
		return &format{
			open: fmt.Appendf(nil, `{"kind":%q,"apiVersion":%q,"items":[`, s.Kind.Kind+"List", s.Kind.GroupVersion().String()),
			item: func(_ context.Context, w *bufio.Writer, o *storage.Object) error { return s.writeItem(w, o) },
		}
	case media.Convert == nil || media.Convert.GroupVersion() != metav1.SchemeGroupVersion:
		return nil
	case media.Convert.Kind == "PartialObjectMetadataList":
		return &format{
			projection: query.Metadata,
			open:       []byte(`{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","items":[`),
			item:       func(_ context.Context, w *bufio.Writer, o *storage.Object) error { return s.writePartial(w, o) },
		}
	case media.Convert.Kind == "Table":
		return s.tableFormat(req)
	}
	return nil
}

// validList reports whether the stock handler would answer, and not refuse the request.
func validList(req *http.Request, s *scope) bool {
	var options metainternalversion.ListOptions
	values := req.URL.Query()
	values.Del("fieldSelector")
	if err := metainternalversionscheme.ParameterCodec.DecodeParameters(values, s.MetaGroupVersion, &options); err != nil {
		return false
	}
	watchList := utilfeature.DefaultFeatureGate.Enabled(features.WatchList)
	metainternalversion.SetListOptionsDefaults(&options, watchList)
	return len(metainternalversionvalidation.ValidateListOptions(&options, watchList)) == 0
}

// writePartial writes an object's metadata as a PartialObjectMetadata, or nothing if there is
// none to be read.
func (s *scope) writePartial(w *bufio.Writer, o *storage.Object) error {
	metadata := []byte("{}")
	err := rawjson.Fields(o.JSON, func(name, value []byte) bool {
		if string(name) != "metadata" {
			return true
		}
		metadata = value
		return false
	})
	if err == nil && !isObject(metadata) {
		err = errMetadata
	}
	if err != nil {
		return s.unreadable(o.Key, flaw(o.JSON, err))
	}
	w.WriteString(`{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":`)
	w.Write(metadata)
	return w.WriteByte('}')
}

// flow answers a list in a format.
func (h *Handler) flow(w http.ResponseWriter, req *http.Request, r *reader, f *format) {
	ctx, s := req.Context(), r.scope
	q := *r.options.Query
	if q.Projection == query.Full { // else the client wants no more
		q.Projection, q.Columns = f.projection, f.columns
	}
	list, err := r.listing(ctx, &q)
	if err != nil {
		responsewriters.ErrorNegotiated(err, s.Serializer, s.Kind.GroupVersion(), w, req)
		return
	}
	w.Header().Set("Content-Type", runtime.ContentTypeJSON)
	answer := h.answers.answer(w, req)
	if err = list.write(ctx, answer.Writer, f); err == nil {
		err = answer.close()
	}
	switch {
	case err != nil && !answer.body.begun:
		w.Header().Del("Content-Type")
		responsewriters.ErrorNegotiated(err, s.Serializer, s.Kind.GroupVersion(), w, req)
	case err != nil && req.Context().Err() != nil:
		klog.V(2).InfoS("A client did not wait for the end of a list", "resource", s.Resource)
		panic(http.ErrAbortHandler) //nolint:forbidigo // as below
	case err != nil:
		// Part of the list may be on its way under status 200. To end the answer cleanly
		// would make the client take it for all.
		klog.ErrorS(err, "A list was cut off", "resource", s.Resource)
		panic(http.ErrAbortHandler) //nolint:forbidigo // the one way to end an answer that has begun
	}
}

// write writes the list. Its metadata comes last, as only the end of the list knows how
// to go on.
func (l *listing) write(ctx context.Context, w *bufio.Writer, f *format) error {
	w.Write(f.open)
	err := l.Each(func(o *storage.Object) error {
		if l.Count > 1 {
			w.WriteByte(',')
		}
		return f.item(ctx, w, o)
	})
	if err != nil {
		return err
	}
	metadata, err := json.Marshal(l.metadata(l.Page, l.Count))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "],\"metadata\":%s}\n", metadata)
	return err
}
