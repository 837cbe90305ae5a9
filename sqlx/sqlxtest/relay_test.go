package sqlxtest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/outbox"
	"github.com/mainstay-go/mainstay/sqlx/sqlxtest"
	"github.com/mainstay-go/mainstay/tracing/correlation"
)

func TestRelay(t *testing.T) {
	t.Run("SendsALateCommitWithALowerNumber", lateCommit)
	t.Run("LosesNothingOfManyWriters", manyWriters)
	t.Run("WaitsOutABrokerThatIsDown", brokerDown)
	t.Run("SetsAPoisonedMessageAside", poisoned)
	t.Run("SetsACorruptRowAside", corrupt)
	t.Run("SendsAgainOnlyWhatWasNotStored", partly)
	t.Run("OneTopicDoesNotHoldUpAnother", twoTopics)
	t.Run("ReplicasShareWithoutDuplicates", relayReplicas)
	t.Run("AnotherGoesOnAfterADeath", death)
	t.Run("CutsABatchOffBeforeAnotherGoesOn", cutOff)
	t.Run("IsWokenByACommit", woken)
	t.Run("FinishesTheBatchUnderWay", drains)
	t.Run("FailsAtOnceWithoutTables", func(t *testing.T) {
		sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
			o := &outbox.RelayOptions{Registerer: prometheus.NewRegistry()}
			err := outbox.New(db, d, nil).Relay(newBroker(), o).Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), "Migrate") {
				t.Errorf("Run = %v, want an error that names Migrate", err)
			}
		})
	})
}

func lateCommit(t *testing.T) {
	db := sqlxtest.Postgres(t)
	box, b := newBox(t, db, sqlx.Postgres), newBroker()
	early, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer early.Rollback()
	if err := box.In(early).Publish(t.Context(), "orders", messages("a", "early")...); err != nil {
		t.Fatal(err)
	}
	gone, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := box.In(gone).Publish(t.Context(), "orders", messages("b", "gone")...); err != nil {
		t.Fatal(err)
	}
	gone.Rollback() // its number is never seen
	send(t, db, box, "orders", "c", "late")
	relay(t, box, b, nil)
	b.wait(t, 1)
	if err := early.Commit(); err != nil {
		t.Fatal(err)
	}
	b.wait(t, 2)
	empty(t, db)
	if got, want := b.payloads(), []string{"late", "early"}; !slices.Equal(got, want) {
		t.Errorf("stored = %q, want %q", got, want)
	}
}

