// Package listoptions turns what a client asks for, in the path, the URL and the
// search labels of a list, into one query for the storage layer. It is the one
// parser of clients' text in the apiserver: on the data's path nothing below it
// sees any, but for the raw parameters that a storage layer's driver names.
//
// Method options holds the table of all options: the URL key and the search label
// of each, and where its value goes. An option in the path counts before one in
// the URL, and that before a label.
package listoptions

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpedia.io/clusterpedia/internal/apiserver/listoptions/fieldselector"
	"clusterpedia.io/storage-api/query"
)

// Input is what a client sent with a list.
type Input struct {
	// Values is the query of the request's URL. Of a key given twice the first
	// value counts.
	Values url.Values
	// Cluster and Namespace are those of the path; empty if it has none.
	Cluster, Namespace string
	// Types are the stored types that the path stands for; empty for all.
	Types []query.Type
	// Params are the URL keys that the storage layer's driver names as its own.
	Params []string
	// Count is whether the objects that remain are counted if the client doesn't say.
	Count query.Count
}

// Options is what a client wants of a list.
type Options struct {
	// Query is the question for the storage layer; it is valid. InjectEvents is
	// its Events, onlyMetadata its Projection, and withRemainingCount
	// its Count. Its order must not be changed, else continue tokens no longer fit. Whoever
	// narrows its Owner and Namespaces must see to its Continue; ListMeta does so of the next.
	Query *query.Query
	// asked is the query as it was parsed.
	asked query.Query
	// WithContinue and WithRemainingCount say whether the answer has continue and
	// remainingItemCount; nil if the client left it to the server.
	WithContinue, WithRemainingCount *bool
	// DecimalContinue says that the answer's continue is the number of objects to
	// skip in place of the storage layer's token.
	DecimalContinue bool
	// Warnings are for the client, who probably wanted something else.
	Warnings []string
}

// Parse returns the options of a list. All its errors are Statuses with code 400
// and a message for the client.
func Parse(in Input) (*Options, error) {
	p := &parser{in: in, query: &query.Query{Types: slices.Clone(in.Types)}}
	steps := []func() error{p.checkTexts, p.readLabelSelector, p.readOptions, p.readFieldSelector, p.scope, p.size, p.owner, p.page}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	p.params()
	q := p.query
	q.Events = isTrue(p.injectEvents)
	if isTrue(p.onlyMetadata) {
		q.Projection = query.Metadata
	}
	switch {
	case p.withRemainingCount == nil:
		q.Count = p.in.Count
	case *p.withRemainingCount:
		q.Count = query.CountExact
	}
	if err := q.Validate(); err != nil {
		return nil, invalid("%v", err)
	}
	return &Options{
		Query:              q,
		asked:              *q,
		WithContinue:       p.withContinue,
		WithRemainingCount: p.withRemainingCount,
		DecimalContinue:    p.decimalContinue,
		Warnings:           p.warnings,
	}, nil
}

// InjectEvents reports whether a request for one object asks for its Events. It takes no
// other option.
func InjectEvents(values url.Values) bool {
	value, given := first(values, "injectEvents")
	return given && parseFlag(value)
}

// Namespaces returns those that a list asks for beside its path; none if there are none, or
// the list has an option that Parse refuses.
func Namespaces(values url.Values) []string {
	p := &parser{in: Input{Values: values}, query: &query.Query{}}
	for _, step := range []func() error{p.checkTexts, p.readLabelSelector, p.readOptions} {
		if step() != nil {
			return nil
		}
	}
	return p.namespaces
}

// ListMeta returns the metadata of a list that the storage layer ended with page
// after so many items.
//
// A client that sent a limit gets a continue while objects remain, unless it
// refused it. One that demanded it gets it for every full page, as it always did.
func (o *Options) ListMeta(page query.Page, items int64) metav1.ListMeta {
	list := metav1.ListMeta{ResourceVersion: page.Version}
	if page.Remaining != nil && (o.WithRemainingCount == nil || *o.WithRemainingCount) {
		remaining := max(*page.Remaining, 0)
		list.RemainingItemCount = &remaining
	}
	limit := o.Query.Limit
	if limit == 0 || o.WithContinue != nil && !*o.WithContinue {
		return list
	}
	switch full := items == limit && isTrue(o.WithContinue); {
	case !o.DecimalContinue:
		list.Continue = o.token(page.Continue)
	case full || page.Continue != "":
		list.Continue = fmt.Sprint(o.Query.Offset + items)
	}
	return list
}

