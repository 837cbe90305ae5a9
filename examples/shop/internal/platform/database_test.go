package platform

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

func TestOpenDB(t *testing.T) {
	t.Run("LogsMigrationsAsTheService", func(t *testing.T) {
		var logs bytes.Buffer
		db := "sqlite:" + filepath.Join(t.TempDir(), "payments.db")
		p, err := New(t.Context(), Config{Name: "payments", DB: db, LogFormat: "text"}, &Options{Logs: &logs})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		files := fstest.MapFS{"migrations/0001_things.sql": {Data: []byte("CREATE TABLE things (id INTEGER)")}}
		opened, err := p.OpenDB(t.Context(), files)
		if err != nil {
			t.Fatal(err)
		}
		if err := opened.Migrate(opened.Outbox.Migrate, opened.Inbox.Migrate).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"schema_migrations", "mainstay_outbox_migrations", "mainstay_inbox_migrations"} {
			if !strings.Contains(logs.String(), "table="+table+" ") {
				t.Errorf("the service's log has no line of %s:\n%s", table, &logs)
			}
		}
	})
}

func TestDatabases(t *testing.T) {
	t.Run("AreFilesWithoutAServer", func(t *testing.T) {
		dbs, err := Databases(t.Context(), "", "/dir", []string{"orders", "users"})
		if err != nil || len(dbs) != 2 || dbs["orders"] != "sqlite:/dir/orders.db" || dbs["users"] != "sqlite:/dir/users.db" {
			t.Errorf("Databases = %q, %v, want a file each, nil", dbs, err)
		}
	})
	for _, base := range []string{"sqlite:/tmp/shop.db", "mysql://u:hunter2@h/n", "hunter2"} {
		t.Run("Refuse/"+base[:5], func(t *testing.T) {
			dbs, err := Databases(t.Context(), base, "/dir", []string{"orders"})
			if err == nil || !strings.Contains(err.Error(), "-db") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("Databases = %q, %v, want an error that names the flag and not the password", dbs, err)
			}
		})
	}
}
