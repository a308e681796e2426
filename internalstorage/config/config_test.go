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
		"log":{"stdout":true,"level":"Info","colorful":true,"ignoreRecordNotFoundError":true,"slowThreshold":"1s","logger":{"filename":"f","maxsize":1,"maxage":2,"maxbackups":3,"localtime":true,"compress":true}},
		"metrics":{"disable":true,"dbStatsRefreshInterval":"15s"},"autoMigrate":false,"queryTimeout":"5s","orderIndexes":["uid"],"strict":true}`)
	require.NoError(t, err)
	yes, no, packet, second := true, false, 7, Duration(time.Second)
	timeout := 5 * second
	require.Equal(t, &Config{
		Type: "mysql", DSN: "d", Network: "tcp", Host: "h", Port: "3306", User: "u", Password: "123456", Database: "db",
		SSLMode: "verify-full", SSLCertFile: "c", SSLKeyFile: "k", SSLRootCertFile: "r", Mode: Compatible,
		ConnPool: ConnPool{MaxIdleConns: 3, MaxOpenConns: 9, ConnMaxLifetime: 7200 * second},
		MySQL: MySQL{
			DialTimeout: second, ReadTimeout: 2 * second, WriteTimeout: 3 * second, ServerPubKey: "p", Loc: "UTC", MaxAllowedPacket: &packet,
			AllowAllFiles: &yes, AllowCleartextPasswords: &yes, AllowNativePasswords: &no, AllowOldPasswords: &yes, CheckConnLiveness: &yes,
			ClientFoundRows: &yes, ColumnsWithAlias: &yes, InterpolateParams: &yes, MultiStatements: &yes, RejectReadOnly: &yes, ParseTime: &yes,
			RecoverableErrNumbers: []int{1},
		},
		Postgres: Postgres{RecoverableErrCodes: []string{"57P02"}, FieldIndex: true},
		Params:   map[string]Text{"charset": "utf8mb4", "n": "1"},
		Log: &Log{
			Stdout: true, Level: "Info", Colorful: true, IgnoreRecordNotFoundError: true, SlowThreshold: second,
			Logger: &LogFile{Filename: "f", MaxSize: 1, MaxAge: 2, MaxBackups: 3, LocalTime: true, Compress: true},
		},
		Metrics:     Metrics{Disable: true, DBStatsRefreshInterval: 15 * second},
		AutoMigrate: &no, QueryTimeout: &timeout, OrderIndexes: []string{"uid"}, Strict: &yes,
	}, c)
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
		`{"type":"sqlite","log":{"logger":{"file":"f"}}}`:         `storage.yaml: json: unknown field "file"; mend it`,
		`{"type":"sqlite","mysql":{"location":"UTC"}}`:            `storage.yaml: json: unknown field "location"; mend it`,
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

// TestWarnings tells of keys that do not what they seem to.
func TestWarnings(t *testing.T) {
	for text, want := range map[string]string{
		`{"type":"mysql","mysql":{"parseTime":false}}`:                                     "level=WARN msg=\"mysql.parseTime: false is ignored",
		`{"type":"mysql","dsn":"d","mysql":{"parseTime":false}}`:                           "level=WARN msg=\"mysql.parseTime: false is ignored",
		`{"type":"mysql","mysql":{"parseTime":true,"loc":"UTC"}}`:                          "",
		`{"type":"mysql","mysql":{"loc":"Asia/Shanghai"}}`:                                 "mysql.loc=Asia/Shanghai",
		`{"type":"mysql","dsn":"d","mysql":{"loc":"Asia/Shanghai"}}`:                       "",
		`{"type":"mysql","sslRootCertFile":"ca"}`:                                          "not encrypted",
		`{"type":"mysql","sslRootCertFile":"ca","sslMode":"require"}`:                      "",
		`{"type":"postgres","sslRootCertFile":"ca","mysql":{"loc":"X","parseTime":false}}`: "",
	} {
		var log bytes.Buffer
		_, err := Read(storage.Settings{ConfigPath: "storage.yaml", Config: []byte(text), Logger: slog.New(slog.NewTextHandler(&log, nil))})
		require.NoError(t, err)
		if want == "" {
			require.Empty(t, log.String())
		}
		require.Contains(t, log.String(), want)
	}
}
