package sqlxtest_test

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/sqlxtest"
)

func TestOpen(t *testing.T) {
	t.Run("WaitsForADatabaseThatComesBack", openWaits)
	t.Run("EndsWithItsContext", openEndsWithContext)
	t.Run("HidesADSNThatCannotBeParsed", openHidesDSN)
	t.Run("RefusedCredentialsAreFinal", openRefused)
	t.Run("ASQLiteFileThatCannotBeOpenedIsFinal", openNoFile)
}

// warnings is a log that tells of its first line.
type warnings struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	once  sync.Once
	first chan struct{}
}

func newWarnings() *warnings { return &warnings{first: make(chan struct{})} }

func (w *warnings) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.once.Do(func() { close(w.first) })
	return w.buf.Write(p)
}

func (w *warnings) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

func (w *warnings) options() *sqlx.Options {
	return &sqlx.Options{Logger: slog.New(slog.NewJSONHandler(w, nil)), Registerer: prometheus.NewRegistry()}
}

func openWaits(t *testing.T) {
	p := newProxy(t, sqlxtest.DSN(t, sqlx.Postgres))
	log := newWarnings()
	go func() {
		<-log.first
		p.start(t)
	}()
	db, err := sqlx.Open(t.Context(), sqlx.Postgres, p.DSN, log.options())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.PingContext(t.Context()); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "database not there yet") {
		t.Errorf("log = %q, want a warning", log.String())
	}
}

func openEndsWithContext(t *testing.T) {
	log := newWarnings()
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-log.first
		cancel(cause)
	}()
	dsn := "postgres://app:hunter2@127.0.0.1:1/shop"
	db, err := sqlx.Open(ctx, sqlx.Postgres, dsn, log.options())
	if db != nil || !errors.Is(err, cause) {
		t.Fatalf("Open = %v, %v, want an error that matches the context's cause", db, err)
	}
	for _, text := range []string{err.Error(), log.String()} {
		if strings.Contains(text, "hunter2") || strings.Contains(text, dsn) {
			t.Errorf("the DSN shows in %q", text)
		}
	}
}

func openHidesDSN(t *testing.T) {
	dsn := "postgres://app:hunter2@[::1/shop?sslmode=never"
	_, err := sqlx.Open(t.Context(), sqlx.Postgres, dsn, nil)
	if err == nil {
		t.Fatal("Open succeeded, want an error")
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if strings.Contains(e.Error(), "hunter2") || strings.Contains(e.Error(), "shop") {
			t.Errorf("the DSN shows in %q", e)
		}
	}
}

func openRefused(t *testing.T) {
	u, err := url.Parse(sqlxtest.DSN(t, sqlx.Postgres))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("nobody_here", "hunter2")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = sqlx.Open(ctx, sqlx.Postgres, u.String(), &sqlx.Options{Registerer: prometheus.NewRegistry()})
	if err == nil || ctx.Err() != nil {
		t.Fatalf("Open error = %v, context %v, want an error at once", err, ctx.Err())
	}
	var state interface{ SQLState() string }
	if !errors.As(err, &state) || !strings.HasPrefix(state.SQLState(), "28") {
		t.Errorf("Open error = %v, want one that matches the driver's", err)
	}
}

func openNoFile(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dsn := "file:" + filepath.Join(t.TempDir(), "missing", "test.db")
	_, err := sqlx.Open(ctx, sqlx.SQLite, dsn, &sqlx.Options{Registerer: prometheus.NewRegistry()})
	if err == nil || ctx.Err() != nil {
		t.Fatalf("Open error = %v, context %v, want an error at once", err, ctx.Err())
	}
}

func TestPool(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		if got := db.Stats().MaxOpenConnections; got != 20 {
			t.Errorf("MaxOpenConnections = %d by default, want 20", got)
		}
		burst(t, db, 20)
		sqlx.SetMaxOpen(db, 25)
		burst(t, db, 25)
	})
}

// burst has n workers query, twice, and wants every connection kept in between.
func burst(t *testing.T, db *sql.DB, n int) {
	t.Helper()
	for range 2 {
		var all []*sql.Conn
		for range n {
			c, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, c)
		}
		for _, c := range all {
			c.Close()
		}
	}
	if got := db.Stats(); got.MaxIdleClosed != 0 || got.Idle != n || got.OpenConnections != n {
		t.Errorf("after a burst of %d: idle %d, open %d, closed for idle %d; want %d, %d, 0",
			n, got.Idle, got.OpenConnections, got.MaxIdleClosed, n, n)
	}
}

func TestPoolOptions(t *testing.T) {
	for name, tt := range map[string]struct {
		o    sqlx.Options
		dsn  string
		want int
	}{
		"Bounded":         {sqlx.Options{MaxOpen: 3}, "", 3},
		"Unbounded":       {sqlx.Options{MaxOpen: -1}, "", 0},
		"InMemoryIsOne":   {sqlx.Options{}, ":memory:", 1},
		"InMemoryByMode":  {sqlx.Options{}, "file:x?mode=memory", 1},
		"InMemoryOfShare": {sqlx.Options{}, "file:x?mode=memory&cache=shared", 20},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.dsn == "" {
				tt.dsn = sqlxtest.DSN(t, sqlx.SQLite)
			}
			tt.o.Registerer = prometheus.NewRegistry()
			db, err := sqlx.Open(t.Context(), sqlx.SQLite, tt.dsn, &tt.o)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if got := db.Stats().MaxOpenConnections; got != tt.want {
				t.Errorf("MaxOpenConnections = %d, want %d", got, tt.want)
			}
		})
	}
}

