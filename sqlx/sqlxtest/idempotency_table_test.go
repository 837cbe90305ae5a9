package sqlxtest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/idempotency"
	"github.com/mainstay-go/mainstay/sqlx/sqlxtest"
)

func quietKeys(db *sql.DB, d sqlx.Dialect, table string) *idempotency.Keys {
	return idempotency.New(db, d, &idempotency.Options{
		Table: table, Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
	})
}

// plainSQL is the file that a team gives to its own tool.
func plainSQL(t *testing.T, pkg string, d sqlx.Dialect, file string) string {
	t.Helper()
	text, err := os.ReadFile("../" + pkg + "/migrations/" + d.String() + "/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func idempotencySQL(t *testing.T, d sqlx.Dialect) string {
	return plainSQL(t, "idempotency", d, "0001_create_idempotency.sql")
}

func TestIdempotencyTable(t *testing.T) {
	t.Run("ByManyReplicasAtOnce", func(t *testing.T) {
		sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
			errs := together(5, func() error { return quietKeys(db, d, "").Migrate(t.Context()) })
			if err := errors.Join(append(errs, quietKeys(db, d, "").Verify(t.Context()))...); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("OtherTablesLiveBeside", func(t *testing.T) { eachShop(t, idempotency.Options{}, otherKeys) })
	t.Run("VerifyTellsWhatIsMissing", verifyTells)
	t.Run("WithoutTheRightToCreate", withoutDDL)
	t.Run("Partitioned", keysPartitioned)
	t.Run("CleanRemovesWhatHasExpired", func(t *testing.T) { eachShop(t, idempotency.Options{}, cleans) })
	t.Run("TheCleanerGoesOn", func(t *testing.T) { eachShop(t, idempotency.Options{}, cleanerGoesOn) })
}

func otherKeys(s *shop) {
	tables := []string{"a", strings.Repeat("t", 37)}
	if s.d == sqlx.Postgres {
		mustExec(s, s.db, `CREATE SCHEMA app`)
		tables = append(tables, "app.mainstay_idempotency")
	}
	for i, table := range tables {
		s.keys = quietKeys(s.db, s.d, table)
		if err := errors.Join(s.keys.Migrate(s.Context()), s.keys.Verify(s.Context())); err != nil {
			s.Fatal(err)
		}
		path := fmt.Sprint("/", i)
		s.leased("POST "+path, s.order)
		s.want(req{path: path, key: `"k"`}, 201, false)
		s.want(req{path: path, key: `"k"`}, 201, true)
		if got := number(s, s.db, `SELECT count(*) FROM `+table); got != 1 {
			s.Errorf("%d rows in %s, want 1", got, table)
		}
	}
}

func verifyTells(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		keys := quietKeys(db, d, "")
		text := idempotencySQL(t, d)
		for _, tt := range []struct{ name, sql, want string }{
			{"no table", `SELECT 1`, "mainstay_idempotency"},
			{"no column", strings.ReplaceAll(text, "holder ", "owner "), "holder"},
			{"no unique key", strings.NewReplacer("PRIMARY KEY", "", "WITHOUT ROWID", "").Replace(text), "ON CONFLICT"},
		} {
			mustExec(t, db, tt.sql)
			if err := keys.Verify(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Verify with %s = %v, want an error with %s", tt.name, err, tt.want)
			}
			mustExec(t, db, `DROP TABLE IF EXISTS mainstay_idempotency`)
		}
		mustExec(t, db, text)
		if err := keys.Verify(t.Context()); err != nil {
			t.Errorf("Verify of the plain SQL = %v, want nil", err)
		}
		if got := number(t, db, `SELECT count(*) FROM mainstay_idempotency`); got != 0 {
			t.Errorf("Verify has left %d rows, want none", got)
		}
	})
}

// withoutDDL has the table made by its owner and used by a role that may only read and write it.
func withoutDDL(t *testing.T) {
	dsn := sqlxtest.DSN(t, sqlx.Postgres)
	owner := inboxReplica(t, sqlx.Postgres, dsn)
	role := strings.NewReplacer("/", "_", "#", "_").Replace(strings.ToLower("app_" + fmt.Sprint(time.Now().UnixNano())))
	mustExec(t, owner, idempotencySQL(t, sqlx.Postgres))
	mustExec(t, owner, `CREATE TABLE effects (who TEXT NOT NULL, what TEXT NOT NULL)`)
	mustExec(t, owner, `REVOKE CREATE ON SCHEMA public FROM PUBLIC`)
	mustExec(t, owner, `CREATE ROLE `+role+` LOGIN`)
	defer mustExec(t, owner, `DROP OWNED BY `+role+`; DROP ROLE `+role)
	mustExec(t, owner, `GRANT SELECT, INSERT, UPDATE ON mainstay_idempotency, effects TO `+role)
	as, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	as.User = url.User(role)
	db := inboxReplica(t, sqlx.Postgres, as.String())
	keys := quietKeys(db, sqlx.Postgres, "")
	if err := keys.Verify(t.Context()); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("Verify without the right to delete = %v, want an error that says so", err)
	}
	mustExec(t, owner, `GRANT DELETE ON mainstay_idempotency TO `+role)
	if err := keys.Verify(t.Context()); err != nil {
		t.Errorf("Verify = %v, want nil", err)
	}
	if err := keys.Migrate(t.Context()); err == nil {
		t.Error("Migrate = nil, want an error: it may not")
	}
	s := &shop{T: t, db: db, d: sqlx.Postgres, keys: keys, mux: http.NewServeMux()}
	s.inTx(nil)
	s.want(req{key: `"k"`, body: mug}, 201, false)
	s.want(req{key: `"k"`, body: mug}, 201, true)
	db.Close() // before its role goes
}