// manyWriters: 50 transactions at a time, of random length, some of which are rolled back.
func manyWriters(t *testing.T) {
	db := sqlxtest.Postgres(t)
	sqlx.SetMaxOpen(db, 60)
	box, b := newBox(t, db, sqlx.Postgres), newBroker()
	relay(t, box, b, &outbox.RelayOptions{BatchSize: 50})
	var mu sync.Mutex
	committed := map[string]bool{}
	no := errors.New("no")
	errs := together(50, func() error {
		for range 40 {
			ms := messages("", "x", "y", "z", "w", "v")
			for _, m := range ms {
				m.ID = correlation.New()
			}
			err := sqlx.InTx(t.Context(), db, func(ctx context.Context, tx *sql.Tx) error {
				if err := box.In(tx).Publish(ctx, "orders", ms...); err != nil {
					return err
				}
				if _, err := tx.ExecContext(ctx, `SELECT pg_sleep($1)`, rand.Float64()/50); err != nil {
					return err
				}
				if rand.N(10) == 0 {
					return no
				}
				return nil
			}, nil)
			if err != nil && !errors.Is(err, no) {
				return err
			}
			mu.Lock()
			for _, m := range ms {
				committed[m.ID] = err == nil
			}
			mu.Unlock()
		}
		return nil
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	empty(t, db)
	seen := map[string]int{}
	for _, m := range b.messages() {
		seen[m.ID]++
	}
	for id, ok := range committed {
		if want := map[bool]int{true: 1, false: 0}[ok]; seen[id] != want {
			t.Errorf("message %s, committed %v, was sent %d times, want %d", id, ok, seen[id], want)
		}
	}
}

func brokerDown(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		box, b := newBox(t, db, d), newBroker()
		reg := prometheus.NewRegistry()
		b.set(func(context.Context, string, []*pubsub.Message) error { return errors.New("connection refused") })
		relay(t, box, b, &outbox.RelayOptions{Registerer: reg})
		send(t, db, box, "orders", "k", "1", "2", "3")
		eventually(t, func() bool {
			return gauge(t, reg, "mainstay_outbox_backlog_rows") == 3 && gauge(t, reg, "mainstay_outbox_oldest_age_seconds") > 0
		})
		began := time.Now()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for range 30 { // each commit wakes the relay, which must not try again for that
			send(t, db, box, "other", "", "x")
			<-tick.C
		}
		// The pauses grow to between 0.1 and 5s. In the 1.5s that this takes, and on a slow machine in more:
		took := time.Since(began)
		if got, most := b.called(), 20+int(max(took-1500*time.Millisecond, 0)/time.Second); got >= most {
			t.Errorf("%d attempts on two topics in %v, want fewer than %d", got, took, most)
		}
		b.set(nil)
		b.wait(t, 33)
		empty(t, db)
		var got []string
		for _, m := range b.messages() {
			if m.Topic == "orders" {
				got = append(got, string(m.Data))
			}
		}
		if want := []string{"1", "2", "3"}; !slices.Equal(got, want) {
			t.Errorf("stored = %q, want %q", got, want)
		}
		eventually(t, func() bool { return gauge(t, reg, "mainstay_outbox_backlog_rows") == 0 })
		if got := gauge(t, reg, "mainstay_outbox_parked_rows"); got != 0 {
			t.Errorf("%v rows set aside for an outage, want 0", got)
		}
	})
}

func gauge(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func poisoned(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		box, b, log := newBox(t, db, d), newBroker(), newWarnings()
		// As a client does: nothing of a batch is sent that holds what cannot be.
		b.set(func(_ context.Context, _ string, ms []*pubsub.Message) error {
			for _, m := range ms {
				if string(m.Data) == "poison" {
					return &pubsub.TooLargeError{Bytes: 2 << 20, Limit: 1 << 20}
				}
			}
			return nil
		})
		send(t, db, box, "orders", "k", "1", "poison", "2", "3")
		reg := prometheus.NewRegistry()
		relay(t, box, b, &outbox.RelayOptions{Registerer: reg, Logger: slog.New(slog.NewJSONHandler(log, nil))})
		b.wait(t, 3)
		if got, want := b.payloads(), []string{"1", "2", "3"}; !slices.Equal(got, want) {
			t.Errorf("stored = %q, want %q", got, want)
		}
		eventually(t, func() bool {
			return number(t, db, `SELECT count(*) FROM mainstay_outbox_parked
				WHERE parked_ms > 0 AND error LIKE '%2097152 bytes%'`) == 1
		})
		empty(t, db)
		if !strings.Contains(log.String(), "set aside") {
			t.Errorf("log = %s, want the message that was set aside", log)
		}
		b.set(nil)
		mustRetry(t, box)
		b.wait(t, 4)
		empty(t, db)
	})
}

func corrupt(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		box, b := newBox(t, db, d), newBroker()
		send(t, db, box, "orders", "k", "1", "2")
		mustExec(t, db, `UPDATE mainstay_outbox SET envelope = 'not JSON' WHERE seq = 1`)
		relay(t, box, b, nil)
		b.wait(t, 1)
		eventually(t, func() bool {
			return number(t, db, `SELECT count(*) FROM mainstay_outbox_parked WHERE error LIKE '%envelope%'`) == 1
		})
	})
}

