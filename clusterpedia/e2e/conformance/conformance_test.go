package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/testbed/build"
)

var shared = bed{deployments: map[string]*started{}}

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		code = 1
	}
	os.Exit(code) //nolint:forbidigo // this is a main
}

func run(m *testing.M) (code int, err error) {
	if testing.Short() {
		return m.Run(), nil // the tests that need clusters skip themselves
	}
	if shared.root, err = filepath.Abs("../../.."); err != nil {
		return 0, err
	}
	if shared.bin = os.Getenv("CLUSTERPEDIA_BIN"); shared.bin == "" {
		shared.bin = filepath.Join(shared.root, "bin")
	}
	if shared.bin, err = filepath.Abs(shared.bin); err != nil {
		return 0, err
	}
	if _, err := os.Stat(filepath.Join(shared.bin, "plugins", "memorystorage.so")); err != nil {
		return 0, fmt.Errorf("%w; build it with: make all", err)
	}
	if shared.binaries, err = build.Programs(context.Background(), filepath.Join(shared.root, "hack", "testbed"), os.Stderr, build.ControlPlane()...); err != nil {
		return 0, err
	}
	if shared.dir, err = os.MkdirTemp("", "clusterpedia-conformance-"); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, shared.stop(), os.RemoveAll(shared.dir)) }()
	return m.Run(), nil
}

// stop stops all deployments.
func (b *bed) stop() error {
	var stopping sync.WaitGroup
	errs := make(chan error, len(b.deployments))
	for _, s := range b.deployments {
		stopping.Go(func() { errs <- s.stop() })
	}
	stopping.Wait()
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// TestConformance runs the cases of testdata/cases on every storage.
//
//nolint:tparallel // what the other tests load would be found, too
func TestConformance(t *testing.T) {
	files, err := readCases("testdata/cases")
	require.NoError(t, err)
	for _, storage := range storages() {
		t.Run(storage, func(t *testing.T) {
			t.Parallel()
			d := shared.deployment(t, storage)
			for _, f := range files {
				t.Run(f.name, func(t *testing.T) {
					t.Parallel()
					for _, c := range f.cases {
						if c.isFor(storage) {
							t.Run(c.Case, func(t *testing.T) {
								t.Parallel()
								d.try(t, c)
							})
						}
					}
				})
			}
		})
	}
}

// try runs a case.
func (d *deployment) try(t *testing.T, c *Case) {
	t.Helper()
	var errs []error
	for _, url := range c.URL {
		errs = append(errs, d.check(t.Context(), c, url))
	}
	err := errors.Join(errs...)
	switch {
	case c.Pending == "" && err != nil:
		if c.Note != "" {
			err = fmt.Errorf("%w\nnote: %s", err, c.Note)
		}
		t.Error(err)
	case c.Pending != "" && err == nil:
		t.Errorf("passes, but is marked as pending: %s", c.Pending)
	case c.Pending != "":
		why, _, _ := strings.Cut(err.Error(), "\n")
		t.Skipf("pending: %s (%s)", c.Pending, why)
	}
}

// check sends one request of a case, or those that follow it, and compares.
func (d *deployment) check(ctx context.Context, c *Case, short string) error {
	r, err := d.send(ctx, c, short)
	if err == nil && c.Follow {
		err = d.follow(ctx, c, short, r)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", short, err)
	}
	expect := c.Expect
	errs := []error{expect.compare(r)}
	if c.Hostile {
		errs = append(errs, d.unharmed(c, short, r))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w\n%s", err, r)
	}
	return nil
}

// follow asks for the pages behind r, and adds their items to its.
func (d *deployment) follow(ctx context.Context, c *Case, short string, r *response) error {
	var all []json.RawMessage
	for page, more := r, true; more; {
		var list struct {
			Metadata struct{ Continue string }
			Continue string
			Items    []json.RawMessage
		}
		if err := json.Unmarshal(page.body, &list); err != nil {
			return fmt.Errorf("%w in %s", err, page)
		}
		all = append(all, list.Items...)
		token := list.Metadata.Continue + list.Continue
		if more = token != ""; !more {
			break
		}
		var err error
		if page, err = d.send(ctx, c, short+"&continue="+url.QueryEscape(token)); err != nil {
			return err
		}
		if len(all) > 10000 {
			return errors.New("the pages do not end")
		}
	}
	body, err := json.Marshal(map[string]any{"items": all})
	r.body = body
	return err
}

// secrets of the database: what its errors, and those of its driver, are made of.
var databaseText = regexp.MustCompile(`(?i)sqlstate|sqlite|postgres|mysql|mariadb|gorm|pgx|syntax|no such|unknown column|\bselect\b|\bwhere\b|\bfrom resources\b|near "|driver|error \d{4}|panic|goroutine|runtime error`)

// unharmed returns what is wrong after a hostile request.
func (d *deployment) unharmed(c *Case, short string, r *response) error {
	var errs []error
	if r.status >= 400 {
		if text := databaseText.FindString(strings.ReplaceAll(withoutInput(string(r.body), c.address("", short)), "invalid syntax", "")); text != "" {
			errs = append(errs, fmt.Errorf("the answer tells of the database: %q", text))
		}
	}
	if r.status >= 500 {
		errs = append(errs, errors.New("the server takes it for its own fault"))
	}
	if d.database != nil {
		now, err := d.database.fingerprint(d.storage)
		if err == nil && now != d.untouched {
			err = fmt.Errorf("the database has changed from\n%s\nto\n%s", d.untouched, now)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// withoutInput removes from a message what the client itself wrote.
func withoutInput(body, address string) string {
	_, query, _ := strings.Cut(address, "?")
	var inputs []string
	for pair := range strings.SplitSeq(query, "&") {
		_, value, _ := strings.Cut(pair, "=")
		value, err := url.QueryUnescape(value)
		if err != nil {
			continue
		}
		for _, piece := range append(strings.Split(value, ","), value) {
			for _, text := range []string{piece, fmt.Sprintf("%q", piece)} {
				asJSON, _ := json.Marshal(text) // a text can be
				inputs = append(inputs, text, strings.Trim(string(asJSON), `"\`))
			}
		}
	}
	// The longest first: others are parts of them.
	slices.SortFunc(inputs, func(a, b string) int { return len(b) - len(a) })
	for _, input := range inputs {
		if len(input) > 2 {
			body = strings.ReplaceAll(body, input, "")
		}
	}
	return body
}
