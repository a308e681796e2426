package config

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/storage-api/storage"
)

func read(t *testing.T, text string) (*Config, error) {
	t.Helper()
	return Read(storage.Settings{ConfigPath: "storage.yaml", Config: []byte(text)})
}

// TestKeys reads each key that v0.9 knows. No test here is parallel: the environment
// is everybody's.
func TestKeys(t *testing.T) {
	c, err := read(t, `{
		"type":"mysql","dsn":"d","network":"tcp","host":"h","port":3306,"user":"u","password":123456,"database":"db",
		"sslMode":"verify-full","sslCertFile":"c","sslKeyFile":"k","sslRootCertFile":"r",
		"connPool":{"maxIdleConns":3,"maxOpenConns":9,"connMaxLifetime":"2h"},
		"mysql":{"dialTimeout":"1s","readTimeout":"2s","writeTimeout":"3s","serverPubKey":"p","loc":"UTC","maxAllowedPacket":7,"allowAllFiles":true,
			"allowCleartextPasswords":true,"allowNativePasswords":false,"allowOldPasswords":true,"checkConnLiveness":true,"clientFoundRows":true,
			"columnsWithAlias":true,"interpolateParams":true,"multiStatements":true,"rejectReadOnly":true,"parseTime":true,"recoverableErrNumbers":[1]},
		"postgres":{"recoverableErrCodes":["57P02"],"fieldIndex":true},"params":{"charset":"utf8mb4","n":1},
		"log":{"stdout":true,"level":"Info","colorful":true,"ignoreRecordNotFoundError":true,"slowThreshold":"1s","logger":{"filename":"f"}},
		"metrics":{"disable":true,"dbStatsRefreshInterval":"15s"},"autoMigrate":false,"queryTimeout":"5s","strict":true}`)
	require.NoError(t, err)
	require.EqualValues(t, "3306", c.Port)
	require.EqualValues(t, "123456", c.Password, "a number is a text too")
	require.EqualValues(t, 2*time.Hour, c.ConnPool.ConnMaxLifetime)
	require.EqualValues(t, "1", c.Params["n"])
	require.EqualValues(t, 5*time.Second, *c.QueryTimeout)
	require.False(t, c.Migrates())
}

func TestDefaults(t *testing.T) {
	c, err := read(t, `{"type":"sqlite","dsn":"file"}`)
	require.NoError(t, err)
	require.Equal(t, ConnPool{MaxIdleConns: 5, MaxOpenConns: 40}, c.ConnPool)
	require.EqualValues(t, time.Minute, *c.QueryTimeout)
	require.True(t, c.Migrates())
}

func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: "Type is required, but blank",
		`{"type":"postgres","orderIndexes":["uid","cluster"]}`:    `orderIndexes: "cluster" cannot be indexed; use some of deleted_at, kind, name, namespace, owner_uid, resource_version, synced_at, uid`,
		`{"type":"mysql","orderIndexes":["created_at"]}`:          `orderIndexes: "created_at" cannot be indexed; use some of deleted_at, kind`,
		`{"type":"postgres","orderIndexes":["uid","uid"]}`:        "orderIndexes: uid is given twice",
		`{"type":"sqlite","connPool":{"maxIdleConns":50}}`:        "connPool maxIdleConns is bigger than maxOpenConns, config detail: {50 40 0s}, please check the config",
		`{"type":"sqlite","log":{"level":"loud"}}`:                "log level must be one of [Silent, Error, Warn, Info], Default is 'Warn'",
		`{"type":"sqlite","conPool":{}}`:                          `storage.yaml: json: unknown field "conPool"; mend it, or set strict: false`,
		`{"type":"sqlite","queryTimeout":"-1s"}`:                  "queryTimeout must not be negative",
		`{"type":"postgres","mode":"fast"}`:                       `mode must be compatible or lean, not "fast"`,
		`{"type":"mysql","mode":"lean"}`:                          "mode lean is for type postgres; with type mysql leave mode out",
		`{"type":["sqlite"]}`:                                     "storage.yaml: json: cannot unmarshal array",
		`{"type":"sqlite","connPool":{"connMaxLifetime":"long"}}`: `storage.yaml: time: invalid duration "long"`,
	} {
		_, err := read(t, text)
		require.ErrorContains(t, err, want)
	}
	_, err := Read(storage.Settings{})
	require.EqualError(t, err, "configPath should not be empty")
}

func TestUnknownKeyWarns(t *testing.T) {
	var log bytes.Buffer
	_, err := Read(storage.Settings{ConfigPath: "storage.yaml", Config: []byte(`{"type":"sqlite","conPool":{},"strict":false}`), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	require.Contains(t, log.String(), `unknown field \"conPool\"`)
}

func TestEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"DB_TYPE": "postgres", "DB_DSN": "dsn", "DB_NETWORK": "unix", "DB_HOST": "host", "DB_PORT": "1", "DB_USER": "user", "DB_PASSWORD": "password", "DB_DATABASE": "database",
	} {
		t.Setenv(name, value)
	}
	c, err := read(t, `{"type":"sqlite","user":"other"}`)
	require.NoError(t, err)
	require.Equal(t, []string{"postgres", "dsn", "unix", "host", "1", "user", "password", "database"},
		[]string{c.Type, c.DSN, c.Network, string(c.Host), string(c.Port), string(c.User), string(c.Password), string(c.Database)})
}
