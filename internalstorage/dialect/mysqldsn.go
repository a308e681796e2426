package dialect

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"

	"clusterpedia.io/internalstorage/config"
)

// mysqlConfig is what the driver connects with.
func mysqlConfig(c *config.Config) (*mysqldriver.Config, error) {
	m, err := parseMySQL(c)
	if err != nil {
		return nil, err
	}
	if c.DSN == "" {
		if err := setMySQLKeys(m, c); err != nil {
			return nil, err
		}
	} else if m.Passwd == "" {
		m.Passwd = string(c.Password)
	}
	if m.Loc, err = mysqlLocation(c); err != nil {
		return nil, err
	}
	m.ParseTime, m.Logger = true, &mysqldriver.NopLogger{} // what it would log, it also returns
	if _, ok := m.Params["wait_timeout"]; !ok {
		if m.Params == nil {
			m.Params = map[string]string{}
		}
		// MySQL knows no limit for transactions alone, and takes that of MariaDB for a comment.
		m.Params["wait_timeout"] = fmt.Sprintf("%.0f /*M!100300 , idle_transaction_timeout=%.0f */", idleConnectionLimit.Seconds(), idleLimit.Seconds())
	}
	return m, nil
}

// mysqlLocation is the zone that columns with times are in: that of the DSN, or of key mysql.loc.
func mysqlLocation(c *config.Config) (*time.Location, error) {
	if c.DSN == "" && c.MySQL.Loc != "" {
		zone, err := time.LoadLocation(c.MySQL.Loc)
		if err != nil {
			return nil, fmt.Errorf("mysql.loc: %w; use a name of the IANA database, such as Asia/Shanghai", err)
		}
		return zone, nil
	}
	m, err := parseMySQL(c)
	if err != nil {
		return nil, err
	}
	return m.Loc, nil
}

// paramName refuses what is no name of a parameter, and so would be taken for more than that.
func paramName(name string) error {
	if !paramNames.MatchString(name) {
		return fmt.Errorf("params: %q is no name of a parameter", name)
	}
	return nil
}

var (
	paramNames = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)
	// plainParam are values that the driver takes as they are, escaped or not.
	plainParam = regexp.MustCompile(`^[A-Za-z0-9_.,:/-]*$`)
)

// parseMySQL parses the DSN, or the one that params make, as some are the driver's and the others
// the server's.
func parseMySQL(c *config.Config) (m *mysqldriver.Config, err error) {
	from, text := "dsn", c.DSN
	if c.DSN == "" {
		from = "params"
		var params []string
		for name, p := range c.Params {
			if err := paramName(name); err != nil {
				return nil, fmt.Errorf("mysql: %w", err)
			}
			value := string(p)
			if !plainParam.MatchString(value) {
				value = url.QueryEscape(value)
			}
			params = append(params, name+"="+value)
		}
		text = "/?" + strings.Join(params, "&")
	}
	defer func() {
		if refused := recover(); refused != nil { // the driver does so for a parameter that it had once
			m, err = nil, fmt.Errorf("mysql: %s: %v", from, refused)
		}
	}()
	if m, err = mysqldriver.ParseDSN(text); err != nil {
		return nil, fmt.Errorf("mysql: %s: %w", from, err)
	}
	return m, nil
}

func setMySQLKeys(m *mysqldriver.Config, c *config.Config) error {
	if c.Database == "" {
		return errors.New("mysql: database name is required")
	}
	m.User, m.Passwd, m.DBName = string(c.User), string(c.Password), string(c.Database)
	switch host, port := string(c.Host), string(c.Port); c.Network {
	case "", "tcp":
		if host == "" {
			host = "127.0.0.1"
		}
		if port == "" {
			port = "3306"
		}
		m.Net, m.Addr = "tcp", net.JoinHostPort(host, port)
	case "unix":
		if !filepath.IsAbs(host) {
			return fmt.Errorf("mysql: with network unix, host must be the server's socket, such as /var/run/mysqld/mysqld.sock, not %q", host)
		}
		if c.SSLMode == "verify-full" {
			return errors.New("mysql: sslMode verify-full checks the name of a host, and with network unix there is none; use verify-ca")
		}
		m.Net, m.Addr = "unix", host
	default:
		return fmt.Errorf("mysql: network must be tcp or unix, not %q", c.Network)
	}
	setMySQLOptions(m, c.MySQL)
	return setMySQLTLS(m, c)
}

