package sqlxtest_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/outbox"
	"github.com/mainstay-go/mainstay/sqlx/sqlxtest"
)

func TestOutboxRestore(t *testing.T) {
	t.Run("ADumpGoesOnInAnotherDatabase", dumped)
	t.Run("RowsBelowWhatWasSentAreFoundByARunningRelay", lowerNumbers)
}

// program returns a program of the newest PostgreSQL on the machine, or skips t.
func program(t *testing.T, name string) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) > 0 {
		return found[len(found)-1]
	}
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("CI") != "" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skipf("no %s on this machine", name)
	}
	return path
}

// dumped takes the dump while a replica holds the shards and has sent some of the rows.
func dumped(t *testing.T) {
	dump, psql := program(t, "pg_dump"), program(t, "psql")
	from, to := sqlxtest.DSN(t, sqlx.Postgres), sqlxtest.DSN(t, sqlx.Postgres)
	open := func(dsn string) *sql.DB {
		db, err := sqlx.Open(t.Context(), sqlx.Postgres, dsn, &sqlx.Options{Registerer: prometheus.NewRegistry()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	db := open(from)
	box, b := newBox(t, db, sqlx.Postgres), newBroker()
	want := []string{"1", "2", "3", "4"}
	send(t, db, box, "orders", "k", want...)
	inside, leave := make(chan struct{}), make(chan struct{})
	b.set(func(context.Context, string, []*pubsub.Message) error {
		close(inside)
		<-leave
		return nil
	})
	stop := relay(t, box, b, nil)
	<-inside
	text, err := exec.CommandContext(t.Context(), dump, from).Output()
	if err != nil {
		t.Fatal(err, stderr(err))
	}
	close(leave)
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	load := exec.CommandContext(t.Context(), psql, "-q", "-v", "ON_ERROR_STOP=1", to)
	load.Stdin = strings.NewReader(string(text))
	if _, err := load.Output(); err != nil {
		t.Fatal(err, stderr(err))
	}
	db = open(to)
	box, b = newBox(t, db, sqlx.Postgres), newBroker()
	if err := box.Verify(t.Context()); err != nil {
		t.Errorf("Verify = %v, want nil", err)
	}
	relay(t, box, b, nil)
	send(t, db, box, "orders", "k", "5")
	b.wait(t, 5) // once the lease of a replica that is not here has ended
	empty(t, db)
	if got, want := b.payloads(), append(want, "5"); !slices.Equal(got, want) {
		t.Errorf("sent = %q, want %q", got, want)
	}
}

func stderr(err error) string {
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(e.Stderr)
	}
	return ""
}

// lowerNumbers restores rows, numbers included, below a relay that has sent thousands and never had a pause.
func lowerNumbers(t *testing.T) {
	db := sqlxtest.Postgres(t)
	box, b := newBox(t, db, sqlx.Postgres), newBroker()
	all := keys(200)
	for range 100 {
		sendEach(t, db, box, all, "x")
	}
	var once sync.Once
	inside, leave := make(chan struct{}), make(chan struct{})
	var sent int
	b.set(func(_ context.Context, _ string, ms []*pubsub.Message) error {
		if sent += len(ms); sent > 15_000 {
			once.Do(func() {
				close(inside)
				<-leave
			})
		}
		return nil
	})
	relay(t, box, b, nil)
	<-inside
	mustExec(t, db, `INSERT INTO mainstay_outbox (shard, seq, topic, message_id, message_key, envelope, data)
		OVERRIDING SYSTEM VALUE SELECT shard, n, topic, 'restored-' || n, message_key, envelope, 'restored'
		FROM mainstay_outbox, generate_series(1, 50) AS n WHERE seq = (SELECT max(seq) FROM mainstay_outbox)`)
	close(leave)
	b.wait(t, 100*len(all)+50)
	empty(t, db)
	restored := 0
	for _, p := range b.payloads() {
		if p == "restored" {
			restored++
		}
	}
	if restored != 50 {
		t.Errorf("%d of the restored rows were sent, want 50", restored)
	}
}

// TestOutboxFilesAlone: the tables from the plain files are what Migrate makes, so that Verify accepts them.
func TestOutboxFilesAlone(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		box, b := outbox.New(db, d, nil), newBroker()
		if err := box.Verify(t.Context()); err == nil {
			t.Error("Verify of an empty database = nil, want an error")
		}
		mustExec(t, db, readFile(t, "../outbox/migrations/"+d.String()+"/0001_outbox.sql"))
		if err := box.Verify(t.Context()); err != nil {
			t.Errorf("Verify = %v, want nil", err)
		}
		relay(t, box, b, nil)
		send(t, db, box, "orders", "k", "1")
		b.wait(t, 1)
		empty(t, db)
	})
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
