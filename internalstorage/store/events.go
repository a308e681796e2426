package store

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"gorm.io/gorm"

	"clusterpedia.io/internalstorage/dialect"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// Of an object the newest leastEvents events are kept, and of those behind them, up to
// maxEvents, the ones that happened within maxEventAge, in seconds, of the newest.
const (
	leastEvents = 10
	maxEvents   = 30
	maxEventAge = 24 * 60 * 60
)

// Events are kept in three columns of their object's row: events maps UIDs to
// documents, and event_resource_versions "namespace/name" to versions, as older
// releases have them; event_state maps UIDs to what the contract asks for beyond.
type eventColumns struct {
	ID                            uint64
	Events, EventResourceVersions []byte
	EventState                    []byte
	documents                     map[string]json.RawMessage
	versions                      map[string]any
	state                         map[string]eventState
}

type eventState struct {
	ResourceVersion string `json:"rv"`
	LastSeen        int64  `json:"seen"`
	// Name is the event's key in event_resource_versions.
	Name string `json:"name,omitempty"`
}

// recordEvents applies a run of changes that are all events.
func (s *Store) recordEvents(tx *gorm.DB, cluster string, changes []storage.Change) error {
	byObject := map[string][]*storage.Event{}
	for _, c := range changes {
		byObject[c.Event.Involved] = append(byObject[c.Event.Involved], c.Event)
	}
	for uid, events := range byObject {
		if uid == "" {
			continue
		}
		var found []eventColumns
		where := dialect.Exprf("%s AND %s", s.dialect().Equal("cluster", []string{cluster}), s.dialect().Equal("uid", []string{uid}))
		err := tx.Raw("SELECT id, events, event_resource_versions, event_state FROM resources WHERE "+where.SQL+s.dialect().ForUpdate(), where.Args...).Scan(&found).Error
		if err != nil {
			return err
		}
		for i := range found {
			changed, err := found[i].record(events)
			if err != nil {
				return fmt.Errorf("events of %s: %w", uid, err)
			}
			if !changed {
				continue
			}
			if err := s.writeEvents(tx, &found[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// record records events, and reports whether that changes anything: a manager that starts
// brings again those that are too many.
func (e *eventColumns) record(events []*storage.Event) (changed bool, err error) {
	e.documents, e.versions, e.state = map[string]json.RawMessage{}, map[string]any{}, map[string]eventState{}
	for _, c := range []struct {
		text []byte
		into any
	}{{e.Events, &e.documents}, {e.EventResourceVersions, &e.versions}, {e.EventState, &e.state}} {
		if len(c.text) > 0 {
			if err := json.Unmarshal(c.text, c.into); err != nil {
				return false, err
			}
		}
	}
	documents, states := len(e.documents), maps.Clone(e.state)
	for _, event := range events {
		if event.JSON == nil {
			e.forget(event.UID)
			continue
		}
		state := eventState{ResourceVersion: event.ResourceVersion, LastSeen: event.LastSeen, Name: eventName(event.JSON)}
		if e.documents[event.UID] != nil && e.state[event.UID] == state {
			continue
		}
		e.documents[event.UID], e.state[event.UID] = json.RawMessage(event.JSON), state
		if state.Name != "" {
			e.versions[state.Name] = bareNumber(event.ResourceVersion)
		}
	}
	uids := make([]string, 0, len(e.documents))
	for uid := range e.documents {
		uids = append(uids, uid)
	}
	newest := int64(0)
	for _, s := range e.state {
		newest = max(newest, s.LastSeen)
	}
	slices.SortFunc(uids, func(a, b string) int {
		return cmp.Or(cmp.Compare(e.state[b].LastSeen, e.state[a].LastSeen), cmp.Compare(a, b))
	})
	for i, uid := range uids {
		if i >= maxEvents || i >= leastEvents && e.state[uid].LastSeen < newest-maxEventAge {
			e.forget(uid)
		}
	}
	return len(e.documents) != documents || !maps.Equal(e.state, states), nil
}

// bareNumber is how older releases keep a version that is a number.
func bareNumber(version string) any {
	if query.VersionNumber(version) > 0 && version[0] != '0' {
		return json.Number(version)
	}
	return version
}

func (e *eventColumns) forget(uid string) {
	// v0.9 leaves no state.
	delete(e.versions, cmp.Or(e.state[uid].Name, eventName(e.documents[uid])))
	delete(e.documents, uid)
	delete(e.state, uid)
}

func eventName(doc []byte) string {
	var event struct {
		Metadata struct{ Namespace, Name string }
	}
	if err := json.Unmarshal(doc, &event); err != nil || event.Metadata.Name == "" {
		return ""
	}
	return event.Metadata.Namespace + "/" + event.Metadata.Name
}

func (s *Store) writeEvents(tx *gorm.DB, e *eventColumns) error {
	texts := make([]any, 0, 4)
	for _, v := range []any{e.documents, e.versions, e.state} {
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		texts = append(texts, string(text))
	}
	return tx.Exec("UPDATE resources SET events = ?, event_resource_versions = ?, event_state = ? WHERE id = ?", append(texts, e.ID)...).Error
}

// eventVersions reads column event_state.
func eventVersions(text []byte) (map[string]string, error) {
	if len(text) == 0 {
		return nil, nil
	}
	var state map[string]eventState
	if err := json.Unmarshal(text, &state); err != nil {
		return nil, fmt.Errorf("event_state: %w", err)
	}
	if len(state) == 0 {
		return nil, nil
	}
	versions := make(map[string]string, len(state))
	for uid, s := range state {
		versions[uid] = s.ResourceVersion
	}
	return versions, nil
}