func setMySQLOptions(m *mysqldriver.Config, o config.MySQL) {
	for option, value := range map[*time.Duration]config.Duration{&m.Timeout: o.DialTimeout, &m.ReadTimeout: o.ReadTimeout, &m.WriteTimeout: o.WriteTimeout} {
		if value != 0 {
			*option = time.Duration(value)
		}
	}
	if o.ServerPubKey != "" {
		m.ServerPubKey = o.ServerPubKey
	}
	if o.MaxAllowedPacket != nil {
		m.MaxAllowedPacket = *o.MaxAllowedPacket
	}
	for option, value := range map[*bool]*bool{
		&m.AllowAllFiles: o.AllowAllFiles, &m.AllowCleartextPasswords: o.AllowCleartextPasswords, &m.AllowNativePasswords: o.AllowNativePasswords,
		&m.AllowOldPasswords: o.AllowOldPasswords, &m.CheckConnLiveness: o.CheckConnLiveness, &m.ClientFoundRows: o.ClientFoundRows,
		&m.ColumnsWithAlias: o.ColumnsWithAlias, &m.InterpolateParams: o.InterpolateParams, &m.MultiStatements: o.MultiStatements,
		&m.RejectReadOnly: o.RejectReadOnly,
	} {
		if value != nil {
			*option = *value
		}
	}
}

// setMySQLTLS knows the modes of PostgreSQL, and those of the driver.
func setMySQLTLS(m *mysqldriver.Config, c *config.Config) error {
	switch {
	case c.SSLMode != "": // goes before what params may say
		m.TLS, m.TLSConfig, m.AllowFallbackToPlaintext = nil, "", false
	case m.TLS != nil:
		m.TLS.ServerName = "" // the driver took it from its default address, and sets it anew
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: string(c.Host)}
	switch c.SSLMode {
	case "", "disable", "false":
		return nil
	case "allow", "prefer", "skip-verify":
		t.InsecureSkipVerify = true
	case "require", "verify-ca":
		// The chain is checked, the host's name is not.
		t.InsecureSkipVerify = true
		t.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error { return verifyChain(raw, t.RootCAs) }
	case "verify-full":
	default:
		return fmt.Errorf("mysql: sslmode is invalid: sslMode must be disable, allow, prefer, require, verify-ca or verify-full, not %q", c.SSLMode)
	}
	if c.SSLRootCertFile != "" {
		ca, err := os.ReadFile(c.SSLRootCertFile)
		if err != nil {
			return fmt.Errorf("mysql: unable to read CA file: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(ca) {
			return fmt.Errorf("mysql: unable to add CA to cert pool: %s holds no certificate", c.SSLRootCertFile)
		}
	}
	if (c.SSLCertFile == "") != (c.SSLKeyFile == "") {
		return errors.New(`mysql: both "sslcert" and "sslkey" are required`)
	}
	if c.SSLCertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.SSLCertFile, c.SSLKeyFile)
		if err != nil {
			return fmt.Errorf("mysql: unable to read cert or key: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	m.TLS = t
	return nil
}

func verifyChain(raw [][]byte, roots *x509.CertPool) error {
	options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	var leaf *x509.Certificate
	for i, der := range raw {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		if i == 0 {
			leaf = certificate
		} else {
			options.Intermediates.AddCert(certificate)
		}
	}
	if leaf == nil {
		return errors.New("the server has no certificate")
	}
	_, err := leaf.Verify(options)
	return err
}
