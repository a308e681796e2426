package visibility

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"

	"clusterpedia.io/storage-api/query"
)

// What may be visible to one search. Databases bind so many values, and nest so many
// alternatives.
const (
	maxScopes = 256
	maxTypes  = 500
	maxValues = 10_000
)

// merge puts scopes together that differ in their clusters alone, and then those that
// differ in their types alone.
func merge(scopes []query.Scope) []query.Scope {
	scopes = mergeBy(scopes, func(s query.Scope) string { return fmt.Sprintf("%q %q", s.Namespaces, s.Types) }, func(into *query.Scope, s query.Scope) {
		into.Clusters = union(into.Clusters, s.Clusters)
	})
	return mergeBy(scopes, func(s query.Scope) string { return fmt.Sprintf("%q %q", s.Clusters, s.Namespaces) }, func(into *query.Scope, s query.Scope) {
		into.Types = union(into.Types, s.Types)
	})
}

// mergeBy adds each scope to the first one that has the same key.
func mergeBy(scopes []query.Scope, key func(query.Scope) string, add func(into *query.Scope, s query.Scope)) []query.Scope {
	var merged []query.Scope
	at := map[string]int{}
	for _, s := range scopes {
		k := key(s)
		if i, ok := at[k]; ok {
			add(&merged[i], s)
			continue
		}
		at[k] = len(merged)
		merged = append(merged, s)
	}
	return merged
}

// union returns all values of two conditions; one without values holds for everything.
func union[T comparable](a, b []T) []T {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	all := slices.Clone(a)
	for _, v := range b {
		if !slices.Contains(a, v) {
			all = append(all, v)
		}
	}
	return all
}

// tooMany reports whether no database would bear the scopes.
func tooMany(scopes []query.Scope) bool {
	values := 0
	for _, s := range scopes {
		if len(s.Types) > maxTypes {
			return true
		}
		values += len(s.Clusters) + len(s.Namespaces) + len(s.Types)
	}
	return len(scopes) > maxScopes || values > maxValues
}

// Fingerprint tells apart what callers may see of the same search. It is empty for those
// who may see everything.
func Fingerprint(q *query.Query) string {
	if q.Visible == nil {
		return ""
	}
	text, err := json.Marshal([]any{q.Visible, q.Owner, q.Namespaces, q.Events})
	if err != nil {
		return "" // of strings and numbers: cannot happen
	}
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}
