package store

import (
	"database/sql"
	"fmt"
	"io"

	"gorm.io/gorm"

	"clusterpedia.io/internalstorage/dialect"
)

// pools returns the pool of those who read, and that of those who write if it is another one.
func (s *Store) pools() []*sql.DB {
	var pools []*sql.DB
	for _, db := range []*gorm.DB{s.reader, s.writer} {
		if pool, err := db.DB(); err == nil && (len(pools) == 0 || pools[0] != pool) {
			pools = append(pools, pool)
		}
	}
	return pools
}

// share gives those who write the larger part of the connections: a program that writes reads
// little, and the others never come here.
func (s *Store) share() {
	if pools := s.pools(); len(pools) == 2 {
		dialect.Share(pools[0], pools[1])
	}
}

// WriteMetrics implements storage.MetricsWriter.
func (s *Store) WriteMetrics(w io.Writer) error {
	if !s.metrics {
		return nil
	}
	var sum sql.DBStats
	for _, pool := range s.pools() {
		stats := pool.Stats()
		sum.MaxOpenConnections += stats.MaxOpenConnections
		sum.OpenConnections += stats.OpenConnections
		sum.InUse += stats.InUse
		sum.Idle += stats.Idle
		sum.WaitCount += stats.WaitCount
		sum.WaitDuration += stats.WaitDuration
		sum.MaxIdleClosed += stats.MaxIdleClosed
		sum.MaxLifetimeClosed += stats.MaxLifetimeClosed
		sum.MaxIdleTimeClosed += stats.MaxIdleTimeClosed
	}
	return writeStats(w, s.database, sum)
}

func writeStats(w io.Writer, database string, stats sql.DBStats) error {
	for _, m := range []struct {
		name, help string
		value      float64
	}{
		{"max_open_connections", "Maximum number of open connections to the database.", float64(stats.MaxOpenConnections)},
		{"open_connections", "The number of established connections both in use and idle.", float64(stats.OpenConnections)},
		{"in_use", "The number of connections currently in use.", float64(stats.InUse)},
		{"idle", "The number of idle connections.", float64(stats.Idle)},
		{"wait_count", "The total number of connections waited for.", float64(stats.WaitCount)},
		{"wait_duration", "The total time blocked waiting for a new connection, in nanoseconds.", float64(stats.WaitDuration)},
		{"max_idle_closed", "The total number of connections closed due to SetMaxIdleConns.", float64(stats.MaxIdleClosed)},
		{"max_lifetime_closed", "The total number of connections closed due to SetConnMaxLifetime.", float64(stats.MaxLifetimeClosed)},
		{"max_idletime_closed", "The total number of connections closed due to SetConnMaxIdleTime.", float64(stats.MaxIdleTimeClosed)},
	} {
		if _, err := fmt.Fprintf(w, "# HELP storage_dbstats_%[1]s %[2]s\n# TYPE storage_dbstats_%[1]s gauge\nstorage_dbstats_%[1]s{db_name=%[3]q} %[4]v\n", m.name, m.help, database, m.value); err != nil {
			return err
		}
	}
	return nil
}
