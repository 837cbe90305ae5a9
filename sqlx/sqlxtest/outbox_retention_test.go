package sqlxtest_test

import (
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/outbox"
	"github.com/mainstay-go/mainstay/sqlx/sqlxtest"
)

func TestOutboxRetention(t *testing.T) {
	t.Run("KeepsWhatWasSent", keptForRetention)
	t.Run("PruneRemovesWhatIsOlder", pruned)
	t.Run("TheRelayRemovesWhatIsOlder", tidied)
	t.Run("PartitionsWork", partitioned)
	t.Run("PruneRefusesAnAgeOfNothing", func(t *testing.T) {
		if _, err := outbox.New(sqlxtest.SQLite(t), sqlx.SQLite, nil).Prune(t.Context(), 0); err == nil {
			t.Error("Prune of age 0 = nil, want an error")
		}
	})
}

func keptForRetention(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		box, b := newBox(t, db, d), newBroker()
		send(t, db, box, "orders", "k", "1", "2", "3")
		relay(t, box, b, &outbox.RelayOptions{Retention: time.Hour})
		b.wait(t, 3)
		empty(t, db)
		for i, m := range b.messages() {
			n := number(t, db, `SELECT count(*) FROM mainstay_outbox_sent WHERE message_id = $1 AND topic = 'orders' AND
				message_key = 'k' AND data = $2 AND sent_ms >= created_ms AND envelope <> ''`, m.ID, m.Data)
			if n != 1 {
				t.Errorf("message %d is kept %d times, want once, as it was", i, n)
			}
		}
		if n, err := box.Prune(t.Context(), time.Hour); n != 0 || err != nil {
			t.Errorf("Prune = %d, %v, want 0: all are younger", n, err)
		}
	})
}

// keep has n messages that were sent so many milliseconds ago.
func keep(t *testing.T, db *sql.DB, d sqlx.Dialect, n, ago int) {
	t.Helper()
	mustExec(t, db, `INSERT INTO mainstay_outbox_sent
		(sent_ms, seq, topic, message_id, message_key, envelope, data, created_ms)
		WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
		SELECT `+d.Now()+` - $2, i, 'orders', 'm', 'k', '{}', CAST('' AS `+blob(d)+`), 1 FROM n`, n, ago)
}

func pruned(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		box := newBox(t, db, d)
		keep(t, db, d, 2500, 7_200_000)
		keep(t, db, d, 10, 1_800_000)
		if n, err := box.Prune(t.Context(), time.Hour); n != 2500 || err != nil {
			t.Errorf("Prune = %d, %v, want 2500", n, err)
		}
		if n := number(t, db, `SELECT count(*) FROM mainstay_outbox_sent`); n != 10 {
			t.Errorf("%d are left, want the 10 younger ones", n)
		}
	})
}

func tidied(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		box, b := newBox(t, db, d), newBroker()
		keep(t, db, d, 2500, 7_200_000)
		keep(t, db, d, 10, 1_800_000)
		relay(t, box, b, &outbox.RelayOptions{Retention: time.Hour, PollInterval: time.Hour})
		eventually(t, func() bool { return number(t, db, `SELECT count(*) FROM mainstay_outbox_sent`) == 10 })
	})
}

// partitioned has the table of what was sent as a team would that drops whole days.
func partitioned(t *testing.T) {
	db := sqlxtest.Postgres(t)
	box, b := newBox(t, db, sqlx.Postgres), newBroker()
	mustExec(t, db, `ALTER TABLE mainstay_outbox_sent RENAME TO plain`)
	mustExec(t, db, `CREATE TABLE mainstay_outbox_sent (LIKE plain INCLUDING ALL) PARTITION BY RANGE (sent_ms)`)
	mustExec(t, db, `CREATE TABLE long_ago PARTITION OF mainstay_outbox_sent FOR VALUES FROM (0) TO (1000000000000)`)
	mustExec(t, db, `CREATE TABLE others PARTITION OF mainstay_outbox_sent DEFAULT`)
	if err := box.Verify(t.Context()); err != nil {
		t.Errorf("Verify = %v, want nil", err)
	}
	send(t, db, box, "orders", "k", "1", "2", "3")
	relay(t, box, b, &outbox.RelayOptions{Retention: time.Hour})
	b.wait(t, 3)
	empty(t, db)
	if n := number(t, db, `SELECT count(*) FROM others`); n != 3 {
		t.Errorf("%d in the partition of now, want 3", n)
	}
	mustExec(t, db, `INSERT INTO long_ago
		SELECT 5, seq, topic, message_id, message_key, envelope, data, created_ms FROM others`)
	if n, err := box.Prune(t.Context(), 24*time.Hour); n != 3 || err != nil {
		t.Errorf("Prune = %d, %v, want 3", n, err)
	}
	mustExec(t, db, `DROP TABLE long_ago`)
	if n, err := box.Prune(t.Context(), 24*time.Hour); n != 0 || err != nil {
		t.Errorf("Prune = %d, %v, want 0", n, err)
	}
}

func TestOutboxVerify(t *testing.T) {
	for name, tt := range map[string]struct {
		breakIt, want string
		postgres      bool // alone
	}{
		"Nothing":    {"", "", false},
		"Table":      {`DROP TABLE mainstay_outbox_parked`, "mainstay_outbox_parked", false},
		"Column":     {`ALTER TABLE mainstay_outbox_sent DROP COLUMN envelope`, "mainstay_outbox_sent", false},
		"Lease":      {`DELETE FROM mainstay_outbox_lease WHERE shard = 7`, "31 rows", false},
		"OtherLease": {`UPDATE mainstay_outbox_lease SET shard = 99 WHERE shard = 7`, "0 to 99", false},
		"Cache":      {`ALTER SEQUENCE mainstay_outbox_seq_seq CACHE 10`, "CACHE 10", true},
	} {
		t.Run(name, func(t *testing.T) {
			sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
				box := newBox(t, db, d)
				if tt.postgres && d != sqlx.Postgres {
					t.Skip("has no sequences")
				}
				if tt.breakIt != "" {
					mustExec(t, db, tt.breakIt)
				}
				err := box.Verify(t.Context())
				if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("Verify = %v, want %q", err, tt.want)
				}
			})
		})
	}
}
