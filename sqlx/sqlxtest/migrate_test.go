package sqlxtest_test

import (
	"bufio"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"modernc.org/sqlite"

	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/migrate"
	"github.com/mainstay-go/mainstay/sqlx/sqlxtest"
)

// migrations returns n files; each makes a table m1, m2, … and notes its number in the table of the first.
func migrations(n int) fstest.MapFS {
	fs := fstest.MapFS{}
	for i := 1; i <= n; i++ {
		fs[fmt.Sprintf("%04d_step.sql", i)] = &fstest.MapFile{Data: fmt.Appendf(nil,
			"CREATE TABLE m%d (n INT);\nINSERT INTO m1 VALUES (%d);\n", i, i)}
	}
	return fs
}

func up(t *testing.T, db *sql.DB, d sqlx.Dialect, fs fstest.MapFS, o *migrate.Options) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return migrate.New(db, d, fs, o).Up(ctx)
}

// applied checks that exactly the first n migrations are there, each once.
func applied(t *testing.T, db *sql.DB, n int) {
	t.Helper()
	if got := number(t, db, `SELECT count(*) FROM schema_migrations`); got != n {
		t.Errorf("%d migrations are recorded, want %d", got, n)
	}
	if got := number(t, db, `SELECT count(*) FROM m1`); got != n {
		t.Errorf("%d migrations ran, want %d", got, n)
	}
	if got := number(t, db, `SELECT count(DISTINCT n) FROM m1`); got != n {
		t.Errorf("%d distinct migrations ran, want %d", got, n)
	}
	if got := db.Stats().InUse; got != 0 {
		t.Errorf("connections in use = %d, want 0", got)
	}
}

func TestMigrate(t *testing.T) {
	t.Run("AppliesEachOnce", func(t *testing.T) {
		sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
			for _, n := range []int{3, 3, 5} {
				if err := up(t, db, d, migrations(n), nil); err != nil {
					t.Fatal(err)
				}
				applied(t, db, n)
			}
		})
	})
	t.Run("AFailureLeavesTheVersion", failureLeavesVersion)
	t.Run("AChangedFileIsAnError", changedFile)
	t.Run("ANewerDatabaseIsLeftAlone", newerDatabase)
	t.Run("SchemasLiveSideBySide", sideBySide)
	t.Run("BadTableIsAnError", func(t *testing.T) {
		db := sqlxtest.SQLite(t)
		for _, table := range []string{"a b", "A", "a.b.c", "a;", strings.Repeat("a", 49), "1a", "."} {
			if err := up(t, db, sqlx.SQLite, migrations(1), &migrate.Options{Table: table}); err == nil {
				t.Errorf("Up with table %q succeeded, want an error", table)
			}
		}
	})
	t.Run("ReplicasStartAtOnce", replicas)
	t.Run("TheHolderIsKilled", holderKilled)
	t.Run("ConcurrentIndexBuildWithWaiters", concurrentIndex)
	t.Run("WaitIsBounded", waitIsBounded)
	t.Run("APoolThatWasOpenedElsewhere", openedElsewhere)
}

func failureLeavesVersion(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		fs := migrations(5)
		good := fs["0003_step.sql"]
		fs["0003_step.sql"] = &fstest.MapFile{Data: []byte("CREATE TABLE m3 (n INT); INSERT INTO m1 VALUES (3); INSERT INTO missing VALUES (1)")}
		err := up(t, db, d, fs, nil)
		if err == nil || !strings.Contains(err.Error(), "0003_step") {
			t.Errorf("Up = %v, want an error that names 0003_step", err)
		}
		applied(t, db, 2)
		fs["0003_step.sql"] = good
		if err := up(t, db, d, fs, nil); err != nil {
			t.Fatal(err)
		}
		applied(t, db, 5)
	})
}

func changedFile(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		fs := migrations(3)
		if err := up(t, db, d, fs, nil); err != nil {
			t.Fatal(err)
		}
		fs = migrations(4)
		fs["0002_step.sql"].Data = append(fs["0002_step.sql"].Data, "-- an afterthought"...)
		err := up(t, db, d, fs, nil)
		if !errors.Is(err, migrate.ErrChanged) || !strings.Contains(err.Error(), "0002_step") {
			t.Errorf("Up = %v, want %v that names 0002_step", err, migrate.ErrChanged)
		}
		applied(t, db, 3)
	})
}

func newerDatabase(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		if err := up(t, db, d, migrations(12), nil); err != nil {
			t.Fatal(err)
		}
		log := newWarnings()
		if err := up(t, db, d, migrations(10), &migrate.Options{Logger: slog.New(slog.NewJSONHandler(log, nil))}); err != nil {
			t.Errorf("Up = %v, want nil", err)
		}
		for _, want := range []string{`"WARN"`, `"database_version":12`, `"program_version":10`} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("log = %s, want %s", log, want)
			}
		}
		err := up(t, db, d, migrations(10), &migrate.Options{Strict: true})
		if !errors.Is(err, migrate.ErrSchemaTooNew) || !strings.Contains(err.Error(), "12") || !strings.Contains(err.Error(), "10") {
			t.Errorf("Up under Strict = %v, want %v that names 12 and 10", err, migrate.ErrSchemaTooNew)
		}
		applied(t, db, 12)
	})
}

