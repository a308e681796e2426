package synchro

import (
	"time"

	"clusterpedia.io/storage-api/storage"
)

// ClusterStats is what is measured of a cluster at a moment.
type ClusterStats struct {
	Cluster string
	// Queued is the number of changes that are read and not written yet.
	Queued    int
	Resources []ResourceStats
}

// ResourceStats is what is measured of one resource of a cluster.
type ResourceStats struct {
	storage.Resource
	// Stored is the number of objects that are stored, or on their way.
	Stored int
	// LeftOut is the number of objects whose last revision is not stored: the storage
	// layer refuses it, or it cannot be read.
	LeftOut int
	// LastRead is when the member was last heard of, with an object, with a list or
	// with word that there is nothing new; zero: never.
	LastRead time.Time
}

func (c *cluster) stats() ClusterStats {
	s := ClusterStats{Cluster: c.name, Queued: c.writer.Queued()}
	for _, r := range c.synced() {
		one := ResourceStats{Resource: r.Storage}
		one.Stored, one.LeftOut = r.known.counts()
		if at := r.lastRead.Load(); at != 0 {
			one.LastRead = time.Unix(0, at)
		}
		s.Resources = append(s.Resources, one)
	}
	return s
}

// QueuedBytes returns how much memory the changes take, of all clusters, that are read and
// not written yet.
func (m *Manager) QueuedBytes() int { return m.queues.Used() }
