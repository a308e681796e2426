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
func installJournal(ctx context.Context, db *sql.DB, driver string) (journal, error) {
	for _, statement := range journalStatements(driver) {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return journal{}, fmt.Errorf("%s: %w", statement, err)
		}
	}
	return journal{db}, nil
}

func journalStatements(driver string) []string {
	const (
		table   = `CREATE TABLE journal (n %s, op text, cluster text, object text, old_uid text, old_version text, uid text, version text)`
		columns = `(op, cluster, object, old_uid, old_version, uid, version)`
		name    = `"group" || '/' || %[1]s.resource || '/' || %[1]s.namespace || '/' || %[1]s.name`
	)
	of := func(row string) string { return row + "." + fmt.Sprintf(name, row) }
	rows := map[string]string{
		"INSERT": `('INSERT', NEW.cluster, ` + of("NEW") + `, '', '', NEW.uid, NEW.resource_version)`,
		"UPDATE": `('UPDATE', NEW.cluster, ` + of("NEW") + `, OLD.uid, OLD.resource_version, NEW.uid, NEW.resource_version)`,
		"DELETE": `('DELETE', OLD.cluster, ` + of("OLD") + `, OLD.uid, OLD.resource_version, '', '')`,
	}
	if driver == "sqlite3" {
		statements := []string{fmt.Sprintf(table, "integer PRIMARY KEY AUTOINCREMENT")}
		for op, row := range rows {
			statements = append(statements, fmt.Sprintf(`CREATE TRIGGER journal_%s AFTER %[1]s ON resources BEGIN INSERT INTO journal %s VALUES %s; END`, op, columns, row))
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

// tally is what a journal says.
type tally struct {
	inserts, updates, deletes int
	// needless are the writes that left a row as it was, or brought back what had
	// just been deleted; backward are those that replaced a version of an object by
	// an older one.
	needless, backward []string
	// last is the number of the last entry.
	last int64
}

func (t tally) String() string {
	return fmt.Sprintf("%d rows inserted, %d updated, %d deleted, %d of them needlessly, %d backwards",
		t.inserts, t.updates, t.deletes, len(t.needless), len(t.backward))
}

// tally reads the entries behind one number.
func (j journal) tally(ctx context.Context, after int64) (tally, error) {
	t := tally{last: after}
	rows, err := j.db.QueryContext(ctx, "SELECT n, op, object, old_uid, old_version, uid, version FROM journal WHERE n > $1 ORDER BY n", after)
	if err != nil {
		return t, err
	}
	defer rows.Close()
	deleted := map[string]string{}
	for rows.Next() {
		var op, object, oldUID, oldVersion, uid, version string
		if err := rows.Scan(&t.last, &op, &object, &oldUID, &oldVersion, &uid, &version); err != nil {
			return t, err
		}
		was, is := oldUID+" "+oldVersion, uid+" "+version
		entry := fmt.Sprintf("%d %s %s: %s -> %s", t.last, op, object, was, is)
		switch op {
		case "INSERT":
			t.inserts++
			if deleted[object] == is {
				t.needless = append(t.needless, entry)
			}
		case "UPDATE":
			t.updates++
			if was == is {
				t.needless = append(t.needless, entry)
			}
			if uid == oldUID && number(version) < number(oldVersion) {
				t.backward = append(t.backward, entry)
			}
		case "DELETE":
			t.deletes++
			deleted[object] = was
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
