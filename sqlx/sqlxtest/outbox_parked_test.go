package sqlxtest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/outbox"
	"github.com/mainstay-go/mainstay/sqlx/sqlxtest"
)

// parked returns all messages that were set aside.
func parked(t *testing.T, box *outbox.Outbox) []outbox.Parked {
	t.Helper()
	ps, err := box.Parked(t.Context(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ps
}

// mustRetry has all messages that were set aside sent again.
func mustRetry(t *testing.T, box *outbox.Outbox) {
	t.Helper()
	var seqs []int64
	for _, p := range parked(t, box) {
		seqs = append(seqs, p.Seq)
	}
	if n, err := box.Retry(t.Context(), seqs...); err != nil || n != int64(len(seqs)) {
		t.Fatalf("Retry = %d, %v, want %d", n, err, len(seqs))
	}
}

func TestOutboxParked(t *testing.T) {
	t.Run("AreListedRetriedAndDropped", listed)
	t.Run("AreRetriedOnceByTwo", retriedByTwo)
	t.Run("AreListedInPages", func(t *testing.T) {
		db := sqlxtest.SQLite(t)
		box := newBox(t, db, sqlx.SQLite)
		park(t, db, 5)
		var got []int64
		for after := int64(0); ; {
			ps, err := box.Parked(t.Context(), after, 2)
			if err != nil || len(ps) > 2 {
				t.Fatalf("Parked = %d, %v, want two at most", len(ps), err)
			}
			if len(ps) == 0 {
				break
			}
			for _, p := range ps {
				got = append(got, p.Seq)
			}
			after = ps[len(ps)-1].Seq
		}
		if want := []int64{1, 2, 3, 4, 5}; !slices.Equal(got, want) {
			t.Errorf("numbers = %d, want %d", got, want)
		}
	})
}

// park has n rows set aside by hand.
func park(t *testing.T, db *sql.DB, n int) {
	t.Helper()
	for i := range n {
		mustExec(t, db, `INSERT INTO mainstay_outbox_parked
			(seq, shard, topic, message_id, message_key, envelope, data, created_ms, parked_ms, error)
			VALUES ($1, 3, 'orders', $2, 'k', '{}', $3, 1, 2, 'too large')`, i+1, fmt.Sprint("m-", i+1), []byte("x"))
	}
}

func listed(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		box, b := newBox(t, db, d), newBroker()
		b.set(func(_ context.Context, _ string, ms []*pubsub.Message) error {
			return &pubsub.InvalidError{Field: "Key", Reason: "is odd"}
		})
		before := time.Now().Add(-time.Minute) // the database's clock need not be ours
		err := sqlx.InTx(t.Context(), db, func(ctx context.Context, tx *sql.Tx) error {
			return box.In(tx).Publish(ctx, "orders", &pubsub.Message{ID: "m-1", Key: "k", Data: []byte("1"),
				Metadata: map[string]string{"tenant": "ann"}}, &pubsub.Message{ID: "m-2", Key: "k", Data: []byte("2")})
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		relay(t, box, b, nil)
		eventually(t, func() bool { return len(parked(t, box)) == 2 })
		first := parked(t, box)[0]
		if m := first.Message; m.ID != "m-1" || m.Topic != "orders" || m.Key != "k" || string(m.Data) != "1" ||
			m.Metadata["tenant"] != "ann" || first.Reason != "Key is odd" {
			t.Errorf("Parked = %+v of %+v, want what was stored", first, m)
		}
		if first.CreatedAt.Before(before) || first.ParkedAt.Before(first.CreatedAt) {
			t.Errorf("created at %v, parked at %v, want both since %v", first.CreatedAt, first.ParkedAt, before)
		}
		empty(t, db)
		b.set(nil)
		second := parked(t, box)[1].Seq
		if n, err := box.Drop(t.Context(), second, second+99); n != 1 || err != nil {
			t.Errorf("Drop = %d, %v, want 1", n, err)
		}
		if n, err := box.Retry(t.Context(), first.Seq, second); n != 1 || err != nil {
			t.Errorf("Retry = %d, %v, want 1: the other one was dropped", n, err)
		}
		b.wait(t, 1)
		empty(t, db)
		if got := b.messages(); len(got) != 1 || got[0].ID != "m-1" || got[0].Metadata["tenant"] != "ann" {
			t.Errorf("sent = %+v, want the whole of m-1", got)
		}
		if got := parked(t, box); len(got) != 0 {
			t.Errorf("%d are still set aside, want none", len(got))
		}
		for name, f := range map[string]func(context.Context, ...int64) (int64, error){"Retry": box.Retry, "Drop": box.Drop} {
			if n, err := f(t.Context()); n != 0 || err != nil {
				t.Errorf("%s of none = %d, %v, want 0", name, n, err)
			}
		}
	})
}

func retriedByTwo(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		box := newBox(t, db, d)
		const n = 20
		park(t, db, n)
		var seqs []int64
		for i := range n {
			seqs = append(seqs, int64(i+1))
		}
		errs := together(4, func() error {
			_, err := box.Retry(t.Context(), seqs...)
			return err
		})
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		if got := number(t, db, `SELECT count(*) FROM mainstay_outbox`); got != n {
			t.Errorf("%d rows are to be sent, want %d", got, n)
		}
	})
}
