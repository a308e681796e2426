package dialect

import (
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/internalstorage/config"
)

func TestMySQLKeys(t *testing.T) {
	t.Parallel()
	keys := map[string]any{
		"type": "mysql", "network": "tcp", "host": "db.example.com", "port": 3307, "user": "reader", "password": 123, "database": "shelf",
		"mysql": map[string]any{
			"dialTimeout": "1s", "readTimeout": "2s", "writeTimeout": "3s", "serverPubKey": "key", "loc": "Asia/Shanghai", "maxAllowedPacket": 7,
			"allowAllFiles": true, "allowCleartextPasswords": true, "allowNativePasswords": false, "allowOldPasswords": true,
			"checkConnLiveness": false, "clientFoundRows": true, "columnsWithAlias": true, "interpolateParams": true,
			"multiStatements": true, "rejectReadOnly": true, "parseTime": false,
		},
		"params": map[string]any{"charset": "utf8mb4,utf8", "collation": "utf8mb4_bin", "sql_mode": "'ANSI,TRADITIONAL'", "wait_timeout": 100},
	}
	m, err := mysqlConfig(readConfig(t, keys))
	require.NoError(t, err)
	require.Equal(t, []string{"tcp", "db.example.com:3307", "reader", "123", "shelf", "key", "Asia/Shanghai", "utf8mb4_bin"},
		[]string{m.Net, m.Addr, m.User, m.Passwd, m.DBName, m.ServerPubKey, m.Loc.String(), m.Collation})
	require.Equal(t, []time.Duration{time.Second, 2 * time.Second, 3 * time.Second}, []time.Duration{m.Timeout, m.ReadTimeout, m.WriteTimeout})
	require.Equal(t, 7, m.MaxAllowedPacket)
	require.Equal(t, []bool{true, true, false, true, false, true, true, true, true, true, true}, []bool{
		m.AllowAllFiles, m.AllowCleartextPasswords, m.AllowNativePasswords, m.AllowOldPasswords, m.CheckConnLiveness, m.ClientFoundRows,
		m.ColumnsWithAlias, m.InterpolateParams, m.MultiStatements, m.RejectReadOnly, m.ParseTime,
	})
	require.Equal(t, map[string]string{"sql_mode": "'ANSI,TRADITIONAL'", "wait_timeout": "100"}, m.Params, "what the driver knows is no variable of the server")
	require.Contains(t, m.FormatDSN(), "charset=utf8mb4,utf8&")
	require.Nil(t, m.TLS)

	for _, value := range hostile() {
		takenAsItIs(t, keys, value, func(c *config.Config) (user, password, database string, err error) {
			m, err := mysqlConfig(c)
			if err != nil {
				return "", "", "", err
			}
			return m.User, m.Passwd, m.DBName, nil
		})
		hostile := maps.Clone(keys)
		hostile["params"] = map[string]any{"wait_timeout": "9", "sql_mode": value}
		m, err := mysqlConfig(readConfig(t, hostile))
		require.NoError(t, err)
		require.Equal(t, map[string]string{"wait_timeout": "9", "sql_mode": value}, m.Params)
	}
}

func TestMySQLDefaults(t *testing.T) {
	t.Parallel()
	m, err := mysqlConfig(readConfig(t, map[string]any{"type": "mysql", "database": "d"}))
	require.NoError(t, err)
	require.Equal(t, []any{"tcp", "127.0.0.1:3306", time.UTC, true, true, 64 << 20}, []any{m.Net, m.Addr, m.Loc, m.ParseTime, m.AllowNativePasswords, m.MaxAllowedPacket})
	require.Contains(t, m.Params["wait_timeout"], "60 ")
}

func TestMySQLNetwork(t *testing.T) {
	t.Parallel()
	for _, x := range []struct{ network, host, port, want, err string }{
		{"", "db", "1", "tcp db:1", ""},
		{"tcp", "::1", "", "tcp [::1]:3306", ""},
		{"tcp", "", "1", "tcp 127.0.0.1:1", ""},
		{"unix", "/run/my sql.sock", "1", "unix /run/my sql.sock", ""},
		{"unix", "", "", "", `mysql: with network unix, host must be the server's socket, such as /var/run/mysqld/mysqld.sock, not ""`},
		{"unix", "db", "", "", `mysql: with network unix, host must be the server's socket, such as /var/run/mysqld/mysqld.sock, not "db"`},
		{"udp", "db", "", "", `mysql: network must be tcp or unix, not "udp"`},
	} {
		m, err := mysqlConfig(readConfig(t, map[string]any{"type": "mysql", "database": "d", "network": x.network, "host": x.host, "port": x.port}))
		if x.err != "" {
			require.EqualError(t, err, x.err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, x.want, m.Net+" "+m.Addr)
	}
}

// TestMySQLParamTLS has sslMode go before what params say of TLS.
func TestMySQLParamTLS(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		mode, param    string
		tls, fallsBack bool
		name           string
	}{
		{"", "true", true, false, ""}, // the driver takes it from the address
		{"", "preferred", true, true, ""},
		{"", "false", false, false, ""},
		{"disable", "true", false, false, ""},
		{"verify-full", "preferred", true, false, "db"},
	} {
		m, err := mysqlConfig(readConfig(t, map[string]any{"type": "mysql", "host": "db", "database": "d", "sslMode": x.mode, "params": map[string]any{"tls": x.param}}))
		require.NoError(t, err)
		require.Equal(t, x.fallsBack, m.AllowFallbackToPlaintext, x)
		require.Equal(t, x.tls, m.TLS != nil, x)
		require.Equal(t, x.mode != "", m.TLSConfig == "", x)
		if x.tls {
			require.Equal(t, x.name, m.TLS.ServerName)
		}
	}
}

