package dialect

import (
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/internalstorage/config"
	"clusterpedia.io/storage-api/storage"
)

// readConfig reads a configuration, whose keys are as users write them.
func readConfig(t *testing.T, keys map[string]any) *config.Config {
	t.Helper()
	text, err := json.Marshal(keys)
	require.NoError(t, err)
	c, err := config.Read(storage.Settings{ConfigPath: "storage.yaml", Config: text})
	require.NoError(t, err)
	return c
}

// hostile are values that end a text, a pair or a path where they are not quoted.
func hostile() []string {
	return []string{`a b`, `it's`, `back\slash`, `\`, `' dbname='other`, `=`, `a&b=c`, `%41`, `p@ss/w:rd?#`, "tab\tline\n", `"`, `Ünïcode`, `timezone=Mars `}
}

// takenAsItIs has a value in each of the keys of a reader of a shelf, whose password is 123, reach
// what the driver connects with.
func takenAsItIs(t *testing.T, keys map[string]any, value string, connected func(*config.Config) (user, password, database string, err error)) {
	t.Helper()
	for _, key := range []string{"user", "password", "database"} {
		hostile := maps.Clone(keys)
		hostile[key] = value
		user, password, database, err := connected(readConfig(t, hostile))
		require.NoError(t, err)
		want := map[string]string{"user": "reader", "password": "123", "database": "shelf"}
		want[key] = value
		require.Equal(t, want, map[string]string{"user": user, "password": password, "database": database})
	}
}

func TestPostgresKeys(t *testing.T) {
	t.Parallel()
	keys := map[string]any{
		"type": "postgres", "network": "tcp", "host": "db.example.com", "port": 5433, "user": "reader", "password": 123, "database": "shelf", "sslMode": "disable",
		"params": map[string]any{"application_name": "c", "connect_timeout": 7, "TimeZone": "Asia/Shanghai"},
	}
	c, err := postgresConfig(readConfig(t, keys))
	require.NoError(t, err)
	require.Equal(t, []any{"db.example.com", uint16(5433), "reader", "123", "shelf"}, []any{c.Host, c.Port, c.User, c.Password, c.Database})
	require.Nil(t, c.TLSConfig)
	require.Equal(t, 7*time.Second, c.ConnectTimeout)
	require.Equal(t, map[string]string{"application_name": "c", "TimeZone": "Asia/Shanghai"}, c.RuntimeParams)

	for _, value := range hostile() {
		takenAsItIs(t, keys, value, func(c *config.Config) (user, password, database string, err error) {
			p, err := postgresConfig(c)
			if err != nil {
				return "", "", "", err
			}
			return p.User, p.Password, p.Database, nil
		})
		hostile := maps.Clone(keys)
		hostile["params"] = map[string]any{"application_name": value}
		c, err := postgresConfig(readConfig(t, hostile))
		require.NoError(t, err)
		require.Equal(t, map[string]string{"application_name": value}, c.RuntimeParams)
		require.Equal(t, "shelf", c.Database)
	}
}

func TestPostgresFiles(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"sslCertFile", "sslKeyFile", "sslRootCertFile"} {
		keys := map[string]any{"type": "postgres", "host": "h", "database": "d", "password": "secret", "sslMode": "require", "sslCertFile": "/c 's", "sslKeyFile": "/k 's"}
		if keys[file] == nil {
			keys = map[string]any{"type": "postgres", "host": "h", "database": "d", "password": "secret", "sslMode": "require", file: "/r 's"}
		} else {
			delete(keys, file)
		}
		_, err := postgresConfig(readConfig(t, keys))
		want := `postgres: failed to configure TLS (both "sslcert" and "sslkey" are required)`
		if file == "sslRootCertFile" {
			want = "postgres: failed to configure TLS (unable to read CA file: open /r 's: no such file or directory)"
		}
		require.EqualError(t, err, want)
	}
}

