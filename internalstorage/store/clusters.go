package store

import (
	"context"
	"slices"

	"clusterpedia.io/internalstorage/dialect"
	"clusterpedia.io/storage-api/storage"
)

var _ storage.ClusterLister = &Store{}

// Clusters implements storage.ClusterLister. It goes from one cluster to the next along
// the index, and does not read its rows. An adopted table has an order of its own, and in
// MySQL takes names for the same that differ in case alone; those of PediaClusters never do.
func (s *Store) Clusters(ctx context.Context, yield func(cluster string) error) error {
	var names []string
	for where, last := "", []any(nil); ; where = "WHERE cluster > ? " {
		found := false
		text := "SELECT cluster FROM resources " + where + "ORDER BY cluster LIMIT 1"
		err := s.read(ctx, text, last, 1, func(scan dialect.Scan) (bool, error) {
			var name dialect.Bytes
			if err := scan(&name); err != nil {
				return false, err
			}
			names, found = append(names, string(name)), true
			return true, nil
		})
		if err != nil {
			return s.fail(ctx, "list the clusters", err)
		}
		if !found {
			break
		}
		last = []any{names[len(names)-1]}
	}
	slices.Sort(names)
	for _, name := range names {
		if err := yield(name); err != nil {
			return err
		}
	}
	return nil
}
