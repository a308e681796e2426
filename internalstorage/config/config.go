// Package config reads the configuration of the SQL storage layer: its file, whose
// keys are those that users of Clusterpedia know, and the environment.
package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"clusterpedia.io/storage-api/storage"
)

// Config is the configuration file.
type Config struct {
	// Type is mysql, postgres, sqlite or sqlite3.
	Type string `json:"type"`
	// DSN takes the place of all connection keys below.
	DSN string `json:"dsn"`

	Network  string `json:"network"`
	Host     Text   `json:"host"`
	Port     Text   `json:"port"`
	User     Text   `json:"user"`
	Password Text   `json:"password"`
	Database Text   `json:"database"`

	SSLMode         string `json:"sslMode"`
	SSLCertFile     string `json:"sslCertFile"`
	SSLKeyFile      string `json:"sslKeyFile"`
	SSLRootCertFile string `json:"sslRootCertFile"`

	// Mode is how documents are kept: compatible, which v0.9 can go on with, or lean.
	Mode string `json:"mode"`

	ConnPool ConnPool        `json:"connPool"`
	MySQL    MySQL           `json:"mysql"`
	Postgres Postgres        `json:"postgres"`
	Params   map[string]Text `json:"params"`
	Log      *Log            `json:"log"`
	Metrics  Metrics         `json:"metrics"`

	// AutoMigrate brings the schema up to date at the start; nil means true.
	AutoMigrate *bool `json:"autoMigrate"`
	// QueryTimeout is after how long the database ends a query of a client; 0: never; nil
	// means defaultQueryTimeout.
	QueryTimeout *Duration `json:"queryTimeout"`
	// OrderIndexes are columns that get an index for lists that are sorted by them.
	OrderIndexes []string `json:"orderIndexes"`
	// Strict makes unknown keys an error; nil means true.
	Strict *bool `json:"strict"`
}

// ConnPool bounds the connections to the database.
type ConnPool struct {
	MaxIdleConns    int      `json:"maxIdleConns"`
	MaxOpenConns    int      `json:"maxOpenConns"`
	ConnMaxLifetime Duration `json:"connMaxLifetime"`
}

// MySQL are the options of its driver.
type MySQL struct {
	DialTimeout             Duration `json:"dialTimeout"`
	ReadTimeout             Duration `json:"readTimeout"`
	WriteTimeout            Duration `json:"writeTimeout"`
	ServerPubKey            string   `json:"serverPubKey"`
	Loc                     string   `json:"loc"`
	MaxAllowedPacket        *int     `json:"maxAllowedPacket"`
	AllowAllFiles           *bool    `json:"allowAllFiles"`
	AllowCleartextPasswords *bool    `json:"allowCleartextPasswords"`
	AllowNativePasswords    *bool    `json:"allowNativePasswords"`
	AllowOldPasswords       *bool    `json:"allowOldPasswords"`
	CheckConnLiveness       *bool    `json:"checkConnLiveness"`
	ClientFoundRows         *bool    `json:"clientFoundRows"`
	ColumnsWithAlias        *bool    `json:"columnsWithAlias"`
	InterpolateParams       *bool    `json:"interpolateParams"`
	MultiStatements         *bool    `json:"multiStatements"`
	RejectReadOnly          *bool    `json:"rejectReadOnly"`
	ParseTime               *bool    `json:"parseTime"`
	RecoverableErrNumbers   []int    `json:"recoverableErrNumbers"`
}

// Postgres are the options of PostgreSQL.
type Postgres struct {
	RecoverableErrCodes []string `json:"recoverableErrCodes"`
	// FieldIndex indexes the fields of spec and status that are not within lists.
	FieldIndex bool `json:"fieldIndex"`
}