func sideBySide(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		if err := up(t, db, d, migrations(2), nil); err != nil {
			t.Fatal(err)
		}
		other := fstest.MapFS{"0001_other.sql": {Data: []byte("CREATE TABLE other (n INT)")}}
		for range 2 {
			if err := up(t, db, d, other, &migrate.Options{Table: "other_migrations"}); err != nil {
				t.Fatal(err)
			}
		}
		applied(t, db, 2)
		if got := number(t, db, `SELECT count(*) FROM other_migrations`); got != 1 {
			t.Errorf("%d migrations of the other schema are recorded, want 1", got)
		}
	})
}

// openReplica opens another pool on dsn, as another replica would.
func openReplica(t *testing.T, d sqlx.Dialect, dsn string) *sql.DB {
	t.Helper()
	db, err := sqlx.Open(t.Context(), d, dsn, &sqlx.Options{Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func eachDSN(t *testing.T, f func(t *testing.T, d sqlx.Dialect, dsn string)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) { f(t, sqlx.SQLite, sqlxtest.DSN(t, sqlx.SQLite)) })
	t.Run("Postgres", func(t *testing.T) { f(t, sqlx.Postgres, sqlxtest.DSN(t, sqlx.Postgres)) })
}

func replicas(t *testing.T) {
	eachDSN(t, func(t *testing.T, d sqlx.Dialect, dsn string) {
		dbs := make(chan *sql.DB, 5)
		for range cap(dbs) {
			dbs <- openReplica(t, d, dsn)
		}
		errs := together(5, func() error {
			db := <-dbs
			defer func() { dbs <- db }()
			return up(t, db, d, migrations(10), nil)
		})
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
		applied(t, <-dbs, 10)
	})
}

// victimVariable makes a child of the test's own binary the replica that is killed.
const victimVariable = "SQLXTEST_VICTIM_DSN"

// pausing is migrations, the fourth of which goes through a function that never ends in the victim.
func pausing(d sqlx.Dialect) fstest.MapFS {
	fs := migrations(10)
	data := "CREATE TABLE m4 (n INT);\nINSERT INTO m1 VALUES (4);\nSELECT pause();\n"
	fs["0004_step.sql"] = &fstest.MapFile{Data: []byte(data)}
	return fs
}

var registerPause = sync.OnceValue(func() error {
	return sqlite.RegisterScalarFunction("pause", 0, func(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) {
		if os.Getenv(victimVariable) != "" {
			fmt.Println("inside")
			select {}
		}
		return int64(0), nil
	})
})

func holderKilled(t *testing.T) {
	if dsn := os.Getenv(victimVariable); dsn != "" {
		victim(t, dsn)
		return
	}
	if err := registerPause(); err != nil {
		t.Fatal(err)
	}
	eachDSN(t, func(t *testing.T, d sqlx.Dialect, dsn string) {
		db := openReplica(t, d, dsn)
		victimDSN := dsn
		if d == sqlx.Postgres {
			mustExec(t, db, `CREATE FUNCTION pause() RETURNS INT LANGUAGE plpgsql AS $$ BEGIN
				IF current_setting('application_name') = 'victim' THEN PERFORM pg_sleep(3600); END IF;
				RETURN 0; END $$`)
			victimDSN += "&application_name=victim"
		}
		kill := startVictim(t, db, d, victimDSN)
		applied(t, db, 3)

		done := make(chan error, 5)
		var wg sync.WaitGroup
		for range cap(done) {
			replica := openReplica(t, d, dsn)
			wg.Go(func() { done <- up(t, replica, d, pausing(d), nil) })
		}
		select {
		case err := <-done:
			t.Errorf("a replica ended with %v while the holder lived", err)
		case <-time.After(500 * time.Millisecond):
		}
		kill()
		start := time.Now()
		wg.Wait()
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("the others took %v after the kill, want at most 30s", took)
		}
		close(done)
		for err := range done {
			if err != nil {
				t.Error(err)
			}
		}
		applied(t, db, 10)
	})
}

// victim is what the child runs: it never gets past the fourth migration.
func victim(t *testing.T, dsn string) {
	d := sqlx.SQLite
	if strings.HasPrefix(dsn, "postgres") {
		d = sqlx.Postgres
	}
	if err := registerPause(); err != nil {
		t.Fatal(err)
	}
	db := openReplica(t, d, dsn)
	err := migrate.New(db, d, pausing(d), nil).Up(context.Background())
	t.Fatalf("Up of the victim = %v, want never", err)
}

