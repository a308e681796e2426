package store_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/pem"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"clusterpedia.io/internalstorage/store"
	"clusterpedia.io/storage-api/storage"
)

// serverDir returns the directory of a server that the environment gives, which has the files
// for TLS and the server's socket; the test is skipped without.
func serverDir(t testing.TB, variable string) string {
	t.Helper()
	dir := os.Getenv(variable)
	if dir == "" {
		t.Skipf("%s is not set: NOT TESTED on this database; make test-storage starts one", variable)
	}
	return dir
}

// postgresKeys is mysqlKeys for PostgreSQL.
func postgresKeys(t testing.TB, config map[string]any) map[string]any {
	t.Helper()
	parsed, err := pgx.ParseConfig(config["dsn"].(string))
	require.NoError(t, err)
	keys := maps.Clone(config)
	delete(keys, "dsn")
	maps.Copy(keys, map[string]any{"host": parsed.Host, "port": parsed.Port, "user": parsed.User, "password": parsed.Password, "database": parsed.Database})
	return keys
}

// otherCA returns the certificate of an authority that has signed nothing.
func otherCA(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "testbed-ca"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "other-ca.crt")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return file
}

// asked opens the database and returns what a query says on a connection of each pool, or the
// error.
func asked(t *testing.T, config map[string]any, text string) (string, error) {
	t.Helper()
	opened, err := store.Open(t.Context(), storage.Settings{ConfigPath: "test.yaml", Config: mustJSON(t, config)})
	if err != nil {
		require.NotContains(t, err.Error(), "\n")
		require.NotContains(t, err.Error(), "password=")
		return "", err
	}
	defer func() { require.NoError(t, opened.Close(context.WithoutCancel(t.Context()))) }()
	reader, writer := opened.(*store.Store).Pools()
	var read, written string
	require.NoError(t, reader.QueryRowContext(t.Context(), text).Scan(&read))
	require.NoError(t, writer.QueryRowContext(t.Context(), text).Scan(&written))
	require.Equal(t, read, written)
	return read, nil
}

// Both ask whether the connection is encrypted; PostgreSQL, with whose certificate too.
const (
	postgresTLS = "SELECT CASE WHEN ssl THEN 'TLS' || COALESCE(client_dn, '') ELSE 'plain' END FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
	mariadbTLS  = "SELECT IF(variable_value = '', 'plain', 'TLS') FROM information_schema.session_status WHERE variable_name = 'Ssl_cipher'"
)

// TestTLS connects with each mode, authority and name. The server's certificate is for localhost
// alone.
func TestTLS(t *testing.T) {
	t.Parallel()
	const unknown, name = "certificate signed by unknown authority", "x509: cannot validate certificate for 127.0.0.1"
	type try struct{ mode, ca, host, want string }
	both := []try{
		{"disable", "", "localhost", "plain"},
		{"prefer", "", "127.0.0.1", "TLS"},
		{"prefer", "other", "127.0.0.1", "TLS"},
		{"require", "good", "127.0.0.1", "TLS"},
		{"require", "other", "localhost", unknown},
		{"verify-ca", "good", "127.0.0.1", "TLS"},
		{"verify-ca", "other", "localhost", unknown},
		{"verify-ca", "", "localhost", unknown},
		{"verify-full", "good", "localhost", "TLS"},
		{"verify-full", "good", "127.0.0.1", name},
		{"verify-full", "other", "localhost", unknown},
		{"verify-full", "", "localhost", unknown},
		{"maybe", "", "localhost", "sslmode is invalid"},
	}
	for kind, x := range map[string]struct {
		variable, ask string
		fresh         func(testing.TB) map[string]any
		tries         []try
	}{
		"PostgreSQL": {
			"TEST_POSTGRES_DIR", postgresTLS, func(t testing.TB) map[string]any { return postgresKeys(t, postgres(t)) },
			[]try{{"", "", "127.0.0.1", "TLS"}, {"allow", "", "localhost", "plain"}, {"require", "", "127.0.0.1", "TLS"}},
		},
		"MariaDB": {
			"TEST_MYSQL_DIR", mariadbTLS, func(t testing.TB) map[string]any { return mysqlKeys(t, mysqlOn("TEST_MYSQL_DSN")(t), nil) },
			[]try{
				{"", "", "localhost", "plain"},
				{"false", "", "localhost", "plain"},
				{"allow", "", "127.0.0.1", "TLS"},
				{"skip-verify", "", "127.0.0.1", "TLS"},
				{"require", "", "localhost", unknown},
			},
		},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			files := map[string]string{"good": filepath.Join(serverDir(t, x.variable), "tls", "ca.crt"), "other": otherCA(t)}
			config := x.fresh(t)
			for _, try := range append(both, x.tries...) {
				config["sslMode"], config["sslRootCertFile"], config["host"] = try.mode, files[try.ca], try.host
				got, err := asked(t, config, x.ask)
				if try.want == "plain" || try.want == "TLS" {
					require.NoError(t, err, try)
					require.Equal(t, try.want, got, try)
					continue
				}
				require.ErrorContains(t, err, try.want, try)
			}
		})
	}
}

