package dialect

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	driver "gorm.io/driver/mysql"
	"gorm.io/gorm"

	"clusterpedia.io/internalstorage/config"
	"clusterpedia.io/storage-api/query"
)

// mysql is MySQL or MariaDB: everything here is understood by both. Texts are
// varbinary, the one type whose comparison ignores neither case nor trailing
// blanks in any release.
type mysql struct {
	// recoverable are error numbers that the configuration adds.
	recoverable []int
	// timeout bounds queries; 0: nothing does.
	timeout time.Duration
	// loc is the zone of columns with times; nil is UTC.
	loc *time.Location
	// mariadb says that the server is MariaDB.
	mariadb bool
	// adopted says that the table is one of an older release, whose columns ignore
	// case and trailing blanks, and which has a hash of the key in column key_hash.
	adopted bool
	// labels says that table resource_labels has those of all rows.
	labels bool
	// orders are the columns that have an index for lists that are sorted by them.
	orders []string
	// cells says that there is column cells.
	cells bool
	// orderColumns are the generated columns for that which the table has, by the column that
	// each is made of.
	orderColumns map[string]string
}

func (mysql) Name() string { return "mysql" }

// Open gives gorm the connections: of what the driver is told, gorm would pass on only what a DSN
// can say, which is nothing of certificates.
func (mysql) Open(c *config.Config, options *gorm.Config) (reader, writer *gorm.DB, err error) {
	native, err := mysqlConfig(c)
	if err != nil {
		return nil, nil, err
	}
	connector, err := mysqldriver.NewConnector(native)
	if err != nil {
		return nil, nil, fmt.Errorf("mysql: %w", err)
	}
	pool := sql.OpenDB(connector)
	pool.SetConnMaxIdleTime(idleConnectionLimit / 2) // before the server closes it
	db, err := connect(driver.New(driver.Config{Conn: pool, SkipInitializeWithVersion: true}), options, c.ConnPool)
	if err != nil {
		return nil, nil, errors.Join(err, pool.Close())
	}
	return db, db, nil
}

func (mysql) KeyType() string { return `varbinary(253)` }

func (mysql) Tables() []string {
	return []string{
		"CREATE TABLE resources (" +
			"id bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, " +
			"`group` varbinary(253) NOT NULL, version varbinary(253) NOT NULL, resource varbinary(253) NOT NULL, kind varbinary(253) NOT NULL, " +
			"cluster varbinary(253) NOT NULL, namespace varbinary(253) NOT NULL, name varbinary(253) NOT NULL, " +
			"owner_uid varbinary(253) NOT NULL DEFAULT '', uid varbinary(253) NOT NULL, resource_version varbinary(253) NOT NULL, " +
			"object json NOT NULL, events json, event_resource_versions json, " +
			"created_at datetime(3) NOT NULL, synced_at datetime(3) NOT NULL, deleted_at datetime(3) NULL, " +
			"owners text, event_state longtext, head mediumblob, raw longblob, raw_rv varbinary(253), cells mediumblob, " +
			"UNIQUE KEY uni_group_version_resource_cluster_namespace_name (`group`, version, resource, cluster, namespace, name), " +
			"KEY idx_group_version_resource_namespace_name (`group`, version, resource, namespace, name), " +
			"KEY idx_group_version_resource_name (`group`, version, resource, name), " +
			"KEY idx_cluster (cluster)) DEFAULT CHARSET utf8mb4",
	}
}

const (
	oldUnique  = "uni_group_version_resource_cluster_namespace_name"
	hashUnique = "uni_key_hash"

	dropOldUnique = "ALTER TABLE resources DROP KEY " + oldUnique
)

// Adopt makes each change only if it is still to be made: no transaction holds them
// together.
func (mysql) Adopt(have Schema) []string {
	statements := addColumns(have, [][2]string{
		{"owners", "text"}, {"event_state", "longtext"}, {"head", "mediumblob"}, {"raw", "longblob"}, {"raw_rv", "varbinary(253)"}, {"cells", "mediumblob"},
	})
	alter := func(needed bool, change string) {
		if needed {
			statements = append(statements, "ALTER TABLE resources "+change)
		}
	}
	// The unique key of older releases has prefixes of names, ignores case and so takes
	// different objects for the same; a hash of the whole key does not.
	if have.old() {
		alter(have.Columns["key_hash"] == "",
			"ADD COLUMN key_hash binary(32) GENERATED ALWAYS AS (UNHEX(SHA2(CONCAT_WS(x'00', `group`, version, resource, cluster, namespace, name), 256))) VIRTUAL")
		alter(!have.Indexes[hashUnique], "ADD UNIQUE KEY "+hashUnique+" (key_hash)")
		if have.Indexes[oldUnique] {
			statements = append(statements, dropOldUnique)
		}
	}
	if have.MariaDB { // and not copy the table while nobody may write
		for i := range statements {
			statements[i] += ", LOCK=NONE"
		}
	}
	return statements
}

