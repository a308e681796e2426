package resources

import (
	"context"
	"errors"
	"iter"

	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// Found are objects that flow from the storage layer while they are written to the
// client. They can be read once.
type Found struct {
	// Count is how many were read.
	Count int64
	// Page is set when the objects have ended.
	Page query.Page

	objects func() (*storage.Object, bool)
	stop    func()
	// first is the object that was fetched before the answer began.
	first *storage.Object
	err   error
	fail  func(error) error
}

// ErrClosed is what the storage layer gets when a search is closed before its end.
var ErrClosed = errors.New("the list was closed")

// Find starts to search. The first object is fetched, so that a query that fails does so
// before the answer begins. What is found must be closed. fail makes of the storage
// layer's errors those that are returned.
func Find(ctx context.Context, st storage.Storage, q *query.Query, fail func(error) error) (*Found, error) {
	f := &Found{fail: fail}
	f.objects, f.stop = iter.Pull(func(yield func(*storage.Object) bool) {
		f.Page, f.err = st.List(ctx, q, func(o *storage.Object) error {
			if !yield(WithEvents(o)) {
				return ErrClosed
			}
			return nil
		})
	})
	if first, ok := f.objects(); ok {
		f.first = first
	} else if f.err != nil {
		f.stop()
		return nil, fail(f.err)
	}
	return f, nil
}

// Close ends the search, wherever it is.
func (f *Found) Close() { f.stop() }

// Each calls fn for every object, valid until fn returns.
func (f *Found) Each(fn func(*storage.Object) error) error {
	o := f.first
	f.first = nil
	for ok := o != nil; ok; o, ok = f.objects() {
		f.Count++
		if err := fn(o); err != nil {
			return err
		}
	}
	if f.err != nil {
		return f.fail(f.err)
	}
	return nil
}