// Log chooses what the database layer logs: with Logger.Filename to that file, unless Stdout is
// true, and else to the server's own log.
type Log struct {
	Stdout bool   `json:"stdout"`
	Level  string `json:"level"`
	// Colorful is of no use: no log here is in color.
	Colorful                  bool `json:"colorful"`
	IgnoreRecordNotFoundError bool `json:"ignoreRecordNotFoundError"`
	// SlowThreshold is from when on a statement is slow; 0 means 200 ms.
	SlowThreshold Duration `json:"slowThreshold"`
	Logger        *LogFile `json:"logger"`
}

// LogFile is a file that is put aside when it is large.
type LogFile struct {
	Filename string `json:"filename"`
	// MaxSize is in MB, MaxAge in days; 0 means 100 MB, and that files stay.
	MaxSize    int  `json:"maxsize"`
	MaxAge     int  `json:"maxage"`
	MaxBackups int  `json:"maxbackups"`
	LocalTime  bool `json:"localtime"`
	Compress   bool `json:"compress"`
}

// Metrics switches metrics off.
type Metrics struct {
	Disable bool `json:"disable"`
	// DBStatsRefreshInterval is of no use: metrics are read when they are asked for.
	DBStatsRefreshInterval Duration `json:"dbStatsRefreshInterval"`
}

// The modes in which documents are kept.
const (
	Compatible = "compatible"
	Lean       = "lean"
)

// Defaults of the connection pool.
const (
	defaultMaxIdleConns = 5
	defaultMaxOpenConns = 40
)

// defaultQueryTimeout is --request-timeout of the apiserver, by default.
const defaultQueryTimeout = Duration(time.Minute)

// Duration is a duration like "1h30m".
type Duration time.Duration

// UnmarshalJSON implements json.Unmarshaler. A number counts nanoseconds.
func (d *Duration) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err == nil {
		v, err := time.ParseDuration(s)
		*d = Duration(v)
		return err
	}
	var n int64
	if err := json.Unmarshal(text, &n); err != nil {
		return fmt.Errorf("a duration like \"1h30m\" is needed, not %s", text)
	}
	*d = Duration(n)
	return nil
}

// Text is a string that may be written as a number or a boolean.
type Text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *Text) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err == nil {
		*t = Text(s)
		return nil
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return err
	}
	switch v.(type) {
	case json.Number, bool:
		*t = Text(text)
		return nil
	}
	return fmt.Errorf("a text is needed, not %s", text)
}

// Read returns the configuration that a host passes, with the environment and the
// defaults applied.
func Read(s storage.Settings) (*Config, error) {
	if s.ConfigPath == "" && s.Config == nil {
		return nil, errors.New("configPath should not be empty")
	}
	c := &Config{}
	if len(s.Config) > 0 {
		if err := json.Unmarshal(s.Config, c); err != nil {
			return nil, fmt.Errorf("%s: %w", s.ConfigPath, err)
		}
		if err := c.unknownKeys(s); err != nil {
			return nil, err
		}
	}
	c.applyEnvironment(os.Getenv)
	if err := c.complete(); err != nil {
		return nil, err
	}
	if s.Logger != nil {
		c.warn(s.Logger)
	}
	return c, nil
}

// warn tells of keys that do not what they seem to.
func (c *Config) warn(log *slog.Logger) {
	if c.Type != "mysql" {
		return
	}
	if p := c.MySQL.ParseTime; p != nil && !*p {
		log.Warn("mysql.parseTime: false is ignored, times are needed as such; remove the key")
	}
	if c.DSN != "" {
		return
	}
	if zone := c.MySQL.Loc; zone != "" && zone != "UTC" {
		log.Info("Times are stored in the zone of mysql.loc; v0.9 ignored the key: if it wrote this database, remove the key", "mysql.loc", zone)
	}
	if c.SSLMode == "" && c.SSLCertFile+c.SSLKeyFile+c.SSLRootCertFile != "" {
		log.Warn("The connection to the database is not encrypted: certificates are configured, but no sslMode; set it, to verify-full for example")
	}
}

