package memory

import (
	"context"
	"fmt"
	"slices"

	"clusterpedia.io/storage-api/storage"
)

var _ storage.ClusterLister = (*Store)(nil)

// Clusters implements storage.ClusterLister.
func (s *Store) Clusters(ctx context.Context, yield func(cluster string) error) error {
	names, err := s.clusterNames(ctx)
	if err != nil {
		return fmt.Errorf("list the clusters: %w", err)
	}
	for _, name := range names {
		if err := yield(name); err != nil {
			return err
		}
	}
	return nil
}

// clusterNames returns the names of the clusters of which something is stored, sorted.
func (s *Store) clusterNames(ctx context.Context) ([]string, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	var names []string
	for name, c := range s.clusters {
		for _, entries := range c.resources {
			if len(entries) > 0 {
				names = append(names, name)
				break
			}
		}
	}
	slices.Sort(names)
	return names, nil
}
