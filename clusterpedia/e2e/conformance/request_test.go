package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// root is the path of the aggregated API.
const root = "/apis/clusterpedia.io/v1beta1"

// response is what a request was answered with.
type response struct {
	url    string
	status int
	header http.Header
	body   []byte
}

// String shows a response in a test's failure.
func (r *response) String() string {
	const limit = 3000
	body, url := string(r.body), r.url
	if len(body) > limit {
		body = body[:limit] + "..."
	}
	if len(url) > limit {
		url = url[:limit] + "..."
	}
	var headers []string
	for _, name := range []string{"Content-Type", "Warning"} {
		for _, value := range r.header.Values(name) {
			headers = append(headers, name+": "+value)
		}
	}
	return fmt.Sprintf("%s\n%d %s\n%s", url, r.status, strings.Join(headers, "\n"), body)
}

// expand writes out a URL in the terms of the contract.
func expand(short string) string {
	short = unroll(short)
	cluster := regexp.MustCompile(`^C\(([^)]*)\)`)
	switch path, _, _ := strings.Cut(short, "?"); {
	case strings.HasPrefix(short, "/"):
		return escape(short)
	case cluster.MatchString(path):
		return escape(cluster.ReplaceAllString(short, root+"/resources/clusters/$1"))
	}
	end := strings.IndexAny(short, "/?")
	if end < 0 {
		end = len(short)
	}
	start, known := map[string]string{
		"B": root, "M": root + "/resources", "D": root + "/resources/apis/apps/v1/deployments", "CO": root + "/collectionresources",
	}[short[:end]]
	if !known {
		return "/unknown abbreviation " + short
	}
	return escape(start + short[end:])
}

// repeated is text that stands many times in a URL: {{repeat 3 a,}} is a,a,a, and
// {{count 3 a%d,}} is a0,a1,a2, .
var repeated = regexp.MustCompile(`\{\{(repeat|count) (\d+) (.*?)\}\}`)

// unroll writes out what is repeated.
func unroll(text string) string {
	return repeated.ReplaceAllStringFunc(text, func(found string) string {
		parts := repeated.FindStringSubmatch(found)
		times, _ := strconv.Atoi(parts[2]) // digits
		if parts[1] == "repeat" {
			return strings.Repeat(parts[3], times)
		}
		var out strings.Builder
		for n := range times {
			fmt.Fprintf(&out, parts[3], n)
		}
		return out.String()
	})
}

// listVersion stands for the resource version of a list: {{rv D}}.
var listVersion = regexp.MustCompile(`\{\{rv ([^}]*)\}\}`)

// escape escapes what cannot stand in a URL.
func escape(text string) string {
	var out strings.Builder
	for _, b := range []byte(text) {
		if b <= ' ' || b >= 0x7f || strings.IndexByte("\"<>\\^`{|}", b) >= 0 {
			fmt.Fprintf(&out, "%%%02X", b)
		} else {
			out.WriteByte(b)
		}
	}
	return out.String()
}

// address returns the URL of a case's request, below that of its server.
func (c *Case) address(base, short string) string {
	address := base + expand(short)
	if len(c.Labels) == 0 {
		return address
	}
	separator := "?"
	if strings.Contains(short, "?") {
		separator = "&"
	}
	return address + separator + "labelSelector=" + url.QueryEscape(strings.Join(c.Labels, ","))
}

// send sends one of the requests of a case.
func (d *deployment) send(ctx context.Context, c *Case, short string) (*response, error) {
	base, err := d.with(ctx, c.Server)
	if err != nil {
		return nil, err
	}
	if c.Via == "host" {
		base = d.Host.URL()
	}
	if found := listVersion.FindStringSubmatch(short); found != nil {
		list, err := d.request(ctx, &Case{As: c.As}, base+expand(found[1]))
		if err != nil {
			return nil, err
		}
		var got struct{ Metadata metav1.ListMeta }
		if err := json.Unmarshal(list.body, &got); err != nil {
			return nil, fmt.Errorf("%w in %s", err, list)
		}
		short = strings.Replace(short, found[0], got.Metadata.ResourceVersion, 1)
	}
	return d.request(ctx, c, c.address(base, short))
}

// request sends a request as a case has it.
func (d *deployment) request(ctx context.Context, c *Case, address string) (*response, error) {
	return d.requestBy(ctx, d.client, c, address)
}

func (d *deployment) requestBy(ctx context.Context, client *http.Client, c *Case, address string) (*response, error) {
	method := c.Method
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, err
	}
	for name, value := range c.Header {
		req.Header.Set(name, value)
	}
	if c.Accept != "" {
		req.Header.Set("Accept", c.Accept)
	}
	if token := users()[c.user()]; token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return &response{method + " " + address, resp.StatusCode, resp.Header, body}, err
}

// get sends a plain request of the admin.
func (d *deployment) get(ctx context.Context, address string) (*response, error) {
	return d.request(ctx, &Case{}, address)
}
