package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/storage-api/storage"
)

// TestTrim has many connections at once: they stay for a while, and then as many as
// configured.
func TestTrim(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(map[string]any{"type": "sqlite", "dsn": filepath.Join(t.TempDir(), "test.db"), "connPool": map[string]int{"maxIdleConns": 3, "maxOpenConns": 10}})
	require.NoError(t, err)
	opened, err := Open(t.Context(), storage.Settings{ConfigPath: "test.yaml", Config: text})
	require.NoError(t, err)
	st := opened.(*Store)
	defer func() { require.NoError(t, st.Close(context.WithoutCancel(t.Context()))) }()
	pool, err := st.reader.DB()
	require.NoError(t, err)
	var used []*sql.Conn
	for range 9 {
		conn, err := pool.Conn(t.Context())
		require.NoError(t, err)
		used = append(used, conn)
	}
	for _, conn := range used {
		require.NoError(t, conn.Close())
	}
	require.Equal(t, 9, pool.Stats().Idle)

	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { st.trim(ctx, 3, time.Millisecond) })
	require.Eventually(t, func() bool { return pool.Stats().Idle == 3 }, 10*time.Second, time.Millisecond)
	cancel()
	running.Wait()
}
