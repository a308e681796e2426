package fault

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
)

// journal is what the triggers of a database noted of every write of a row.
type journal struct {
	db *sql.DB
}

// installJournal makes the triggers. The tables must exist.
func installJournal(ctx context.Context, db *sql.DB, e engine) (journal, error) {
	for _, statement := range journalStatements(e) {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return journal{}, fmt.Errorf("%s: %w", statement, err)
		}
	}
	return journal{db}, nil
}

func journalStatements(e engine) []string {
	const (
		table   = `CREATE TABLE journal (n %s, writer text, op text, cluster text, object text, old_uid text, old_version text, uid text, version text)`
		columns = `(writer, op, cluster, object, old_uid, old_version, uid, version)`
	)
	of := func(row string) string {
		return fmt.Sprintf(e.text(`%[1]s."group" || '/' || %[1]s.resource || '/' || %[1]s.namespace || '/' || %[1]s.name`), row)
	}
	writer := map[engine]string{postgreSQL: "current_setting('application_name')", mariaDB: "COALESCE(@writer, '')", sqlite: "''"}[e]
	if e == mariaDB {
		of = func(row string) string {
			return fmt.Sprintf("CONCAT_WS('/', %[1]s.`group`, %[1]s.resource, %[1]s.namespace, %[1]s.name)", row)
		}
	}
	rows := map[string]string{
		"INSERT": `(` + writer + `, 'INSERT', NEW.cluster, ` + of("NEW") + `, '', '', NEW.uid, NEW.resource_version)`,
		"UPDATE": `(` + writer + `, 'UPDATE', NEW.cluster, ` + of("NEW") + `, OLD.uid, OLD.resource_version, NEW.uid, NEW.resource_version)`,
		"DELETE": `(` + writer + `, 'DELETE', OLD.cluster, ` + of("OLD") + `, OLD.uid, OLD.resource_version, '', '')`,
	}
	switch e {
	case sqlite:
		statements := []string{fmt.Sprintf(table, "integer PRIMARY KEY AUTOINCREMENT")}
		for op, row := range rows {
			statements = append(statements, fmt.Sprintf(`CREATE TRIGGER journal_%s AFTER %[1]s ON resources BEGIN INSERT INTO journal %s VALUES %s; END`, op, columns, row))
		}
		return statements
	case mariaDB:
		statements := []string{fmt.Sprintf(table, "bigint AUTO_INCREMENT PRIMARY KEY")}
		for op, row := range rows {
			statements = append(statements, fmt.Sprintf(`CREATE TRIGGER journal_%s AFTER %[1]s ON resources FOR EACH ROW INSERT INTO journal %s VALUES %s`, op, columns, row))
		}
		return statements
	}
	return []string{
		fmt.Sprintf(table, "bigserial PRIMARY KEY"),
		`CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF TG_OP = 'INSERT' THEN INSERT INTO journal ` + columns + ` VALUES ` + rows["INSERT"] + `;
			ELSIF TG_OP = 'UPDATE' THEN INSERT INTO journal ` + columns + ` VALUES ` + rows["UPDATE"] + `;
			ELSE INSERT INTO journal ` + columns + ` VALUES ` + rows["DELETE"] + `; END IF;
			RETURN NULL; END $$`,
		`CREATE TRIGGER journal AFTER INSERT OR UPDATE OR DELETE ON resources FOR EACH ROW EXECUTE FUNCTION note()`,
	}
}

// entry is one write of a row. The UID and the version of before are empty where there was
// none, and so are those of after.
type entry struct {
	n                                                    int64
	writer, op, object, oldUID, oldVersion, uid, version string
}

func (e entry) String() string {
	return fmt.Sprintf("%d %s by %s of %s: %s %s -> %s %s", e.n, e.op, e.writer, e.object, e.oldUID, e.oldVersion, e.uid, e.version)
}

// tally is what a journal says.
type tally struct {
	inserts, updates int
	deletes          []entry
	// needless are the writes that left a row as it was, or brought back what had
	// just been deleted; backward are those that replaced a version of an object by
	// an older one.
	needless, backward []entry
	// by has the number of the first and of the last entry of each writer.
	by map[string][2]int64
	// last is the number of the last entry.
	last int64
}

func (t tally) String() string {
	return fmt.Sprintf("%d rows inserted, %d updated, %d deleted, %d of them needlessly, %d backwards",
		t.inserts, t.updates, len(t.deletes), len(t.needless), len(t.backward))
}

// tally reads the entries behind a number.
func (j journal) tally(ctx context.Context, after int64) (tally, error) {
	t := tally{last: after, by: map[string][2]int64{}}
	rows, err := j.db.QueryContext(ctx, fmt.Sprintf("SELECT n, writer, op, object, old_uid, old_version, uid, version FROM journal WHERE n > %d ORDER BY n", after))
	if err != nil {
		return t, err
	}
	defer rows.Close()
	deleted := map[string]entry{}
	for rows.Next() {
		var e entry
		if err := rows.Scan(&e.n, &e.writer, &e.op, &e.object, &e.oldUID, &e.oldVersion, &e.uid, &e.version); err != nil {
			return t, err
		}
		t.last = e.n
		first := e.n
		if known, ok := t.by[e.writer]; ok {
			first = known[0]
		}
		t.by[e.writer] = [2]int64{first, e.n}
		switch e.op {
		case "INSERT":
			t.inserts++
			if d, ok := deleted[e.object]; ok && d.oldUID == e.uid && d.oldVersion == e.version {
				t.needless = append(t.needless, e)
			}
		case "UPDATE":
			t.updates++
			if e.uid == e.oldUID && e.version == e.oldVersion {
				t.needless = append(t.needless, e)
			}
			if e.uid == e.oldUID && number(e.version) < number(e.oldVersion) {
				t.backward = append(t.backward, e)
			}
		case "DELETE":
			t.deletes = append(t.deletes, e)
			deleted[e.object] = e
		}
	}
	return t, rows.Err()
}

func number(version string) uint64 {
	n, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
