package stream

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// List is what a list says beside its items.
type List struct {
	APIVersion, Kind string
	metav1.ListMeta
}

// ReadList reads one list and calls yield with each item as it arrives; an item is
// valid until yield returns. The list came in full only if the error is nil. An
// error of yield ends the list and is returned as it is.
func ReadList(body io.Reader, yield func(item []byte) error) (List, error) {
	var list List
	r := NewReader(body)
	hasItems, hasMetadata := false, false
	err := r.object(func(name string) error {
		if name == "items" {
			hasItems = true
			if c, err := r.peek(); err == nil && c == '[' {
				return r.array(yield)
			}
		}
		value, err := r.value()
		if err != nil {
			return err
		}
		switch name {
		case "items": // no array: Go writes null for an empty list
			if string(value) != "null" {
				return errors.New("items is not an array")
			}
		case "apiVersion":
			return decode(name, value, &list.APIVersion)
		case "kind":
			return decode(name, value, &list.Kind)
		case "metadata":
			hasMetadata = true
			return decode(name, value, &list.ListMeta)
		}
		return nil
	})
	if err != nil {
		return List{}, err
	}
	if !hasItems || !hasMetadata {
		return List{}, fmt.Errorf("the answer, of kind %q, is not a list", list.Kind)
	}
	if _, err := r.peek(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = errors.New("more behind the list")
		}
		return List{}, err
	}
	return list, nil
}

func decode(name string, value []byte, into any) error {
	if err := json.Unmarshal(value, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Event is one event of a watch.
type Event struct {
	// Type is one of those of k8s.io/apimachinery/pkg/watch.
	Type string
	// Object is the object's document, valid until the next call.
	Object []byte
}

// Next reads the next event of a watch. At the end of the stream it returns
// io.EOF.
func (r *Reader) Next() (Event, error) {
	if r.start == r.end && len(r.buf) > largeBuffer {
		r.buf, r.start, r.end = make([]byte, firstBuffer), 0, 0
	}
	if _, err := r.peek(); err != nil {
		return Event{}, err
	}
	// An event is held as a whole: its type may come behind its object.
	frame, err := r.value()
	if err != nil {
		return Event{}, err
	}
	var event Event
	inner := Reader{r: nothing{}, buf: frame, end: len(frame), max: len(frame)}
	err = inner.object(func(name string) error {
		value, err := inner.value()
		if err != nil {
			return err
		}
		switch name {
		case "type":
			return decode(name, value, &event.Type)
		case "object":
			event.Object = slices.Clip(value)
		}
		return nil
	})
	if err != nil {
		return Event{}, fmt.Errorf("event: %w", err)
	}
	if event.Type == "" || len(event.Object) == 0 {
		return Event{}, errors.New("event without type or object")
	}
	return event, nil
}

// nothing is an empty stream.
type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, io.EOF }
