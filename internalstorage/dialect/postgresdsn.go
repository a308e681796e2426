package dialect

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clusterpedia.io/internalstorage/config"
)

// postgresConfig is what the driver connects with. The password of the configuration is not
// part of the text that is parsed, so that no error can show it.
func postgresConfig(c *config.Config) (*pgx.ConnConfig, error) {
	text, err := postgresDSN(c)
	if err != nil {
		return nil, err
	}
	native, err := pgx.ParseConfig(text)
	if err != nil {
		return nil, postgresError(c, err)
	}
	if c.Password != "" && (c.DSN == "" || !hasPassword(c.DSN)) {
		native.Password = string(c.Password)
	}
	return native, nil
}

// postgresError is an error of the driver's parser without the text that it could not parse.
func postgresError(c *config.Config, err error) error {
	text := err.Error()
	if _, ok := errors.AsType[*pgconn.ParseConfigError](err); ok {
		const behind = "`: "
		text = text[strings.LastIndex(text, behind)+len(behind):]
	}
	if c.DSN != "" {
		text = "dsn: " + text
	}
	return errors.New("postgres: " + text)
}

// hasPassword says whether a DSN, in either of the syntaxes of libpq, gives a password.
func hasPassword(dsn string) bool {
	_, rest, isURL := strings.Cut(dsn, "://")
	if !isURL || !isPostgresURL(dsn) {
		// Of a key that is given twice the last counts.
		none := rand.Text()
		native, err := pgx.ParseConfig("password=" + none + " " + dsn)
		return err == nil && native.Password != none
	}
	if i := strings.IndexAny(rest, "@/"); i >= 0 && rest[i] == '@' {
		if _, password, _ := strings.Cut(rest[:i], ":"); password != "" {
			return true
		}
		rest = rest[i+1:]
	}
	_, query, _ := strings.Cut(rest, "?")
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if name, err := url.PathUnescape(key); err == nil && name == "password" && value != "" {
			return true
		}
	}
	return false
}

func isPostgresURL(dsn string) bool {
	return strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://")
}

// postgresDSN is the DSN, or the connection keys, but for the password, in the keyword syntax of
// libpq.
func postgresDSN(c *config.Config) (string, error) {
	if c.DSN != "" {
		return c.DSN, nil
	}
	if c.Database == "" {
		return "", errors.New("postgres: database name is required")
	}
	host, err := postgresHost(c.Network, string(c.Host))
	if err != nil {
		return "", err
	}
	var parts []string
	add := func(key, value string) {
		parts = append(parts, key+"='"+strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value)+"'")
	}
	for _, p := range [][2]string{
		{"host", host},
		{"port", string(c.Port)},
		{"user", string(c.User)},
		{"dbname", string(c.Database)},
		{"sslmode", c.SSLMode},
		{"sslcert", c.SSLCertFile},
		{"sslkey", c.SSLKeyFile},
		{"sslrootcert", c.SSLRootCertFile},
	} {
		if p[1] != "" {
			add(p[0], p[1])
		}
	}
	for key, value := range c.Params {
		if err := paramName(key); err != nil {
			return "", fmt.Errorf("postgres: %w", err)
		}
		if key == "password" && c.Password != "" {
			continue
		}
		add(key, string(value))
	}
	slices.Sort(parts)
	return strings.Join(parts, " "), nil
}

// socketDirectories are where servers have their socket.
func socketDirectories() []string { return []string{"/var/run/postgresql", "/tmp"} }

// postgresHost is the host for a network. One that begins with a slash is the directory of the
// server's socket.
func postgresHost(network, host string) (string, error) {
	socket := filepath.IsAbs(host)
	switch {
	case network == "":
	case network == "unix" && host == "":
		for _, dir := range socketDirectories() {
			if _, err := os.Stat(dir); err == nil {
				return dir, nil
			}
		}
		return "", fmt.Errorf("postgres: with network unix, host must be the directory of the server's socket, as %s is none", strings.Join(socketDirectories(), " or "))
	case network == "unix" && !socket:
		return "", fmt.Errorf("postgres: with network unix, host must be the directory of the server's socket, such as %s, not %q", socketDirectories()[0], host)
	case network == "unix":
	case network == "tcp" && host == "":
		return "localhost", nil
	case network == "tcp" && socket:
		return "", fmt.Errorf("postgres: with network tcp, host must be a name or an address, not %q", host)
	case network == "tcp":
	default:
		return "", fmt.Errorf("postgres: network must be tcp or unix, not %q", network)
	}
	return host, nil
}
