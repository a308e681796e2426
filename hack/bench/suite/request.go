package suite

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"clusterpedia.io/bench/baseline/classic"
	"clusterpedia.io/bench/report"
)

// request is what all servers are asked.
type request struct {
	// cluster is empty for all clusters.
	cluster string
	path    string
	limit   int
	// query holds more parameters of the URL; offset is how many objects to skip, for
	// those that page so.
	query  url.Values
	offset int
	accept string
	gzip   bool
	// read keeps the answer's items; otherwise it is thrown away as it comes.
	read bool
}

// What is asked for in place of the objects.
const (
	asTable    = "application/json;as=Table;v=v1;g=meta.k8s.io"
	asMetadata = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
)

// url returns the address for a server.
func (r request) url(server *server) string {
	values := url.Values{}
	for k, v := range r.query {
		values[k] = v
	}
	if r.limit > 0 {
		values.Set("limit", strconv.Itoa(r.limit))
	}
	if r.offset > 0 && server.name == report.Classic {
		values.Set("continue", strconv.Itoa(r.offset))
	}
	path := server.url + classic.Root
	if r.cluster != "" {
		path += "/clusters/" + r.cluster
	}
	return path + r.path + "?" + values.Encode()
}

// answer is what came.
type answer struct {
	took  time.Duration
	bytes int64
	items []json.RawMessage
}

// list is a list, a Table or a single object.
type list struct {
	Items []json.RawMessage `json:"items"`
	Rows  []json.RawMessage `json:"rows"`
	Kind  string            `json:"kind"`
}

// ask sends a request and reads the answer to its end.
func (s *suite) ask(ctx context.Context, server *server, r request) (answer, error) {
	return askWith(ctx, server.client, server, r)
}

func askWith(ctx context.Context, client *http.Client, server *server, r request) (a answer, err error) {
	address := r.url(server)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return a, err
	}
	req.Header.Set("Accept", "application/json")
	if r.accept != "" {
		req.Header.Set("Accept", r.accept)
	}
	if r.gzip {
		req.Header.Set("Accept-Encoding", "gzip")
	}
	began := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 500)) // for the message
		return a, fmt.Errorf("%s: GET %s: %s: %s", server.name, address, resp.Status, strings.TrimSpace(string(text)))
	}
	if r.gzip && resp.Header.Get("Content-Encoding") != "gzip" {
		return a, fmt.Errorf("%s: GET %s: the answer is not compressed", server.name, address)
	}
	if r.read {
		if a.items, err = items(resp.Body, r.gzip); err != nil {
			err = fmt.Errorf("%s: GET %s: %w", server.name, address, err)
		}
		return a, err
	}
	if a.bytes, err = io.Copy(io.Discard, resp.Body); err != nil {
		return a, fmt.Errorf("%s: GET %s: %w", server.name, address, err)
	}
	a.took = time.Since(began)
	return a, nil
}

// items reads the items of a list, the rows of a Table, or a single object.
func items(body io.Reader, compressed bool) ([]json.RawMessage, error) {
	if compressed {
		var err error
		if body, err = gzip.NewReader(body); err != nil {
			return nil, err
		}
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	var l list
	if err := json.Unmarshal(text, &l); err != nil {
		return nil, err
	}
	all := slices.Concat(l.Items, l.Rows)
	if len(all) == 0 && !strings.HasSuffix(l.Kind, "List") && l.Kind != "Table" {
		all = []json.RawMessage{text}
	}
	return all, nil
}