func TestMySQLDSN(t *testing.T) {
	t.Parallel()
	c := map[string]any{
		"type": "mysql", "dsn": "u@tcp(h:1)/d?loc=America%2FNew_York&charset=utf8mb4", "password": "p@:/", "host": "other", "network": "udp",
		"mysql": map[string]any{"loc": "Asia/Shanghai", "dialTimeout": "1s"}, "params": map[string]any{"sql_mode": "x"},
	}
	m, err := mysqlConfig(readConfig(t, c))
	require.NoError(t, err)
	require.Equal(t, []any{"h:1", "u", "p@:/", "d", "America/New_York", true, time.Duration(0)}, []any{m.Addr, m.User, m.Passwd, m.DBName, m.Loc.String(), m.ParseTime, m.Timeout},
		"a DSN takes the place of all keys but the password that it lacks")
	require.NotContains(t, m.Params, "sql_mode")

	c["dsn"] = "u:own@tcp(h:1)/d"
	m, err = mysqlConfig(readConfig(t, c))
	require.NoError(t, err)
	require.Equal(t, []any{"own", time.UTC}, []any{m.Passwd, m.Loc})
}

func TestMySQLErrors(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		keys map[string]any
		want string
	}{
		{map[string]any{}, "mysql: database name is required"},
		{map[string]any{"database": "d", "mysql": map[string]any{"loc": "Asia/Atlantis"}}, "mysql.loc: unknown time zone Asia/Atlantis; use a name of the IANA database, such as Asia/Shanghai"},
		{map[string]any{"dsn": "tcp(h)/d?loc=Atlantis"}, "mysql: dsn: unknown time zone Atlantis"},
		{map[string]any{"dsn": "tcp(h)"}, "mysql: dsn: invalid DSN: missing the slash separating the database name"},
		{map[string]any{"dsn": "tcp(h)/d?strict=true"}, "mysql: dsn: strict mode has been removed. See https://github.com/go-sql-driver/mysql/wiki/strict-mode"},
		{map[string]any{"database": "d", "params": map[string]any{"readTimeout": "x"}}, `mysql: params: time: invalid duration "x"`},
		{map[string]any{"database": "d", "params": map[string]any{"a=1,b": "c"}}, `mysql: params: "a=1,b" is no name of a parameter`},
		{map[string]any{"database": "d", "sslMode": "maybe"}, `mysql: sslmode is invalid: sslMode must be disable, allow, prefer, require, verify-ca or verify-full, not "maybe"`},
		{map[string]any{"database": "d", "sslMode": "require", "sslCertFile": "c"}, `mysql: both "sslcert" and "sslkey" are required`},
		{map[string]any{"database": "d", "sslMode": "require", "sslCertFile": "/missing", "sslKeyFile": "k"}, "mysql: unable to read cert or key: open /missing: no such file or directory"},
		{map[string]any{"database": "d", "sslMode": "verify-ca", "sslRootCertFile": "/missing"}, "mysql: unable to read CA file: open /missing: no such file or directory"},
		{map[string]any{"database": "d", "sslMode": "verify-ca", "sslRootCertFile": "/dev/null"}, "mysql: unable to add CA to cert pool: /dev/null holds no certificate"},
		{map[string]any{"database": "d", "sslMode": "verify-full", "network": "unix", "host": "/socket"}, "mysql: sslMode verify-full checks the name of a host, and with network unix there is none; use verify-ca"},
	} {
		x.keys["type"], x.keys["password"] = "mysql", "s3cret"
		c := readConfig(t, x.keys)
		_, err := mysqlConfig(c)
		require.EqualError(t, err, x.want)
	}
	// What cannot be read is told at once.
	_, err := For(readConfig(t, map[string]any{"type": "mysql", "database": "d", "mysql": map[string]any{"loc": "Asia/Atlantis"}}))
	require.ErrorContains(t, err, "mysql.loc")
}

// TestMySQLTimes has times keep to what the columns can hold, by the clock of their zone.
func TestMySQLTimes(t *testing.T) {
	t.Parallel()
	const layout = "2006-01-02 15:04:05.999999"
	for _, name := range []string{"UTC", "Asia/Shanghai", "America/New_York"} {
		d, err := For(readConfig(t, map[string]any{"type": "mysql", "database": "d", "mysql": map[string]any{"loc": name}}))
		require.NoError(t, err)
		zone, err := time.LoadLocation(name)
		require.NoError(t, err)
		require.Equal(t, "TIMESTAMP'"+d.Time(time.Time{}).Format(layout)+"'", d.NoTime())
		require.Zero(t, d.FromTime(d.Time(time.Time{})))
		require.Equal(t, "0001-01-01 00:00:00.001", d.Time(time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC)).Format(layout))
		require.Equal(t, "0001-01-01 00:00:00.001", d.Time(time.Time{}.Add(-time.Hour)).Format(layout))
		require.True(t, d.Time(time.Time{}.Add(time.Millisecond)).After(d.Time(time.Time{})))
		require.Equal(t, 1, d.Time(time.Time{}.Add(time.Millisecond)).Year())
		require.Equal(t, "9999-12-31 23:59:59", d.Time(time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)).Format(layout))
		require.Equal(t, "9999-12-31 23:59:59", d.Time(time.Date(10000, 1, 1, 0, 0, 0, 0, zone)).Format(layout))
		at := time.Date(2024, 7, 1, 12, 30, 0, 5000, time.UTC)
		require.Equal(t, at.In(zone).Format(layout), d.Time(at).Format(layout))
		require.Equal(t, at, d.FromTime(d.Time(at)))
	}
	require.Equal(t, time.UTC, mysql{}.Time(time.Now()).Location())
}