func keysPartitioned(t *testing.T) {
	db := sqlxtest.Postgres(t)
	mustExec(t, db, strings.Replace(idempotencySQL(t, sqlx.Postgres), "\n);", "\n) PARTITION BY HASH (id);", 1))
	for i := range 3 {
		mustExec(t, db, fmt.Sprintf(`CREATE TABLE part%d PARTITION OF mainstay_idempotency
			FOR VALUES WITH (MODULUS 3, REMAINDER %[1]d)`, i))
	}
	mustExec(t, db, `CREATE TABLE effects (who TEXT NOT NULL, what TEXT NOT NULL)`)
	s := &shop{T: t, db: db, d: sqlx.Postgres, keys: quietKeys(db, sqlx.Postgres, ""), mux: http.NewServeMux()}
	if err := s.keys.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	s.inTx(nil)
	s.leased("POST /leased", s.order)
	for i := range 20 {
		for _, path := range []string{"/orders", "/leased"} {
			key := fmt.Sprintf(`"k%d"`, i)
			s.want(req{path: path, key: key, body: mug}, 201, false)
			s.want(req{path: path, key: key, body: mug}, 201, true)
		}
	}
	s.age(25 * time.Hour)
	if n, err := s.keys.Clean(t.Context()); n != 40 || err != nil {
		t.Errorf("Clean = %d, %v, want 40", n, err)
	}
}

// fill makes n keys that expire in d, and whose lease ends in lease.
func (s *shop) fill(name string, n int, d, lease time.Duration) {
	s.Helper()
	id := `'` + name + `-' || i`
	if s.d == sqlx.Postgres {
		id = `CAST(` + id + ` AS BYTEA)`
	}
	mustExec(s, s.db, fmt.Sprintf(`INSERT INTO mainstay_idempotency (id, fingerprint, route, idempotency_key, holder,
		lease_ms, expires_ms) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
		SELECT %s, '', '', '', '', %s + %d, %[3]s + %[5]d FROM n`, n, id, s.d.Now(), lease.Milliseconds(), d.Milliseconds()))
}

func cleans(s *shop) {
	s.fill("old", 2500, -time.Second, -time.Second)
	s.fill("kept", 10, time.Hour, -time.Second)
	s.fill("at-work", 7, -time.Second, time.Hour)
	var sum int64
	counts := make(chan int64, 4)
	errs := together(4, func() error {
		n, err := s.keys.Clean(s.Context())
		counts <- n
		return err
	})
	if err := errors.Join(errs...); err != nil {
		s.Error(err)
	}
	for range 4 {
		sum += <-counts
	}
	if left := number(s, s.db, `SELECT count(*) FROM mainstay_idempotency`); left != 17 || sum != 2500 {
		s.Errorf("the four removed %d together and left %d, want 2500 and 17", sum, left)
	}
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	if _, err := s.keys.Clean(ctx); !errors.Is(err, context.Canceled) {
		s.Errorf("Clean = %v, want %v", err, context.Canceled)
	}
}

// cleanerGoesOn has the table come after the cleaner.
func cleanerGoesOn(s *shop) {
	mustExec(s, s.db, `ALTER TABLE mainstay_idempotency RENAME TO elsewhere`)
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	c := s.keys.Cleaner(10 * time.Millisecond)
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	eventually(s.T, func() bool { return strings.Contains(s.logs.String(), "clean-up failed") })
	mustExec(s, s.db, `ALTER TABLE elsewhere RENAME TO mainstay_idempotency`)
	s.fill("old", 5, -time.Second, -time.Second)
	eventually(s.T, func() bool { return number(s, s.db, `SELECT count(*) FROM mainstay_idempotency`) == 0 })
	cancel()
	if err := <-done; err != nil {
		s.Errorf("Run = %v, want nil", err)
	}
	if got := c.String(); got != "idempotency cleaner" {
		s.Errorf("String = %q, want idempotency cleaner", got)
	}
}