// unknownKeys warns of the first key that nobody reads, or refuses it.
func (c *Config) unknownKeys(s storage.Settings) error {
	d := json.NewDecoder(bytes.NewReader(s.Config))
	d.DisallowUnknownFields()
	err := d.Decode(&Config{})
	if err == nil {
		return nil
	}
	if c.Strict == nil || *c.Strict {
		return fmt.Errorf("%s: %w; mend it, or set strict: false to have it ignored, as v0.9 did", s.ConfigPath, err)
	}
	if s.Logger != nil {
		s.Logger.Warn("The storage configuration has a key that is ignored", "file", s.ConfigPath, "err", err)
	}
	return nil
}

func (c *Config) applyEnvironment(env func(string) string) {
	for name, value := range map[string]*string{"DB_TYPE": &c.Type, "DB_DSN": &c.DSN, "DB_NETWORK": &c.Network} {
		if v := env(name); v != "" {
			*value = v
		}
	}
	for name, value := range map[string]*Text{
		"DB_HOST": &c.Host, "DB_PORT": &c.Port, "DB_USER": &c.User, "DB_PASSWORD": &c.Password, "DB_DATABASE": &c.Database,
	} {
		if v := env(name); v != "" {
			*value = Text(v)
		}
	}
}

// ordersWithIndex are what OrderIndexes may name: the columns that objects can be sorted by
// and that have no index of themselves, or not for all that comes behind in the order.
func ordersWithIndex() []string {
	return []string{"deleted_at", "kind", "name", "namespace", "owner_uid", "resource_version", "synced_at", "uid"}
}

func (c *Config) complete() error {
	if c.Type == "" {
		return errors.New("Type is required, but blank") //nolint:staticcheck // as users know it
	}
	switch c.Mode {
	case "":
		c.Mode = Compatible
	case Compatible:
	case Lean:
		if c.Type != "postgres" {
			return fmt.Errorf("mode %s is for type postgres; with type %s leave mode out", c.Mode, c.Type)
		}
	default:
		return fmt.Errorf("mode must be %s or %s, not %q", Compatible, Lean, c.Mode)
	}
	if c.ConnPool.MaxIdleConns <= 0 {
		c.ConnPool.MaxIdleConns = defaultMaxIdleConns
	}
	if c.ConnPool.MaxOpenConns <= 0 {
		c.ConnPool.MaxOpenConns = defaultMaxOpenConns
	}
	if c.QueryTimeout == nil {
		timeout := defaultQueryTimeout
		c.QueryTimeout = &timeout
	}
	for i, field := range c.OrderIndexes {
		if can := ordersWithIndex(); !slices.Contains(can, field) {
			return fmt.Errorf("orderIndexes: %q cannot be indexed; use some of %s", field, strings.Join(can, ", "))
		}
		if slices.Contains(c.OrderIndexes[:i], field) {
			return fmt.Errorf("orderIndexes: %s is given twice", field)
		}
	}
	if *c.QueryTimeout < 0 {
		return errors.New("queryTimeout must not be negative; 0 means none")
	}
	if p := c.ConnPool; p.MaxIdleConns > p.MaxOpenConns {
		return fmt.Errorf("connPool maxIdleConns is bigger than maxOpenConns, config detail: {%d %d %s}, please check the config",
			p.MaxIdleConns, p.MaxOpenConns, time.Duration(p.ConnMaxLifetime))
	}
	if c.Log != nil && c.Log.Level != "" {
		switch strings.ToLower(c.Log.Level) {
		case "silent", "error", "warn", "info":
		default:
			return errors.New("log level must be one of [Silent, Error, Warn, Info], Default is 'Warn'")
		}
	}
	return nil
}

// Migrates says whether the schema is brought up to date at the start.
func (c *Config) Migrates() bool { return c.AutoMigrate == nil || *c.AutoMigrate }

// Timeout is QueryTimeout; 0: none.
func (c *Config) Timeout() time.Duration {
	if c.QueryTimeout == nil {
		return 0
	}
	return time.Duration(*c.QueryTimeout)
}