// TestClientCertificate connects with the certificate of a client.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	with := func(config map[string]any, dir string) map[string]any {
		config = maps.Clone(config)
		maps.Copy(config, map[string]any{
			"sslMode": "verify-full", "host": "localhost", "sslRootCertFile": filepath.Join(dir, "tls", "ca.crt"),
			"sslCertFile": filepath.Join(dir, "tls", "client.crt"), "sslKeyFile": filepath.Join(dir, "tls", "client.key"),
		})
		return config
	}
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		dir := serverDir(t, "TEST_POSTGRES_DIR")
		config := with(postgresKeys(t, postgres(t)), dir)
		got, err := asked(t, config, postgresTLS)
		require.NoError(t, err)
		require.Equal(t, "TLS/CN=client", got)
		delete(config, "sslKeyFile")
		_, err = asked(t, config, postgresTLS)
		require.ErrorContains(t, err, `both "sslcert" and "sslkey" are required`)
	})
	t.Run("MariaDB", func(t *testing.T) {
		t.Parallel()
		dir := serverDir(t, "TEST_MYSQL_DIR")
		plain := mysqlOn("TEST_MYSQL_DSN")(t)
		config := mysqlKeys(t, plain, nil)
		admin, err := sql.Open("mysql", plain["dsn"].(string))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, admin.Close()) })
		user := "u" + strings.ToLower(rand.Text())
		_, err = admin.ExecContext(t.Context(), "CREATE USER "+user+" IDENTIFIED BY 'p' REQUIRE SUBJECT '/CN=client'")
		require.NoError(t, err)
		t.Cleanup(func() {
			_, err := admin.ExecContext(context.WithoutCancel(t.Context()), "DROP USER "+user)
			require.NoError(t, err)
		})
		_, err = admin.ExecContext(t.Context(), "GRANT ALL ON "+config["database"].(string)+".* TO "+user)
		require.NoError(t, err)
		config["user"], config["password"] = user, "p"
		_, err = asked(t, with(config, dir), mariadbTLS)
		require.NoError(t, err)
		config["sslMode"] = "skip-verify"
		_, err = asked(t, config, mariadbTLS)
		require.ErrorContains(t, err, "Access denied")
	})
}

// TestSocket connects by the sockets of servers.
func TestSocket(t *testing.T) {
	t.Parallel()
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		config := postgresKeys(t, postgres(t))
		config["network"], config["host"] = "unix", filepath.Join(serverDir(t, "TEST_POSTGRES_DIR"), "data")
		config["sslMode"] = "verify-full" // is left out, as libpq does
		got, err := asked(t, config, "SELECT COALESCE(CAST(inet_server_addr() AS text), 'socket')")
		require.NoError(t, err)
		require.Equal(t, "socket", got)
	})
	t.Run("MariaDB", func(t *testing.T) {
		t.Parallel()
		config := mysqlKeys(t, mysqlOn("TEST_MYSQL_DSN")(t), nil)
		config["network"], config["host"] = "unix", filepath.Join(serverDir(t, "TEST_MYSQL_DIR"), "data", "socket")
		for mode, want := range map[string]string{"": "plain", "verify-ca": "TLS"} {
			config["sslMode"], config["sslRootCertFile"] = mode, filepath.Join(serverDir(t, "TEST_MYSQL_DIR"), "tls", "ca.crt")
			got, err := asked(t, config, "SELECT CONCAT(host, ' ', ("+mariadbTLS+")) FROM information_schema.processlist WHERE id = CONNECTION_ID()")
			require.NoError(t, err)
			require.Equal(t, "localhost "+want, got)
		}
	})
}