// partly: of each batch the broker stores the first two only, so that order within a key shows whether the relay
// forgets what was stored, or what was not.
func partly(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		box, b := newBox(t, db, d), newBroker()
		b.set(func(_ context.Context, _ string, ms []*pubsub.Message) error {
			if len(ms) <= 2 {
				return nil
			}
			e := &pubsub.PublishError{Err: errors.New("no more")}
			for i := 2; i < len(ms); i++ {
				e.Indexes = append(e.Indexes, i)
			}
			return fmt.Errorf("wrapped: %w", e)
		})
		want := []string{"1", "2", "3", "4", "5", "6"}
		send(t, db, box, "orders", "k", want...)
		relay(t, box, b, nil)
		b.wait(t, 6)
		empty(t, db)
		if got := b.payloads(); !slices.Equal(got, want) {
			t.Errorf("stored = %q, want %q", got, want)
		}
	})
}

func twoTopics(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		box, b := newBox(t, db, d), newBroker()
		b.set(func(_ context.Context, topic string, _ []*pubsub.Message) error {
			if topic == "undeclared" {
				return errors.New("no such stream")
			}
			return nil
		})
		send(t, db, box, "undeclared", "", "a", "b", "c", "d")
		relay(t, box, b, &outbox.RelayOptions{BatchSize: 2}) // the whole batch is of the topic that fails
		send(t, db, box, "orders", "", "1", "2", "3")
		b.wait(t, 3)
		b.set(nil)
		b.wait(t, 7)
		empty(t, db)
	})
}

func relayReplicas(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		box, b := newBox(t, db, d), newBroker()
		for range 3 {
			relay(t, box, b, &outbox.RelayOptions{BatchSize: 7})
		}
		var payloads []string
		for i := range 30 {
			payloads = append(payloads, fmt.Sprint(i))
		}
		var wg sync.WaitGroup
		for _, key := range []string{"a", "b", "c"} {
			wg.Go(func() {
				for _, p := range payloads {
					send(t, db, box, "orders", key, p)
				}
			})
		}
		wg.Wait()
		b.wait(t, 90)
		empty(t, db)
		got := map[string][]string{}
		for _, m := range b.messages() {
			got[m.Key] = append(got[m.Key], string(m.Data))
		}
		for _, key := range []string{"a", "b", "c"} {
			if !slices.Equal(got[key], payloads) {
				t.Errorf("key %s = %q, want each once and in order: %q", key, got[key], payloads)
			}
		}
	})
}

// death: a relay whose broker confirmed four messages goes no further, as if it were killed there. Three others go on.
func death(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		box, b := newBox(t, db, d), newBroker()
		want := []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}
		send(t, db, box, "orders", "k", want...)
		ids := map[string]string{}
		dying := newBroker()
		inside, leave := make(chan struct{}), make(chan struct{})
		dying.set(func(_ context.Context, topic string, ms []*pubsub.Message) error {
			for _, m := range ms[:4] {
				ids[string(m.Data)] = m.ID
			}
			b.Publish(context.Background(), topic, ms[:4]...)
			close(inside)
			<-leave // deaf to its context, as the dead are
			return errors.New("dead")
		})
		stop := relay(t, box, dying, &outbox.RelayOptions{Lease: 500 * time.Millisecond})
		<-inside
		for range 3 {
			relay(t, outbox.New(db, d, nil), b, &outbox.RelayOptions{BatchSize: 3, PollInterval: 100 * time.Millisecond})
		}
		b.wait(t, 14)
		eventually(t, func() bool { return number(t, db, `SELECT count(*) FROM mainstay_outbox`) == 0 })
		close(leave)
		if err := stop(); err != nil {
			t.Error(err)
		}
		var first []string
		for _, m := range b.messages() {
			if p := string(m.Data); !slices.Contains(first, p) {
				first = append(first, p)
			}
			if id := ids[string(m.Data)]; id != "" && m.ID != id {
				t.Errorf("message %s was sent as %s and as %s, want one ID", m.Data, id, m.ID)
			}
		}
		if !slices.Equal(first, want) {
			t.Errorf("first copies = %q, want %q", first, want)
		}
		if got := len(b.messages()); got != 14 {
			t.Errorf("%d copies were sent, want 14: ten, and again the four that nobody recorded", got)
		}
	})
}

