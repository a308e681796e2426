package store

import (
	"context"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"clusterpedia.io/internalstorage/dialect"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// bomb is a dialect with a mistake in it.
type bomb struct{ dialect.Dialect }

func (bomb) Read(context.Context, *gorm.DB, string, []any, int64, func(dialect.Scan) (bool, error)) error {
	return mistakes()[0]()
}

func mistakes() []func() error { return nil }

// TestPanic reads with a dialect that panics: whoever asked gets that, in his goroutine,
// and the storage layer goes on.
func TestPanic(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(map[string]string{"type": "sqlite", "dsn": filepath.Join(t.TempDir(), "test.db")})
	require.NoError(t, err)
	opened, err := Open(t.Context(), storage.Settings{ConfigPath: "test.yaml", Config: text})
	require.NoError(t, err)
	st := opened.(*Store)
	whole := st.dialect()
	broken := dialect.Dialect(bomb{whole})
	st.current.Store(&broken)
	list := func() error {
		_, err := st.List(t.Context(), &query.Query{}, func(*storage.Object) error { return nil })
		return err
	}
	require.Panics(t, func() { _ = list() })
	st.current.Store(&whole)
	require.NoError(t, list())
	require.NoError(t, st.Close(context.WithoutCancel(t.Context())))
}