// token turns the storage layer's continue token into that of the query that the client
// sends again.
func (o *Options) token(next string) string {
	if next == "" || o.Query.Owner == o.asked.Owner {
		return next
	}
	narrowed := *o.Query
	narrowed.Continue = next
	after, err := narrowed.Position()
	if err != nil {
		return next // the storage layer's own, of which nobody knows more
	}
	return o.asked.ContinueAfter(after)
}

// parser collects the values of the options while they are read.
type parser struct {
	in    Input
	query *query.Query
	// labels are the search labels of the label selector: by key, the sorted
	// values of each requirement.
	labels map[string][][]string

	clusters, namespaces         []string
	ownerUID, ownerName, ownerGR string
	ownerSeniority               int
	limit                        int64
	continueText                 string

	withContinue, withRemainingCount, injectEvents, onlyMetadata *bool

	decimalContinue bool
	warnings        []string
}

func (p *parser) warn(format string, args ...any) {
	p.warnings = append(p.warnings, fmt.Sprintf(format, args...))
}

// invalid returns the error of this package: status 400 with a message.
func invalid(format string, args ...any) error {
	return apierrors.NewBadRequest(fmt.Sprintf(format, args...))
}

// first returns the first value of a key of the URL.
func first(values url.Values, key string) (string, bool) {
	if len(values[key]) == 0 {
		return "", false
	}
	return values[key][0], true
}

// checkTexts refuses what is no text before it reaches a database, which would
// fail on it. No object holds such names or values.
func (p *parser) checkTexts() error {
	if err := checkText("cluster", p.in.Cluster); err != nil {
		return err
	}
	if err := checkText("namespace", p.in.Namespace); err != nil {
		return err
	}
	keys := slices.Concat([]string{"labelSelector", "fieldSelector"}, p.in.Params)
	for _, o := range p.options() {
		keys = append(keys, o.url)
	}
	for _, key := range keys {
		if err := checkText(key, p.in.Values[key]...); err != nil {
			return err
		}
	}
	for _, key := range []string{"labelSelector", "fieldSelector"} {
		if selector, _ := first(p.in.Values, key); len(selector) > MaxSelector {
			return invalid("%s has %d bytes, it may have %d", key, len(selector), MaxSelector)
		}
	}
	return nil
}

func checkText(key string, values ...string) error {
	for _, value := range values {
		if !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
			return invalid("%s: must be UTF-8 text without NUL, not %q", key, value)
		}
	}
	return nil
}

func (p *parser) readFieldSelector() error {
	selector, _ := first(p.in.Values, "fieldSelector")
	fields, err := fieldselector.Parse(selector)
	if err != nil {
		return invalid("%v", err)
	}
	p.query.Fields = fields
	return nil
}

// scope lets the path win over what was asked for, and checks the times.
func (p *parser) scope() error {
	q := p.query
	q.Clusters, q.Namespaces = p.clusters, p.namespaces
	if p.in.Cluster != "" {
		q.Clusters = []string{p.in.Cluster}
	}
	if p.in.Namespace != "" {
		q.Namespaces = []string{p.in.Namespace}
	}
	if !q.Since.IsZero() && !q.Before.IsZero() && q.Since.After(q.Before) {
		return invalid("Invalid Query, Since is after Before")
	}
	return nil
}

// params passes on the raw parameters that the storage layer reads itself.
func (p *parser) params() {
	for _, name := range p.in.Params {
		values, ok := p.in.Values[name]
		if !ok {
			continue
		}
		if p.query.Params == nil {
			p.query.Params = map[string][]string{}
		}
		p.query.Params[name] = slices.Clone(values)
	}
}

func isTrue(b *bool) bool { return b != nil && *b }
