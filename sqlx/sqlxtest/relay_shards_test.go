package sqlxtest_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/outbox"
	"github.com/mainstay-go/mainstay/sqlx/sqlxtest"
)

func TestRelayShards(t *testing.T) {
	t.Run("AreDividedByTheReplicasThatWork", shardsDivided)
	t.Run("OfAKilledReplicaAreTakenOverWithinTenSeconds", shardsTakenOver)
	t.Run("ALateCommitIsSentBeforeWhatFollowsItHoweverFarTheRelayIs", lateBelowFloor)
	t.Run("WhatATopicInOutageHeldBackComesFirstHoweverFarTheRelayIs", heldBack)
	t.Run("AnIdleRelayAsksOnceASecond", idleRelay)
}

// keys returns n keys, one after another in order of their numbers.
func keys(n int) []string {
	ks := make([]string, n)
	for i := range ks {
		ks[i] = fmt.Sprint("key-", i)
	}
	return ks
}

// sendEach stores one message for each of keys, by one transaction.
func sendEach(t *testing.T, db *sql.DB, box *outbox.Outbox, keys []string, payload string) {
	t.Helper()
	ms := make([]*pubsub.Message, len(keys))
	for i, k := range keys {
		ms[i] = &pubsub.Message{Key: k, Data: []byte(payload)}
	}
	err := sqlx.InTx(t.Context(), db, func(ctx context.Context, tx *sql.Tx) error {
		return box.In(tx).Publish(ctx, "orders", ms...)
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

// shardsDivided runs three replicas whose publishers take their time, so that there is work for all of them.
func shardsDivided(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		const replicas, lease = 3, 2 * time.Second
		var mu sync.Mutex
		now := map[string]int{} // which replica is publishing a key
		var overlaps atomic.Int64
		ends := make(chan struct{})
		for i := range replicas {
			b := newBroker()
			b.set(func(_ context.Context, _ string, ms []*pubsub.Message) error {
				mu.Lock()
				for _, m := range ms {
					if other, ok := now[m.Key]; ok && other != i {
						overlaps.Add(1)
					}
					now[m.Key] = i
				}
				mu.Unlock()
				select {
				case <-time.After(200 * time.Millisecond): // so that the work lasts until it is divided
				case <-ends:
				}
				mu.Lock()
				for _, m := range ms {
					delete(now, m.Key)
				}
				mu.Unlock()
				return nil
			})
			box := newBox(t, db, d)
			if i == 0 {
				for range 60 {
					sendEach(t, db, box, keys(100), "x")
				}
			}
			relay(t, box, b, &outbox.RelayOptions{BatchSize: 10, Lease: lease, PollInterval: 50 * time.Millisecond})
		}
		eventually(t, func() bool {
			// 32 shards: 11, 11 and 10.
			return number(t, db, `SELECT count(*) FROM (SELECT holder FROM mainstay_outbox_lease
				WHERE expires_ms > `+d.Now()+` GROUP BY holder HAVING count(*) >= 10) AS h`) == replicas
		})
		close(ends)
		empty(t, db)
		if n := overlaps.Load(); n > 0 {
			t.Errorf("%d times two replicas published a key at once, want never", n)
		}
		eventually(t, func() bool { return number(t, db, `SELECT count(*) FROM mainstay_outbox_relay`) == 0 })
	})
}

// relayVariable has this test binary run a relay on the database that it names, until it is killed.
const relayVariable = "MAINSTAY_TEST_RELAY"

// TestRelayChild is the process that shardsTakenOver kills. It prints a line for each message, and is slow at it.
func TestRelayChild(t *testing.T) {
	dsn := os.Getenv(relayVariable)
	if dsn == "" {
		t.Skip("run by TestRelayShards")
	}
	db, err := sqlx.Open(t.Context(), sqlx.Postgres, dsn, &sqlx.Options{Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	b := newBroker()
	b.set(func(_ context.Context, _ string, ms []*pubsub.Message) error {
		for _, m := range ms {
			fmt.Println("sent", m.Key)
		}
		select {} // until it is killed
	})
	o := &outbox.RelayOptions{Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)}
	if err := outbox.New(db, sqlx.Postgres, nil).Relay(b, o).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// shardsTakenOver kills a replica that holds all shards, in the middle of a batch, with the default options.
func shardsTakenOver(t *testing.T) {
	dsn := sqlxtest.DSN(t, sqlx.Postgres)
	db, err := sqlx.Open(t.Context(), sqlx.Postgres, dsn, &sqlx.Options{Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	box, b := newBox(t, db, sqlx.Postgres), newBroker()
	want := keys(100)
	sendEach(t, db, box, want, "x")
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRelayChild$")
	child.Env = append(os.Environ(), relayVariable+"="+dsn)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "sent key-0" {
	}
	relay(t, box, b, nil)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	_ = child.Wait() // it was killed
	b.wait(t, len(want))
	took := time.Since(killed)
	t.Logf("taken over after %v", took)
	// 6s at most of the lease, and a poll; the rest is for a machine that is busy with other things.
	if took > 10*time.Second {
		t.Errorf("taken over after %v, want within 10s", took)
	}
	empty(t, db)
}

// lateBelowFloor has a transaction store a message and stay open while the relay sends thousands that have higher
// numbers. The relay never runs out of rows meanwhile, so that it has no reason to start from the beginning. Then the
// transaction commits, and after that another message of its key is stored.
func lateBelowFloor(t *testing.T) {
	db := sqlxtest.Postgres(t)
	box, b := newBox(t, db, sqlx.Postgres), newBroker()
	all := keys(200)
	sendEach(t, db, box, all, "before")
	early, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer early.Rollback()
	if err := box.In(early).Publish(t.Context(), "orders", messages("key-7", "A")...); err != nil {
		t.Fatal(err)
	}
	const rounds = 120 // of 200 rows each
	for range rounds {
		sendEach(t, db, box, all, "meanwhile")
	}
	var reached sync.Once
	inside, leave := make(chan struct{}), make(chan struct{})
	var sent int
	b.set(func(_ context.Context, _ string, ms []*pubsub.Message) error {
		if sent += len(ms); sent > rounds*len(all)*3/4 {
			reached.Do(func() {
				close(inside)
				<-leave
			})
		}
		return nil
	})
	relay(t, box, b, &outbox.RelayOptions{Lease: time.Minute})
	<-inside
	if err := early.Commit(); err != nil {
		t.Fatal(err)
	}
	send(t, db, box, "orders", "key-7", "B")
	close(leave)
	b.wait(t, rounds*len(all)+len(all)+2)
	empty(t, db)
	var got []string
	at := map[string]int{}
	for i, m := range b.messages() {
		if p := string(m.Data); p == "A" || p == "B" {
			got = append(got, p)
			at[p] = i
		}
	}
	if want := []string{"A", "B"}; !slices.Equal(got, want) {
		t.Errorf("sent = %q, want %q: A was committed before B was stored", got, want)
	}
	if n := len(b.messages()) - 1000; at["A"] > n {
		t.Errorf("A was the %dth, want it before the last thousand: the relay must not have run out of rows first", at["A"])
	}
}

// heldBack has a topic in outage while thousands of another are sent. When it is taken again, the oldest comes first.
func heldBack(t *testing.T) {
	db := sqlxtest.Postgres(t)
	box, b := newBox(t, db, sqlx.Postgres), newBroker()
	send(t, db, box, "down", "k", "1")
	all := keys(200)
	const rounds = 120 // of 200 rows each
	for range rounds {
		sendEach(t, db, box, all, "x")
	}
	send(t, db, box, "down", "k", "2")
	up, sent := false, 0
	b.set(func(_ context.Context, topic string, ms []*pubsub.Message) error {
		if topic == "down" {
			if !up {
				return errors.New("no such stream")
			}
			return nil
		}
		if sent += len(ms); sent > rounds*len(all)*3/4 && !up {
			up = true
			<-time.After(6 * time.Second) // longer than any pause before the other topic is tried again
		}
		return nil
	})
	relay(t, box, b, &outbox.RelayOptions{Lease: time.Minute})
	b.wait(t, rounds*len(all)+2)
	empty(t, db)
	var got []string
	for _, m := range b.messages() {
		if m.Topic == "down" {
			got = append(got, string(m.Data))
		}
	}
	if want := []string{"1", "2"}; !slices.Equal(got, want) {
		t.Errorf("sent = %q, want %q", got, want)
	}
}

// idleRelay counts what an idle relay asks, once it has asked for a while.
func idleRelay(t *testing.T) {
	for _, d := range []sqlx.Dialect{sqlx.SQLite, sqlx.Postgres} {
		t.Run(d.String(), func(t *testing.T) {
			reg := prometheus.NewRegistry()
			db, err := sqlx.Open(t.Context(), d, sqlxtest.DSN(t, d), &sqlx.Options{Registerer: reg})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			box, b := newBox(t, db, d), newBroker()
			send(t, db, box, "orders", "k", "1")
			relay(t, box, b, &outbox.RelayOptions{Retention: time.Hour})
			b.wait(t, 1)
			eventually(t, func() bool { return number(t, db, `SELECT count(*) FROM mainstay_outbox_sent`) == 1 })
			// The pauses grow to a second within two.
			quiet := time.NewTimer(3 * time.Second)
			<-quiet.C
			before, start := statements(t, reg), time.Now()
			const seconds = 5
			quiet.Reset(seconds * time.Second)
			<-quiet.C
			// As many as began, and the first of them at any moment of its second.
			got, most := statements(t, reg)-before, uint64(time.Since(start)/time.Second)+1
			t.Logf("%d statements in %ds", got, seconds)
			if got > most {
				t.Errorf("%d statements in %ds, want %d at most", got, seconds, most)
			}
		})
	}
}

// statements returns how many of any kind were sent to the database.
func statements(t *testing.T, reg *prometheus.Registry) (n uint64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "db_client_operation_duration_seconds" {
			for _, m := range f.GetMetric() {
				n += m.GetHistogram().GetSampleCount()
			}
		}
	}
	return n
}