// createIndex is how an index is made of its name, and of its table and columns, while others
// write.
func createIndex(have Schema) string {
	if have.MariaDB {
		return "CREATE INDEX %s ON %s LOCK=NONE"
	}
	return "CREATE INDEX %s ON %s"
}

// old says that the table was made by an older release: its names have a character
// set.
func (s Schema) old() bool { return s.Columns["name"] == "varchar" }

// lockWait is how long to wait for another process that changes the schema.
const lockWait = 600 * time.Second

// Locked holds a lock of the connection: changes of the schema end transactions.
func (mysql) Locked(ctx context.Context, db *gorm.DB, fn func(*gorm.DB) error) error {
	return onConnection(ctx, db, func(conn *gorm.DB) error {
		var got *int
		if err := conn.Raw("SELECT GET_LOCK('clusterpedia_schema', ?)", int(lockWait.Seconds())).Scan(&got).Error; err != nil {
			return fmt.Errorf("wait for the lock of schema changes: %w", err)
		}
		if got == nil || *got != 1 {
			return fmt.Errorf("another process has been changing the schema for %s", lockWait)
		}
		err := waitBriefly(ctx, conn, fn)
		return errors.Join(err, conn.WithContext(context.WithoutCancel(ctx)).Exec("SELECT RELEASE_LOCK('clusterpedia_schema')").Error)
	})
}

// Equal finds, in an adopted table, what is alike by the index, and then what is the
// same.
func (d mysql) Equal(column string, texts []string) Expr {
	if !d.adopted {
		return equal(column, texts)
	}
	return Exprf("(%s AND CAST("+column+" AS BINARY) IN %s)", equal(column, texts), values("CAST(? AS BINARY)", texts))
}

func (d mysql) Same(a, b string) string {
	if !d.adopted {
		return a + " = " + b
	}
	return fmt.Sprintf("%[1]s = %[2]s AND CAST(%[1]s AS BINARY) = CAST(%[2]s AS BINARY)", a, b)
}

// Keys looks up the hash of an adopted table.
func (d mysql) Keys(keys [][]string) Expr {
	if !d.adopted {
		return keysIn(d, "", keys)
	}
	// As text, for gorm takes bytes in parentheses for a list of numbers.
	hashes := make([]string, len(keys))
	for i, key := range keys {
		hashes[i] = fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(key, "\x00"))))
	}
	return Exprf("key_hash IN %s", values("UNHEX(?)", hashes))
}

func (mysql) ForUpdate() string { return " FOR UPDATE" }

func (mysql) EndIdle() string { return "" }

func (mysql) Column(name string) string {
	if name == "group" {
		return "`group`"
	}
	return name
}

func (d mysql) Ordered(column string) string {
	if d.adopted {
		return "CAST(" + column + " AS BINARY)"
	}
	return column
}

func (mysql) Contains(column, text string) Expr {
	return Bind("INSTR(CAST("+column+" AS BINARY), CAST(? AS BINARY)) > 0", text)
}

// Number depends on no setting of a session, so that a generated column can have it: latin1
// takes any bytes (and not any text), and $ would let a line end behind the digits.
func (mysql) Number(column string) string {
	text := "CONVERT(CAST(" + column + " AS BINARY) USING latin1)"
	return fmt.Sprintf("CASE WHEN LENGTH(%s) BETWEEN 1 AND 18 AND %s NOT REGEXP _latin1'[^0-9]' THEN CAST(%s AS SIGNED) ELSE 0 END", column, text, text)
}

// Upsert assigns from the left to the right: what stays depends on the uid before
// it changes.
func (d mysql) Upsert(columns, keep []string) string {
	var set []string
	for _, c := range keep {
		set = append(set, fmt.Sprintf("%[1]s = CASE WHEN uid = VALUES(uid) THEN %[1]s END", c))
	}
	for _, c := range columns {
		set = append(set, fmt.Sprintf("%[1]s = VALUES(%[1]s)", d.Column(c)))
	}
	return "ON DUPLICATE KEY UPDATE " + strings.Join(set, ", ")
}

// zone is where the clock is that columns with times show.
func (d mysql) zone() *time.Location {
	if d.loc == nil {
		return time.UTC
	}
	return d.loc
}

// noTime stands for the zero time, which the driver takes for the date of zeros that
// strict servers refuse. In any zone it is what NoTime is.
func (d mysql) noTime() time.Time {
	return time.Date(1, 1, 1, 0, 0, 0, int(2*time.Millisecond), d.zone())
}