// cutOff: a publisher does not return until another replica has sent its batch. By then its context has ended.
func cutOff(t *testing.T) {
	const lease = time.Second
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		box, slow, other := newBox(t, db, d), newBroker(), newBroker()
		want := []string{"1", "2", "3"}
		send(t, db, box, "orders", "k", want...)
		inside, leave := make(chan context.Context, 1), make(chan struct{})
		defer close(leave)
		slow.set(func(ctx context.Context, _ string, _ []*pubsub.Message) error {
			select {
			case inside <- ctx:
			default:
			}
			<-leave
			return errors.New("too late")
		})
		relay(t, box, slow, &outbox.RelayOptions{Lease: lease})
		batch := <-inside
		deadline, _ := batch.Deadline()
		if got := time.Until(deadline); got > lease*4/5 {
			t.Errorf("a batch may take %v, want at most four fifths of the lease of %v", got, lease)
		}
		other.set(func(context.Context, string, []*pubsub.Message) error {
			if err := batch.Err(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("another replica sends, and the context of the batch under way = %v, want %v",
					err, context.DeadlineExceeded)
			}
			return nil
		})
		relay(t, outbox.New(db, d, nil), other, &outbox.RelayOptions{PollInterval: 50 * time.Millisecond})
		other.wait(t, len(want))
		empty(t, db)
		if got := other.payloads(); !slices.Equal(got, want) {
			t.Errorf("stored = %q, want %q", got, want)
		}
	})
}

func woken(t *testing.T) {
	for _, d := range []sqlx.Dialect{sqlx.SQLite, sqlx.Postgres} {
		t.Run(d.String(), func(t *testing.T) {
			reg := prometheus.NewRegistry()
			db, err := sqlx.Open(t.Context(), d, sqlxtest.DSN(t, d), &sqlx.Options{Registerer: reg})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			box, b := newBox(t, db, d), newBroker()
			before := count(t, reg, d.String(), "SELECT", "")
			relay(t, box, b, &outbox.RelayOptions{PollInterval: time.Hour})
			// It looks when it starts, and after 0, 0.05, 0.15, 0.35, 0.75, 1.55 and 3.15s; then not for 3.2s.
			eventually(t, func() bool { return count(t, reg, d.String(), "SELECT", "")-before >= 8 })
			start := time.Now()
			send(t, db, box, "orders", "k", "1")
			b.wait(t, 1)
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("the message left after %v, want at once", took)
			}
			if got := count(t, reg, d.String(), "UPDATE", ""); got > 2 {
				t.Errorf("%d UPDATEs, want 2: an idle relay holds no lease", got)
			}
		})
	}
}

func drains(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		box, b := newBox(t, db, d), newBroker()
		inside, leave := make(chan struct{}), make(chan struct{})
		b.set(func(ctx context.Context, _ string, _ []*pubsub.Message) error {
			close(inside)
			<-leave
			if err := ctx.Err(); err != nil {
				t.Errorf("the context of a batch under way = %v, want nil", err)
			}
			if _, ok := ctx.Deadline(); !ok {
				t.Error("a batch under way has no deadline")
			}
			return nil
		})
		send(t, db, box, "orders", "k", "1", "2", "3")
		stop := relay(t, box, b, &outbox.RelayOptions{BatchSize: 2})
		<-inside
		done := make(chan error)
		go func() { done <- stop() }()
		select {
		case err := <-done:
			t.Errorf("Run ended with %v within its batch", err)
		case <-time.After(100 * time.Millisecond):
		}
		close(leave)
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
		if got, want := b.payloads(), []string{"1", "2"}; !slices.Equal(got, want) {
			t.Errorf("stored = %q, want the batch under way: %q", got, want)
		}
		if got := number(t, db, `SELECT count(*) FROM mainstay_outbox`); got != 1 {
			t.Errorf("%d rows are left, want 1", got)
		}
		if got := number(t, db, `SELECT max(expires_ms) FROM mainstay_outbox_lease`); got != 0 {
			t.Errorf("a lease ends at %d, want them given back", got)
		}
	})
}
