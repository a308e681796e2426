package conformance

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSchema is case 211 of the contract, section 6.3: what others read from the table of
// objects. It may have more.
func TestSchema(t *testing.T) {
	t.Parallel()
	statements := map[string]string{
		sqlite:     `SELECT name, lower(type), CASE WHEN "notnull" = 1 OR pk = 1 THEN 'NO' ELSE 'YES' END FROM pragma_table_info('resources')`,
		postgresql: "SELECT column_name, CASE WHEN character_maximum_length IS NULL THEN data_type ELSE 'varchar(' || character_maximum_length || ')' END, is_nullable FROM information_schema.columns WHERE table_schema = 'public' AND table_name = 'resources'",
		mariadb:    "SELECT column_name, column_type, is_nullable FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'resources'",
	}
	for _, d := range all(t) {
		if d.database == nil {
			continue
		}
		t.Run(d.storage, func(t *testing.T) {
			t.Parallel()
			rows, err := d.database.read(statements[d.storage])
			require.NoError(t, err)
			columns := map[string]string{}
			for _, row := range rows {
				name, rest, _ := strings.Cut(strings.Trim(row, "[]"), " ")
				columns[name] = rest
			}
			// What texts hold at most differs from the contract, which has less.
			const text = `(text|varchar\(\d+\)|varbinary\(\d+\)) NO`
			moment, document := `(datetime|datetime\(3\)|timestamp with time zone)`, `(json|jsonb|longtext)`
			for name, want := range map[string]string{
				"id": `(integer|bigint|bigint\(20\) unsigned) NO`, "group": text, "version": text, "resource": text, "kind": text, "cluster": text,
				"namespace": text, "name": text, "owner_uid": text, "uid": text, "resource_version": text,
				"object": document + " NO", "events": document + " YES", "event_resource_versions": document + " YES",
				"created_at": moment + " NO", "synced_at": moment + " NO", "deleted_at": moment + " YES",
			} {
				require.Regexp(t, "^"+want+"$", columns[name], "%s of %v", name, columns)
			}
		})
	}
}