// Time keeps to the years that the driver takes, and off what the server would round
// up.
func (d mysql) Time(t time.Time) time.Time {
	none := d.noTime()
	switch t = t.In(d.zone()).Truncate(time.Microsecond); {
	case t.IsZero():
		return none
	case t.Before(time.Time{}):
		return none.Add(-time.Millisecond)
	case !t.After(none): // west of Greenwich the clock was still in the year before
		return none.Add(time.Millisecond)
	case t.Year() > 9999:
		return time.Date(9999, 12, 31, 23, 59, 59, 0, d.zone())
	}
	return t
}

func (d mysql) FromTime(t time.Time) time.Time {
	if t.Equal(d.noTime()) {
		return time.Time{}
	}
	return t.UTC()
}

func (mysql) InsertIgnore(table string, columns []string, rows int) string {
	return "INSERT IGNORE INTO " + insert(table, columns, rows)
}

// NoTime is a literal: what a cast makes of a text may depend on a session.
func (mysql) NoTime() string { return "TIMESTAMP'0001-01-01 00:00:00.002'" }

func (mysql) SeparateRaw() bool { return true }

// plainName are the names that paths take as they are, in MySQL and in MariaDB.
var plainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./ -]*$`)

// At looks up a name that is no plain one among the names of all fields: MariaDB
// misreads some of them in a path. An index leads into arrays alone, which needs a
// guard: MySQL takes any other value for an array of one.
func (mysql) At(doc Expr, path []query.PathElement) (Expr, error) {
	for len(path) > 0 {
		to, n := "$", 0
		for ; n < len(path) && plainName.MatchString(path[n].Name); n++ {
			to += `."` + path[n].Name + `"`
			if path[n].List {
				n++
				break
			}
		}
		if n == 0 {
			doc = Exprf("(SELECT JSON_EXTRACT(JSON_EXTRACT(%s, '$.*'), CONCAT('$[', f.i - 1, ']')) FROM JSON_TABLE(JSON_KEYS(%s), '$[*]' "+
				"COLUMNS (i FOR ORDINALITY, name longtext PATH '$')) AS f WHERE CAST(f.name AS BINARY) = CAST(%s AS BINARY))", doc, doc, Bind("?", path[0].Name))
			n = 1
		} else {
			doc = Exprf("JSON_EXTRACT(%s, %s)", doc, Bind("?", to))
		}
		if last := path[n-1]; last.List {
			doc = Exprf("CASE WHEN JSON_TYPE(%s) = 'ARRAY' THEN JSON_EXTRACT(%s, '$["+strconv.Itoa(last.Index)+"]') END", doc, doc)
		}
		path = path[n:]
	}
	return doc, nil
}

func (mysql) Text(part Expr) Expr {
	return Exprf("CASE JSON_TYPE(%s) WHEN 'NULL' THEN NULL ELSE JSON_UNQUOTE(%s) END", part, part)
}

func (mysql) AnyElement(part Expr, alias string, condition func(Expr) (Expr, error)) (Expr, error) {
	c, err := condition(Expr{SQL: alias + ".value"})
	return Exprf("EXISTS (SELECT 1 FROM JSON_TABLE(CASE WHEN JSON_TYPE(%s) = 'ARRAY' THEN %s ELSE '[]' END, '$[*]' COLUMNS (value JSON PATH '$')) AS "+alias+" WHERE %s)", part, part, c), err
}

func (mysql) OneOf(text Expr, texts []string) Expr {
	return Exprf("CAST(%s AS BINARY) IN %s", text, values("CAST(? AS BINARY)", texts))
}

func (mysql) Compare(text Expr, operator string, bound int64) Expr {
	return Exprf("(%s REGEXP '^-{0,1}[0-9]{1,18}$' AND CAST(%s AS SIGNED) "+operator+" %s)", text, text, Bind("?", bound))
}

func (d mysql) Classify(err error) Class {
	if errors.Is(err, errTooLong) {
		return TooLong
	}
	var e *mysqldriver.MySQLError
	if errors.Is(err, mysqldriver.ErrInvalidConn) {
		return Transient
	}
	if !errors.As(err, &e) {
		return classifyCommon(err)
	}
	switch e.Number {
	case 3024, 1969: // maximum of execution or statement time
		return TooLong
	case 1213, 1020: // deadlock, changed since read
		return Conflict
	case 1053, 1317, 1927, 3169, 4031, // it, the statement or the connection was ended
		1205, 1206, // locks
		1040, 1135, 1203, 1226, 1637, // limits of connections, threads, users, transactions
		1042, 1152, 1158, 1159, 1160, 1161, // network
		5, 1037, 1038, 1041, // memory
		3, 20, 1021, 1026, 1114, 1180, // disk
		1290, 1792, 1836: // it only reads
		return Transient
	case 1366, 1406, 3140, 3141, 4025, 1153, 1300: // texts and documents that it cannot hold
		return BadData
	}
	if slices.Contains(d.recoverable, int(e.Number)) {
		return Transient
	}
	return Permanent
}