// startVictim returns once the child is inside its fourth migration; kill ends it as kill -9 does.
func startVictim(t *testing.T, db *sql.DB, d sqlx.Dialect, dsn string) (kill func()) {
	t.Helper()
	cmd := rerun("-test.run=^TestMigrate$/^TheHolderIsKilled$", "-test.v")
	cmd.Env = append(os.Environ(), victimVariable+"="+dsn)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	t.Cleanup(kill)
	if d == sqlx.Postgres {
		eventually(t, func() bool {
			return number(t, db, `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'victim' AND wait_event = 'PgSleep'`) == 1
		})
		return kill
	}
	for lines := bufio.NewScanner(out); ; {
		if !lines.Scan() {
			t.Fatal("the victim ended before it was inside")
		}
		if lines.Text() == "inside" {
			return kill
		}
	}
}

// rerun is a command that runs this test binary again.
func rerun(args ...string) *exec.Cmd { return exec.Command(os.Args[0], args...) }

// eventually waits for what another process does.
func eventually(t *testing.T, f func() bool) {
	t.Helper()
	deadline := time.After(60 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-deadline:
			t.Fatal("not within a minute")
		case <-tick.C:
		}
	}
}

func concurrentIndex(t *testing.T) {
	dsn := sqlxtest.DSN(t, sqlx.Postgres)
	db := openReplica(t, sqlx.Postgres, dsn)
	mustExec(t, db, `CREATE TABLE big AS SELECT n FROM generate_series(1, 100000) n`)
	fs := fstest.MapFS{
		"0001_first.sql": {Data: []byte("CREATE TABLE m1 (n INT)")},
		"0002_index.sql": {Data: []byte("-- migrate:no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS big_n ON big (n)")},
	}
	dbs := make(chan *sql.DB, 4)
	for range cap(dbs) {
		dbs <- openReplica(t, sqlx.Postgres, dsn)
	}
	errs := together(4, func() error { return up(t, <-dbs, sqlx.Postgres, fs, nil) })
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	if got := number(t, db, `SELECT count(*) FROM pg_index WHERE indexrelid = 'big_n'::regclass AND indisvalid`); got != 1 {
		t.Errorf("%d valid indexes, want 1", got)
	}
	if got := number(t, db, `SELECT count(*) FROM schema_migrations`); got != 2 {
		t.Errorf("%d migrations are recorded, want 2", got)
	}
}

func waitIsBounded(t *testing.T) {
	eachDSN(t, func(t *testing.T, d sqlx.Dialect, dsn string) {
		holder := openReplica(t, d, dsn)
		if d == sqlx.SQLite {
			dsn += "?_pragma=busy_timeout(1)"
		}
		db := openReplica(t, d, dsn)
		entered, leave := make(chan struct{}), make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { hold(t, holder, d, entered, leave) })
		<-entered
		err := up(t, db, d, migrations(2), &migrate.Options{LockTimeout: 300 * time.Millisecond})
		if !errors.Is(err, migrate.ErrLockTimeout) {
			t.Errorf("Up = %v, want %v", err, migrate.ErrLockTimeout)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := migrate.New(db, d, migrations(2), nil).Up(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Up under a deadline = %v, want %v", err, context.DeadlineExceeded)
		}
		close(leave)
		wg.Wait()
		if err := up(t, db, d, migrations(2), nil); err != nil {
			t.Error(err)
		}
		applied(t, db, 2)
	})
}

// hold takes the lock that a migrator takes, until leave is closed.
func hold(t *testing.T, db *sql.DB, d sqlx.Dialect, entered, leave chan struct{}) {
	if d == sqlx.SQLite {
		tx, err := db.Begin()
		if err != nil {
			t.Error(err)
		}
		defer tx.Rollback()
		close(entered)
		<-leave
		return
	}
	// A migrator whose first migration waits for a lock that this connection holds.
	tx, err := db.Begin()
	if err != nil {
		t.Error(err)
	}
	tx.Exec(`SELECT pg_advisory_xact_lock(1)`)
	fs := fstest.MapFS{"0001_wait.sql": {Data: []byte("SELECT pg_advisory_xact_lock(1)")}}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := up(t, db, d, fs, &migrate.Options{}); err != nil {
			t.Error(err)
		}
	})
	eventually(t, func() bool { return number(t, db, `SELECT count(*) FROM pg_locks WHERE NOT granted`) == 1 })
	close(entered)
	<-leave
	tx.Rollback()
	wg.Wait()
	mustExec(t, db, `DELETE FROM schema_migrations`)
}

// A plain sql.Open does: SQLite's transactions then begin deferred.
func openedElsewhere(t *testing.T) {
	dsn := sqlxtest.DSN(t, sqlx.SQLite)
	errs := together(5, func() error {
		db, err := sql.Open("sqlite", dsn+"?_pragma=busy_timeout(5000)")
		if err != nil {
			return err
		}
		defer db.Close()
		return up(t, db, sqlx.SQLite, migrations(5), nil)
	})
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	applied(t, openReplica(t, sqlx.SQLite, dsn), 5)
}
