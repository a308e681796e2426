package store_test

import (
	"database/sql"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRefused brings the schema up to date as a user of MariaDB who may make no triggers:
// all else is made, and whoever comes next does not wait for a lock.
func TestRefused(t *testing.T) {
	t.Parallel()
	old := oldDatabase{driver: "mysql", config: mysqlOn("TEST_MYSQL_DSN")(t), mark: question}
	dsn := old.config["dsn"].(string)
	db, err := sql.Open("mysql", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	database := regexp.MustCompile(`\)/([^?]*)`).FindStringSubmatch(dsn)[1]
	user := strings.ReplaceAll(database, "test_", "user_")
	old.exec(t, db, "CREATE USER "+user+" IDENTIFIED BY 'secret'")
	t.Cleanup(func() {
		_, err := db.Exec("DROP USER " + user) //nolint:noctx // the test's context has ended
		require.NoError(t, err)
	})
	old.exec(t, db, "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, DROP ON "+database+".* TO "+user)
	old.config["dsn"] = regexp.MustCompile(`^[^@]*@`).ReplaceAllString(dsn, user+":secret@")
	for range 2 {
		st := unchanged(t, old)
		require.NoError(t, st.Migrate(t.Context(), nil))
		require.Equal(t, []string{"keep a table of labels, by triggers", "fill the table of labels"}, pending(t, old))
	}
}