// A connection past its share of the lifetime is closed when it is given back, at 80% of it at the earliest.
func TestConnectionsAge(t *testing.T) {
	db, err := sqlx.Open(t.Context(), sqlx.Postgres, sqlxtest.DSN(t, sqlx.Postgres),
		&sqlx.Options{ConnMaxLifetime: time.Nanosecond, Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if got := db.Stats().OpenConnections; got != 0 {
		t.Errorf("open connections = %d, want 0", got)
	}
}

func TestSQLiteConnectionsAreSetUp(t *testing.T) {
	db := sqlxtest.SQLite(t)
	a, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for i, c := range []*sql.Conn{a, b} {
		for pragma, want := range map[string]string{
			"journal_mode": "wal", "busy_timeout": "5000", "synchronous": "2", "foreign_keys": "1",
		} {
			var got string
			if err := c.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
				t.Errorf("connection %d: %s = %q, %v, want %q", i, pragma, got, err, want)
			}
		}
	}
}

func TestRawIsTheDriversOwn(t *testing.T) {
	c, err := sqlxtest.Postgres(t).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.Raw(func(dc any) error {
		own := dc.(interface{ Raw() driver.Conn }).Raw()
		if _, ok := own.(*stdlib.Conn); !ok {
			return fmt.Errorf("the driver's own connection is a %T, want a *stdlib.Conn", own)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// What a driver converts by itself goes through: arrays on PostgreSQL, the types of columns on both.
func TestValuesPassThrough(t *testing.T) {
	db := sqlxtest.Postgres(t)
	var n int
	if err := db.QueryRowContext(t.Context(), `SELECT cardinality($1::text[])`, []string{"a", "b"}).Scan(&n); err != nil || n != 2 {
		t.Errorf("array of two = %d, %v, want 2", n, err)
	}
	st, err := db.PrepareContext(t.Context(), `SELECT cardinality($1::text[]) AS n`)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	rows, err := st.QueryContext(t.Context(), []string{"a", "b", "c"})
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil || types[0].DatabaseTypeName() != "INT4" {
		t.Errorf("column type = %q, %v, want INT4", types[0].DatabaseTypeName(), err)
	}
}

func TestObserve(t *testing.T) {
	for _, d := range []sqlx.Dialect{sqlx.SQLite, sqlx.Postgres} {
		t.Run(d.String(), func(t *testing.T) { observe(t, d) })
	}
}

func observe(t *testing.T, d sqlx.Dialect) {
	spans := tracetest.NewSpanRecorder()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	reg := prometheus.NewRegistry()
	db, err := sqlx.Open(t.Context(), d, sqlxtest.DSN(t, d), &sqlx.Options{TracerProvider: tp, Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()

	ctx, root := tp.Tracer("").Start(t.Context(), "request")
	if _, err := db.ExecContext(ctx, `CREATE TABLE person (email TEXT PRIMARY KEY)`); err != nil {
		t.Fatal(err)
	}
	insert := func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO person VALUES ($1)`, "ann@example.com")
		return err
	}
	if err := sqlx.InTx(ctx, db, insert, nil); err != nil {
		t.Fatal(err)
	}
	if err := sqlx.InTx(ctx, db, insert, nil); err == nil {
		t.Fatal("a second row of the same key was accepted")
	}
	root.End()
	// Outside a trace: measured, and no span.
	if _, err := db.ExecContext(t.Context(), `DELETE FROM person`); err != nil {
		t.Fatal(err)
	}

	var names []string
	for _, s := range spans.Ended() {
		names = append(names, s.Name())
		if s.SpanContext().TraceID() != root.SpanContext().TraceID() {
			t.Errorf("span %q belongs to another trace", s.Name())
		}
		if text := fmt.Sprint(s.Attributes(), s.Events(), s.Status()); strings.Contains(text, "ann@") || strings.Contains(text, "person") {
			t.Errorf("span %q shows data: %s", s.Name(), text)
		}
	}
	want := []string{"CREATE", "BEGIN", "INSERT", "COMMIT", "BEGIN", "INSERT", "ROLLBACK", "request"}
	if !slices.Equal(names, want) {
		t.Errorf("spans = %q, want %q", names, want)
	}
	code := map[sqlx.Dialect]string{sqlx.SQLite: "1555", sqlx.Postgres: "23505"}[d]
	for _, series := range []struct{ operation, errorType string }{
		{"INSERT", ""}, {"INSERT", code}, {"COMMIT", ""}, {"ROLLBACK", ""}, {"DELETE", ""},
	} {
		if got := count(t, reg, d.String(), series.operation, series.errorType); got != 1 {
			t.Errorf("%s of error_type %q counted %d times, want 1", series.operation, series.errorType, got)
		}
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("metrics lint: %v %v", problems, err)
	}
}

// count returns how many operations of that kind db_client_operation_duration_seconds has seen.
func count(t *testing.T, reg *prometheus.Registry, system, operation, errorType string) uint64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"db_system_name": system, "db_operation_name": operation, "error_type": errorType}
	for _, f := range families {
		if f.GetName() != "db_client_operation_duration_seconds" {
			continue
		}
	metrics:
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if want[l.GetName()] != l.GetValue() {
					continue metrics
				}
			}
			return m.GetHistogram().GetSampleCount()
		}
	}
	return 0
}
