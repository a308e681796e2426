package membercluster

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
)

const (
	dialTimeout   = 30 * time.Second
	dialKeepAlive = 30 * time.Second
	// maxErrorBody bounds what is read of an error response.
	maxErrorBody = 64 << 10
)

// Client sends requests to one member cluster. It has connections of its own,
// which Close ends. All methods may be called concurrently.
type Client struct {
	base      *url.URL
	http      *http.Client
	transport *http.Transport
	config    *rest.Config
}

// NewClient returns a client for the connection. It doesn't contact the member.
//
// The transport is the client's own and not from client-go's cache, which would
// keep those of replaced credentials for as long as the process lives.
func NewClient(config *rest.Config) (*Client, error) {
	base, err := ServerURL(config)
	if err != nil {
		return nil, err
	}
	transport, err := NewTransport(config)
	if err != nil {
		return nil, err
	}
	wrapped, err := rest.HTTPWrappersForConfig(config, transport)
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	return &Client{base: base, http: &http.Client{Transport: wrapped}, transport: transport, config: config}, nil
}

// ServerURL returns the address of a connection's server, with the path that stands
// before those of the API.
func ServerURL(config *rest.Config) (*url.URL, error) {
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("apiserver: %w", err)
	}
	return base, nil
}

// NewTransport returns a transport of its own for a connection. It authenticates by
// the connection's certificate alone. If the TLS settings name protocols without
// HTTP/2, it speaks HTTP/1.1.
func NewTransport(config *rest.Config) (*http.Transport, error) {
	tlsConfig, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	if tlsConfig == nil {
		tlsConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return utilnet.SetTransportDefaults(&http.Transport{
		Proxy:               config.Proxy,
		TLSClientConfig:     tlsConfig,
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: 25,
		DialContext:         (&net.Dialer{Timeout: dialTimeout, KeepAlive: dialKeepAlive}).DialContext,
		DisableCompression:  config.DisableCompression,
	}), nil
}

// Close ends the connections that are not in use. Those in use end with the
// contexts of their requests.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Config returns what the client was made from; it must not be changed.
func (c *Client) Config() *rest.Config { return c.config }

// HTTP returns the authenticated HTTP client.
func (c *Client) HTTP() *http.Client { return c.http }

// Request is a GET request to a member.
type Request struct {
	// Path is the absolute path, such as "/api/v1/pods".
	Path string
	// Query may be nil.
	Query url.Values
	// Accept is the media types that are wanted; empty: application/json.
	Accept string
	// ETag is that of an earlier answer; empty: none.
	ETag string
}

// Get sends a GET request. Answers other than 200, and 304 to a request with an
// ETag, are returned as errors, as far as possible those of
// k8s.io/apimachinery/pkg/api/errors. The caller closes the response's body.
func (c *Client) Get(ctx context.Context, r Request) (*http.Response, error) {
	target := *c.base
	target.Path = strings.TrimSuffix(target.Path, "/") + r.Path
	target.RawQuery = r.Query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	if r.Accept == "" {
		r.Accept = "application/json"
	}
	request.Header.Set("Accept", r.Accept)
	if r.ETag != "" {
		request.Header.Set("If-None-Match", r.ETag)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusOK || (r.ETag != "" && response.StatusCode == http.StatusNotModified) {
		return response, nil
	}
	defer response.Body.Close()
	return nil, responseError(r.Path, response)
}

// Finds reports whether the member has anything to list at a path: false if it answers
// that nothing is found there. Any other answer is an error.
func (c *Client) Finds(ctx context.Context, path string) (bool, error) {
	response, err := c.Get(ctx, Request{Path: path, Query: url.Values{"limit": {"1"}}})
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, response.Body.Close()
}

// getBytes returns the body of a small answer.
func (c *Client) getBytes(ctx context.Context, path string, limit int64) ([]byte, error) {
	response, err := c.Get(ctx, Request{Path: path})
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return readLimited(response.Body, limit)
}

func readLimited(r io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("answer is longer than %d bytes", limit)
	}
	return body, nil
}

func responseError(path string, response *http.Response) error {
	// A body that cannot be read leaves the status code, which says enough.
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxErrorBody))
	if err := StatusError(body); err != nil {
		return err
	}
	delay, err := strconv.Atoi(response.Header.Get("Retry-After"))
	if err != nil {
		delay = 0
	}
	return apierrors.NewGenericServerResponse(response.StatusCode, "get", schema.GroupResource{}, path, strings.TrimSpace(string(body)), delay, true)
}

// StatusError returns the error that a metav1.Status document describes, or nil if
// the document is none or describes a success.
func StatusError(document []byte) error {
	var status metav1.Status
	err := json.Unmarshal(document, &status)
	if isStatus := err == nil && status.Kind == "Status"; !isStatus || status.Status != metav1.StatusFailure {
		return nil
	}
	return apierrors.FromObject(&status)
}
