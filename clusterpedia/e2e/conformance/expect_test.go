package conformance

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/jsonpath"
)

// compare returns what is wrong with a response.
func (e *Expect) compare(r *response) error {
	want := e.Status
	if want == 0 {
		want = http.StatusOK
	}
	if r.status != want {
		return fmt.Errorf("the status is %d, not %d", r.status, want)
	}
	var errs []error
	for _, compare := range []func(*response) error{e.compareText, e.compareStatus, e.compareItems, e.compareFields, e.compareTable, e.compareHeaders, e.compareWatch, e.compareVersions} {
		errs = append(errs, compare(r))
	}
	return errors.Join(errs...)
}

func (e *Expect) compareText(r *response) error {
	var errs []error
	if e.NotFound {
		text := "404 page not found\n"
		e.Text = &text
		if kind := r.header.Get("Content-Type"); kind != "text/plain; charset=utf-8" {
			errs = append(errs, fmt.Errorf("the content type is %s, not text/plain", kind))
		}
	}
	if e.Text != nil && *e.Text != string(r.body) {
		errs = append(errs, fmt.Errorf("the body is not %q", *e.Text))
	}
	for _, text := range e.Has {
		if !bytes.Contains(r.body, []byte(text)) {
			errs = append(errs, fmt.Errorf("the body has no %q", text))
		}
	}
	for _, text := range e.Lacks {
		if bytes.Contains(r.body, []byte(text)) {
			errs = append(errs, fmt.Errorf("the body has %q", text))
		}
	}
	return errors.Join(errs...)
}

// reasons are those of the codes, where a Status has no other.
func reasons() map[int]metav1.StatusReason {
	return map[int]metav1.StatusReason{
		http.StatusBadRequest: metav1.StatusReasonBadRequest, http.StatusUnauthorized: metav1.StatusReasonUnauthorized,
		http.StatusForbidden: metav1.StatusReasonForbidden, http.StatusNotFound: metav1.StatusReasonNotFound,
		http.StatusMethodNotAllowed: metav1.StatusReasonMethodNotAllowed, http.StatusNotAcceptable: metav1.StatusReasonNotAcceptable,
		http.StatusUnprocessableEntity: metav1.StatusReasonInvalid, http.StatusInternalServerError: metav1.StatusReasonInternalError,
		http.StatusGatewayTimeout: metav1.StatusReasonTimeout,
	}
}

// compareStatus checks the form of every error, and its message.
func (e *Expect) compareStatus(r *response) error {
	if r.status < http.StatusBadRequest || e.Text != nil {
		return nil
	}
	if kind := r.header.Get("Content-Type"); kind == "application/vnd.kubernetes.protobuf" {
		return nil
	}
	var status metav1.Status
	if err := json.Unmarshal(r.body, &status); err != nil {
		return fmt.Errorf("the body is no Status: %w", err)
	}
	var errs []error
	reason := reasons()[r.status]
	switch e.Reason {
	case "":
	case "none":
		reason = ""
	default:
		reason = metav1.StatusReason(e.Reason)
	}
	if status.Status != metav1.StatusFailure || int(status.Code) != r.status || status.Reason != reason {
		errs = append(errs, fmt.Errorf("the Status is a %s with code %d and reason %q, not %q", status.Status, status.Code, status.Reason, reason))
	}
	if r.status != http.StatusGatewayTimeout && (status.Kind != "Status" || status.APIVersion != "v1") {
		errs = append(errs, fmt.Errorf("the Status is a %q of %q", status.Kind, status.APIVersion))
	}
	if e.Message != "" && status.Message != e.Message {
		errs = append(errs, fmt.Errorf("the message is\n%s, not\n%s", status.Message, e.Message))
	}
	for _, part := range e.MessageHas {
		if !strings.Contains(status.Message, part) {
			errs = append(errs, fmt.Errorf("the message has no %q", part))
		}
	}
	return errors.Join(errs...)
}

// items are what any answer with items has: lists, collections, Tables.
type items struct {
	Kind     string
	Metadata struct{ Continue string }
	Continue string
	Items    []metav1.PartialObjectMetadata
	Rows     []struct {
		Cells  []any
		Object metav1.PartialObjectMetadata
	}
	ColumnDefinitions []struct{ Name string }
}

const clusterAnnotation = "shadow.clusterpedia.io/cluster-name"

// names returns the items as "1/web".
func (i *items) names() []string {
	names := make([]string, 0, len(i.Items)+len(i.Rows))
	add := func(o *metav1.PartialObjectMetadata) {
		names = append(names, strings.TrimPrefix(o.Annotations[clusterAnnotation], "cluster-")+"/"+o.Name)
	}
	for n := range i.Items {
		add(&i.Items[n])
	}
	for n := range i.Rows {
		add(&i.Rows[n].Object)
	}
	return names
}

