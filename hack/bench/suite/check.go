package suite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"clusterpedia.io/bench/report"
)

// mostCompared is how many items are compared at most: to decode them takes long.
const mostCompared = 2000

// check sees to it that all servers give as many items, and some, and that objects which
// several of them give are the same.
func (s *suite) check(ctx context.Context, row row) error {
	r := row.request
	r.read = true
	var own []json.RawMessage
	for _, server := range s.of(row) { // Clusterpedia is the first
		a, err := s.ask(ctx, server, r)
		if err != nil {
			return err
		}
		if server.name == report.Own {
			own = a.items
		}
		if len(a.items) != len(own) {
			return fmt.Errorf("%s: %s gives %d items and clusterpedia %d", row.name, server.name, len(a.items), len(own))
		}
		if len(own) > mostCompared {
			continue
		}
		compare := same
		if r.accept == asTable {
			compare = sameRows
		}
		if err := compare(own, a.items); err != nil {
			return fmt.Errorf("%s: %s and clusterpedia: %w", row.name, server.name, err)
		}
	}
	if len(own) == 0 {
		return errors.New(row.name + ": nothing is found")
	}
	s.say("%s: %d items", row.title, len(own))
	return nil
}

// same returns an error if an object of both lists is not the same in both. Items of
// lists may name their kind or leave it out.
func same(a, b []json.RawMessage) error {
	known := map[string]map[string]any{}
	for _, text := range a {
		uid, o, err := decode(text)
		if err != nil {
			return err
		}
		known[uid] = o
	}
	for _, text := range b {
		uid, o, err := decode(text)
		if err != nil {
			return err
		}
		if other, ok := known[uid]; ok && !reflect.DeepEqual(other, o) {
			return fmt.Errorf("object %s differs: %v and %v", uid, other, o)
		}
	}
	return nil
}

// sameRows returns an error if a pod of both tables has not the same row in both, but for its
// age, and the cluster that is a column of Clusterpedia's.
func sameRows(a, b []json.RawMessage) error {
	known := map[string]string{}
	for _, rows := range [][]json.RawMessage{a, b} {
		for _, text := range rows {
			var row struct {
				Cells  []any
				Object json.RawMessage
			}
			if err := json.Unmarshal(text, &row); err != nil {
				return err
			}
			uid, _, err := decode(row.Object)
			if err != nil {
				return err
			}
			const behindAge = 4 // IP, node, nominated node, readiness gates
			age := len(row.Cells) - behindAge - 1
			if age < 4 {
				return fmt.Errorf("a row of %d cells", len(row.Cells))
			}
			shown := fmt.Sprint(row.Cells[age-4:age], row.Cells[age+1:])
			if other, ok := known[uid]; ok && other != shown {
				return fmt.Errorf("the row of pod %s differs: %s and %s", uid, other, shown)
			}
			known[uid] = shown
		}
	}
	return nil
}

func decode(text []byte) (uid string, o map[string]any, err error) {
	if err := json.Unmarshal(text, &o); err != nil {
		return "", nil, err
	}
	delete(o, "kind")
	delete(o, "apiVersion")
	metadata, _ := o["metadata"].(map[string]any)
	if uid, _ = metadata["uid"].(string); uid == "" {
		return "", nil, fmt.Errorf("an item without metadata.uid: %.200s", text)
	}
	return uid, o, nil
}
