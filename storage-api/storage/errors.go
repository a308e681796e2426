package storage

import (
	"errors"
	"fmt"

	"clusterpedia.io/storage-api/query"
)

// Errors of a storage layer, found with errors.Is.
var (
	// ErrNotFound says that no object has that key.
	ErrNotFound = errors.New("object not found")
	// ErrUnsupported says that the storage layer cannot do what was asked.
	ErrUnsupported = errors.New("not supported by this storage layer")
	// ErrFenced says that the writer was overtaken by one with a higher epoch and
	// must stop.
	ErrFenced = errors.New("fenced: a writer with a higher epoch has taken over the cluster")
	// ErrExpired says that a point to resume a watch from is too old.
	ErrExpired = errors.New("the version to resume from is too old")
)

// FencedError is the error of Storage.Apply and Storage.Purge that is ErrFenced. It
// tells a writer that knows that it is the rightful one, after the host cluster was
// restored from a backup for example, which epoch it has to pass.
type FencedError struct {
	// Writer is who was refused, Seen the highest epoch that has written.
	Writer Writer
	Seen   int64
}

// Error implements error.
func (e *FencedError) Error() string {
	return fmt.Sprintf("cluster %s: epoch %d was overtaken by epoch %d: %v", e.Writer.Cluster, e.Writer.Epoch, e.Seen, ErrFenced)
}

// Unwrap returns ErrFenced.
func (e *FencedError) Unwrap() error { return ErrFenced }

// InvalidQueryError says which part of a query cannot be answered.
type InvalidQueryError = query.InvalidQueryError

// InvalidObjectError says that an object can never be stored.
type InvalidObjectError struct {
	Key Key
	// Reason says why, without a final stop.
	Reason string
}

// Error implements error.
func (e *InvalidObjectError) Error() string {
	return fmt.Sprintf("object cannot be stored: %s: %s", e.Key, e.Reason)
}

// Retryable wraps err, so that IsRetryable holds for it: the same call may
// succeed later, as after a lost connection. It returns nil for nil.
func Retryable(err error) error {
	if err == nil {
		return nil
	}
	return &retryableError{err}
}

// IsRetryable reports whether err, or an error that it wraps, is retryable.
func IsRetryable(err error) bool {
	var r *retryableError
	return errors.As(err, &r)
}

type retryableError struct{ err error }

func (e *retryableError) Error() string { return e.err.Error() }
func (e *retryableError) Unwrap() error { return e.err }