func TestPostgresNetwork(t *testing.T) {
	t.Parallel()
	for _, x := range []struct{ network, host, want, err string }{
		{"", "db", "db", ""},
		{"", "/run/pg", "/run/pg", ""},
		{"tcp", "db", "db", ""},
		{"tcp", "", "localhost", ""},
		{"unix", "/run/p g", "/run/p g", ""},
		{"tcp", "/run/pg", "", `postgres: with network tcp, host must be a name or an address, not "/run/pg"`},
		{"unix", "db", "", `postgres: with network unix, host must be the directory of the server's socket, such as /var/run/postgresql, not "db"`},
		{"udp", "db", "", `postgres: network must be tcp or unix, not "udp"`},
	} {
		c, err := postgresConfig(readConfig(t, map[string]any{"type": "postgres", "database": "d", "network": x.network, "host": x.host, "port": "5432"}))
		if x.err != "" {
			require.EqualError(t, err, x.err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, x.want, c.Host)
	}
	c, err := postgresConfig(readConfig(t, map[string]any{"type": "postgres", "database": "d", "network": "unix"}))
	require.NoError(t, err)
	require.Contains(t, socketDirectories(), c.Host)
}

// TestPostgresPassword has the password of the configuration, which is that of $DB_PASSWORD, beside
// a DSN.
func TestPostgresPassword(t *testing.T) {
	t.Parallel()
	for dsn, own := range map[string]string{
		"host=h dbname=d":                                   "",
		"host=h dbname=password":                            "",
		"host=h dbname=d application_name='password=x'":     "",
		`host=h dbname=d application_name=\ password\=x`:    "",
		"host=h dbname=d password=own":                      "own",
		"host=h dbname=d password = 'o w n' ":               "o w n",
		"postgres://u@h/d":                                  "",
		"postgres://u:@h/d":                                 "",
		"postgresql://h/d":                                  "",
		"postgres:///d?host=h&user=u":                       "",
		"postgres://u@h/password":                           "",
		"postgres://u@h:1,i:2/d?application_name=password":  "",
		"postgres://u@h/d?application_name=x%26password%3D": "",
		"postgres://u:own@h/d":                              "own",
		"postgres://u:own@h1:1,h2:2/d":                      "own",
		"postgres://h/d?password=own":                       "own",
		"postgres://h/d?user=u&pass%77ord=o%20w":            "o w",
	} {
		for _, password := range append(hostile(), "") {
			want := own
			if own == "" {
				want = password
			}
			c, err := postgresConfig(readConfig(t, map[string]any{"type": "postgres", "dsn": dsn, "password": password}))
			require.NoError(t, err, dsn)
			require.Equal(t, want, c.Password, dsn)
			require.Contains(t, []string{"d", "password"}, c.Database, dsn)
			require.Equal(t, "h", c.Host[:1], dsn)
		}
	}
}

// TestPostgresErrors has errors name what is wrong and show no password.
func TestPostgresErrors(t *testing.T) {
	t.Parallel()
	const password = `s3c'ret s3c"ret`
	for _, x := range []struct {
		keys map[string]any
		want string
	}{
		{map[string]any{}, "postgres: database name is required"},
		{map[string]any{"database": "d", "port": "x"}, "postgres: invalid port"},
		{map[string]any{"host": "h", "database": "d", "sslMode": "maybe"}, "postgres: failed to configure TLS (sslmode is invalid)"},
		{map[string]any{"database": "d", "params": map[string]any{"a b": "c"}}, `postgres: params: "a b" is no name of a parameter`},
		{map[string]any{"dsn": `password='s3c\'ret s3c' port=x`}, "postgres: dsn: invalid port"},
		{map[string]any{"dsn": `password='s3c\'ret`}, "postgres: dsn: failed to parse as keyword/value (unterminated quoted string in connection info string)"},
		{map[string]any{"dsn": `postgres://u:s3c@h:x/d`}, "postgres: dsn: invalid port"},
	} {
		x.keys["type"], x.keys["password"] = "postgres", password
		_, err := postgresConfig(readConfig(t, x.keys))
		require.EqualError(t, err, x.want)
		require.NotContains(t, err.Error(), "s3c")
	}
}
