package memory

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// A version is what clients of earlier releases know: base64url, without padding, of a JSON
// object that has the latest resource version of each cluster that the query is about. It
// tells a reader how far each member is. The point in the history, under the empty name,
// alone decides where a watch resumes: the versions of members come back after a restart,
// and a deletion has none.
const pointName = ""

// encode returns the version of a point, at which these were the latest resource versions.
func encode(point string, seen map[string]string) string {
	all := maps.Clone(seen)
	if all == nil {
		all = map[string]string{}
	}
	all[pointName] = point
	text, err := json.Marshal(all)
	if err != nil {
		return "" // of strings: cannot happen
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// decode is the inverse of encode. It returns an error that wraps storage.ErrExpired for a
// text that no process of this release has given.
func decode(version string) (point string, seen map[string]string, err error) {
	text, err := base64.RawURLEncoding.DecodeString(version)
	if err == nil {
		err = json.Unmarshal(text, &seen)
	}
	point, ok := seen[pointName]
	if err != nil || !ok {
		return "", nil, fmt.Errorf("%.100q is no version of this process: %w", version, storage.ErrExpired)
	}
	delete(seen, pointName)
	return point, seen, nil
}

// about reports whether a query is about a cluster, of which its caller may see something.
func about(q *query.Query, cluster string) bool {
	if len(q.Clusters) > 0 && !slices.Contains(q.Clusters, cluster) {
		return false
	}
	return q.Visible == nil || slices.ContainsFunc(q.Visible.Scopes, func(s query.Scope) bool {
		return len(s.Clusters) == 0 || slices.Contains(s.Clusters, cluster)
	})
}

// seen returns the latest resource version of each cluster that q is about. The caller
// holds the lock.
func (s *Store) seen(q *query.Query) map[string]string {
	seen := map[string]string{}
	for name, c := range s.clusters {
		if c.latest != "" && about(q, name) {
			seen[name] = c.latest
		}
	}
	return seen
}
