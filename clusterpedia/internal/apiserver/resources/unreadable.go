package resources

import (
	"errors"
	"fmt"
	"regexp"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"clusterpedia.io/clusterpedia/internal/rawjson"
	"clusterpedia.io/storage-api/storage"
)

var (
	errNoObject = errors.New("it is no JSON object")
	errMetadata = errors.New("its metadata is no object")
)

// fieldOfError is what a decoder's error says of the place, by the names of Go's fields.
var fieldOfError = regexp.MustCompile(`Go struct field ([\w.]+) of type`)

// unreadable returns a Status for a stored document that cannot be given out in the format
// that was asked for. It names the object.
func (s *scope) unreadable(key storage.Key, why error) error {
	return unreadable(key, s.Kind.Kind, why)
}

func unreadable(key storage.Key, kind string, why error) error {
	served := ", but is served in JSON as it is"
	if errors.Is(why, errNoObject) {
		served = ""
	}
	return apierrors.NewInternalError(fmt.Errorf("the stored object %s cannot be read as %s%s: %w", key, kind, served, why))
}

// CheckObject returns a Status that names a stored object whose document is none of an
// object, as its item in an answer that has documents as they are.
func CheckObject(o *storage.Object) error {
	if isObject(o.JSON) {
		return nil
	}
	return unreadable(o.Key, o.Kind, errNoObject)
}

// Unreadable returns a Status that names a stored object whose document cannot be read, as
// its decoder says, and repeats nothing of it.
func Unreadable(o *storage.Object, err error) error {
	return unreadable(o.Key, o.Kind, flaw(o.JSON, err))
}

// flaw says why a stored document cannot be read. A decoder's error is not passed on: it may
// repeat what it has read, which may be a Secret.
func flaw(doc []byte, err error) error {
	if !isObject(doc) {
		return errNoObject
	}
	fields := map[string][]byte{}
	if rawjson.Fields(doc, func(name, value []byte) bool { fields[string(name)] = value; return true }) != nil {
		return errors.New("it is malformed JSON")
	}
	for _, name := range []string{"kind", "apiVersion"} {
		if fields[name] == nil {
			return errors.New("it has no " + name)
		}
	}
	if metadata, ok := fields["metadata"]; ok && !isObject(metadata) {
		return errMetadata
	}
	if found := fieldOfError.FindStringSubmatch(err.Error()); found != nil {
		return fmt.Errorf("the value of %s is of another type", found[1])
	}
	return errors.New("a value is none that its field may have")
}

// isObject reports whether a document is an object, whatever stands in it.
func isObject(doc []byte) bool {
	i := rawjson.SkipSpace(doc, 0)
	return i < len(doc) && doc[i] == '{'
}