func (e *Expect) compareItems(r *response) error {
	if e.Items == nil && e.Objects == nil && e.Order == nil {
		return nil
	}
	var got items
	if err := json.Unmarshal(r.body, &got); err != nil {
		return err
	}
	names := got.names()
	var errs []error
	if e.Items != nil && len(names) != *e.Items {
		errs = append(errs, fmt.Errorf("there are %d items, not %d: %s", len(names), *e.Items, strings.Join(names, " ")))
	}
	if e.Order != nil && !slices.Equal(names, strings.Fields(*e.Order)) {
		errs = append(errs, fmt.Errorf("the items are\n%s, not\n%s", strings.Join(names, " "), *e.Order))
	}
	if e.Objects != nil {
		want := strings.Fields(*e.Objects)
		slices.Sort(want)
		slices.Sort(names)
		if !slices.Equal(names, want) {
			errs = append(errs, fmt.Errorf("the items are\n%s, not\n%s", strings.Join(names, " "), strings.Join(want, " ")))
		}
	}
	return errors.Join(errs...)
}

func (e *Expect) compareFields(r *response) error {
	if len(e.Fields) == 0 {
		return nil
	}
	var body any
	if err := json.Unmarshal(r.body, &body); err != nil {
		return err
	}
	var errs []error
	for _, path := range slices.Sorted(maps.Keys(e.Fields)) {
		got, err := find(body, path)
		if err == nil && got != e.Fields[path] {
			err = fmt.Errorf("%s is %q, not %q", path, got, e.Fields[path])
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// find prints what a JSONPath leads to.
func find(body any, path string) (string, error) {
	finder := jsonpath.New(path).AllowMissingKeys(true)
	if err := finder.Parse("{" + path + "}"); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	var out bytes.Buffer
	if err := finder.Execute(&out, body); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return out.String(), nil
}

func (e *Expect) compareTable(r *response) error {
	if e.Columns == "" && e.Rows == nil {
		return nil
	}
	var got items
	if err := json.Unmarshal(r.body, &got); err != nil {
		return err
	}
	var errs []error
	var columns, rows []string
	for _, c := range got.ColumnDefinitions {
		columns = append(columns, c.Name)
	}
	if text := strings.Join(columns, ","); e.Columns != "" && text != e.Columns {
		errs = append(errs, fmt.Errorf("the columns are %s, not %s", text, e.Columns))
	}
	for n, row := range got.Rows {
		text := strings.TrimSuffix(fmt.Sprintln(row.Cells...), "\n")
		if n < len(e.Rows) && strings.HasPrefix(text, e.Rows[n]) {
			text = e.Rows[n]
		}
		rows = append(rows, text)
	}
	if e.Rows != nil && !slices.Equal(rows, e.Rows) {
		errs = append(errs, fmt.Errorf("the rows are\n%s, not\n%s", strings.Join(rows, "\n"), strings.Join(e.Rows, "\n")))
	}
	return errors.Join(errs...)
}

func (e *Expect) compareHeaders(r *response) error {
	var errs []error
	for name, expression := range e.Headers {
		pattern, err := regexp.Compile(expression)
		if got := strings.Join(r.header.Values(name), "\n"); err == nil && !pattern.MatchString(got) {
			err = fmt.Errorf("the header %s is %q, which does not match %s", name, got, expression)
		}
		errs = append(errs, err)
	}
	if e.Warnings == nil {
		return errors.Join(errs...)
	}
	got := r.header.Values("Warning")
	if len(got) != len(*e.Warnings) {
		errs = append(errs, fmt.Errorf("there are %d warnings, not %d", len(got), len(*e.Warnings)))
	}
	for _, expression := range *e.Warnings {
		pattern, err := regexp.Compile(expression)
		if err == nil && !slices.ContainsFunc(got, pattern.MatchString) {
			err = fmt.Errorf("no warning matches %s", expression)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// compareWatch compares the events of a watch that has ended.
func (e *Expect) compareWatch(r *response) error {
	if e.Watch == nil {
		return nil
	}
	var got []string
	for decoder := json.NewDecoder(bytes.NewReader(r.body)); ; {
		var event struct {
			Type   string
			Object struct {
				metav1.PartialObjectMetadata
				Code int
			}
		}
		if err := decoder.Decode(&event); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if event.Type == "ERROR" {
			got = append(got, fmt.Sprint("ERROR ", event.Object.Code))
			continue
		}
		list := items{Items: []metav1.PartialObjectMetadata{event.Object.PartialObjectMetadata}}
		got = append(got, event.Type+" "+list.names()[0])
	}
	fields := strings.Fields(*e.Watch)
	var want []string
	for n := 0; n+1 < len(fields); n += 2 {
		want = append(want, fields[n]+" "+fields[n+1])
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("the events are\n%s, not\n%s", strings.Join(got, " "), strings.Join(want, " "))
	}
	return nil
}

func (e *Expect) compareVersions(r *response) error {
	if e.Versions == "" {
		return nil
	}
	var list struct{ Metadata metav1.ListMeta }
	if err := json.Unmarshal(r.body, &list); err != nil {
		return err
	}
	text, err := base64.RawURLEncoding.DecodeString(list.Metadata.ResourceVersion)
	if err != nil {
		return fmt.Errorf("resource version %q: %w", list.Metadata.ResourceVersion, err)
	}
	versions := map[string]string{}
	if err := json.Unmarshal(text, &versions); err != nil {
		return fmt.Errorf("resource version %s: %w", text, err)
	}
	delete(versions, "") // the point to resume from
	if got := strings.Join(slices.Sorted(maps.Keys(versions)), " "); got != e.Versions {
		return fmt.Errorf("the resource version is of %s, not of %s", got, e.Versions)
	}
	return nil
}
