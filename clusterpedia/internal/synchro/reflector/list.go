package reflector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"clusterpedia.io/clusterpedia/internal/membercluster"
	"clusterpedia.io/clusterpedia/internal/synchro/document"
	"clusterpedia.io/clusterpedia/internal/synchro/stream"
)

// pageAttempts is how often a page is asked for anew before the list is: the way to
// the member may be bad, and what was read need not be read again.
const pageAttempts = 5

// pagedAttempts is the number of times that a list is read in pages before it is
// read in one piece: a page can come too late, when the version that the list
// began with is forgotten.
const pagedAttempts = 3

// list lists all objects and returns the version of the list.
func (r *Reflector) list(ctx context.Context) (string, error) {
	if r.Lists != nil {
		select {
		case r.Lists <- struct{}{}:
			defer func() { <-r.Lists }()
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	// What was asked for until now is what is done here.
	select {
	case <-r.relist:
	default:
	}
	if r.Doubted() {
		r.Logger.Info("The member was restored from a backup, as other resources show: list all, and write it again", "path", r.Path)
		r.Sink.BeginList() // a list that was not read to its end is no better
		r.behind()
	}
	for attempt := 1; ; attempt++ {
		limit := r.PageSize
		if attempt > pagedAttempts {
			limit = 0
		}
		version, err := r.listOnce(ctx, limit)
		if err == nil || limit == 0 || !expired(err) {
			return version, err
		}
		r.Logger.V(2).Info("A page of the list came too late, list again", "path", r.Path, "attempt", attempt)
	}
}

func (r *Reflector) listOnce(ctx context.Context, limit int64) (string, error) {
	r.Sink.BeginList()
	version, token := "", ""
	for {
		page, err := r.readPage(ctx, limit, token)
		if err != nil {
			return "", fmt.Errorf("list %s: %w", r.Path, err)
		}
		if version == "" {
			version = page.ResourceVersion
			if n, err := strconv.ParseUint(version, 10, 64); err == nil && n != 0 && n < r.Newest {
				r.foundBehind()
				return r.listOnce(ctx, limit)
			}
		}
		if page.Continue == "" {
			return version, r.Sink.EndList(ctx)
		}
		token = page.Continue
	}
}

// readPage reads one page, or the whole list if limit is 0.
func (r *Reflector) readPage(ctx context.Context, limit int64, token string) (stream.List, error) {
	query := r.query()
	if limit > 0 {
		query.Set("limit", strconv.FormatInt(limit, 10))
	}
	if token != "" {
		query.Set("continue", token)
	}
	for attempt := 1; ; attempt++ {
		page, err := r.readList(ctx, query, func(item []byte) error {
			head, err := document.ReadHead(item)
			if err != nil {
				r.Sink.Unreadable(err)
				return nil
			}
			return r.Sink.Listed(ctx, head, item)
		})
		if err == nil || token == "" || attempt == pageAttempts || expired(err) || ctx.Err() != nil {
			return page, err
		}
		r.Sink.Failed(fmt.Errorf("list %s: %w", r.Path, err))
		if err := r.pause(ctx, err); err != nil {
			return page, err // what was read is too old for whoever asked
		}
	}
}

// query returns what each request has.
func (r *Reflector) query() url.Values {
	if r.FieldSelector == "" {
		return url.Values{}
	}
	return url.Values{"fieldSelector": {r.FieldSelector}}
}

func (r *Reflector) readList(ctx context.Context, query url.Values, yield func([]byte) error) (stream.List, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	body, err := r.get(ctx, cancel, query)
	if err != nil {
		return stream.List{}, err
	}
	defer body.Close()
	list, err := stream.ReadList(body, yield)
	return list, causeOf(ctx, err)
}

// get sends a request; cancel ends it when the member is silent for too long,
// before the answer or within it.
func (r *Reflector) get(ctx context.Context, cancel context.CancelCauseFunc, query url.Values) (io.ReadCloser, error) {
	body := &impatient{stall: r.Stall}
	body.timer = time.AfterFunc(r.Stall, func() { cancel(fmt.Errorf("the member sent nothing for %s", r.Stall)) })
	response, err := r.Client.Get(ctx, membercluster.Request{Path: r.Path, Query: query}) //nolint:bodyclose // The caller closes it.
	body.timer.Stop()
	if err != nil {
		return nil, causeOf(ctx, err)
	}
	body.ReadCloser = response.Body
	return body, nil
}

// causeOf returns why ctx ended in place of what follows from that.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

// impatient is a body whose timer runs while a read waits for the member, and not
// while the reader is at work.
type impatient struct {
	io.ReadCloser
	timer *time.Timer
	stall time.Duration
}

// Read implements io.Reader.
func (b *impatient) Read(p []byte) (int, error) {
	b.timer.Reset(b.stall)
	defer b.timer.Stop()
	return b.ReadCloser.Read(p)
}

// Close implements io.Closer.
func (b *impatient) Close() error {
	b.timer.Stop()
	return b.ReadCloser.Close()
}

var errBehind = errors.New("the member's version is lower than what was read before: it was restored from a backup")

// checkVersion returns errBehind if the member's version is lower than one that was
// seen before. A watch from a version that is still to come would be silent until
// then.
func (r *Reflector) checkVersion(ctx context.Context, seen string) error {
	before, err := strconv.ParseUint(seen, 10, 64)
	if err != nil {
		return nil //nolint:nilerr // Versions that are no numbers cannot be compared.
	}
	query := r.query()
	query.Set("limit", "1")
	list, err := r.readList(ctx, query, func([]byte) error { return nil })
	if err != nil {
		return fmt.Errorf("list %s: %w", r.Path, err)
	}
	if now, err := strconv.ParseUint(list.ResourceVersion, 10, 64); err == nil && now < before {
		return errBehind
	}
	return nil
}
