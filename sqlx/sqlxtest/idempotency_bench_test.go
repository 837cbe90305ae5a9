package sqlxtest_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/idempotency"
)

// BenchmarkIdempotency measures requests, by turns, of an endpoint that writes one row: in a transaction with its key
// beside the same by hand, and under the middleware beside no key at all; and replays.
func BenchmarkIdempotency(b *testing.B) {
	benchmarkEach(b, func(b *testing.B, db *sql.DB, d sqlx.Dialect) {
		keys := quietKeys(db, d, "")
		if err := keys.Migrate(b.Context()); err != nil {
			b.Fatal(err)
		}
		mustExec(b, db, `CREATE TABLE effects (who TEXT NOT NULL, what TEXT NOT NULL)`)
		mustExec(b, db, `CREATE TABLE keys (key TEXT PRIMARY KEY, answer TEXT)`)
		write := func(ctx context.Context, tx *sql.Tx, o newOrder) (madeOrder, error) {
			return madeOrder{"1", o.Item}, effect(ctx, tx, "order", o.Item)
		}
		noKey := createOrder().Handler(func(ctx context.Context, o newOrder) (made madeOrder, err error) {
			err = sqlx.InTx(ctx, db, func(ctx context.Context, tx *sql.Tx) error {
				made, err = write(ctx, tx, o)
				return err
			}, nil)
			return made, err
		}, nil)
		inTx, leased := requests(b, idempotency.Handler(keys, createOrder(), write, nil)), requests(b, keys.Middleware(noKey))
		b.Run("InTxBesideByHand", func(b *testing.B) { beside(b, 1, inTx, requests(b, keyByHand(db))) })
		b.Run("MiddlewareBesideNoKey", func(b *testing.B) { beside(b, 1, leased, requests(b, noKey)) })
		b.Run("Replay", func(b *testing.B) {
			s := &shop{mux: http.NewServeMux()}
			s.mux.Handle("POST /orders", keys.Middleware(noKey))
			b.ReportAllocs()
			for b.Loop() {
				if r := s.do(req{key: `"the same"`, body: mug}); r.StatusCode != 201 {
					b.Fatalf("%d: %s", r.StatusCode, text(r))
				}
			}
		})
	})
}

// keyByHand is what somebody writes who has no package for it: the key, the row and the answer in one transaction.
func keyByHand(db *sql.DB) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var made madeOrder
		err := sqlx.InTx(r.Context(), db, func(ctx context.Context, tx *sql.Tx) error {
			var o newOrder
			if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
				return err
			}
			key := r.Header.Get("Idempotency-Key")
			_, err := tx.ExecContext(ctx, `INSERT INTO keys (key) VALUES ($1) ON CONFLICT DO NOTHING`, key)
			if err != nil {
				return err
			}
			made = madeOrder{"1", o.Item}
			answer, err := json.Marshal(made)
			if err := errors.Join(err, effect(ctx, tx, "order", o.Item)); err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, `UPDATE keys SET answer = $2 WHERE key = $1`, key, string(answer))
			return err
		}, nil)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(made)
	})
}

// requests returns a function that sends h one request after another, each of a key of its own.
func requests(b *testing.B, h http.Handler) func() error {
	s := &shop{mux: http.NewServeMux()}
	s.mux.Handle("POST /orders", h)
	began, n := time.Now().UnixNano(), 0 // the tables are those of other runs too
	return func() error {
		n++
		if r := s.do(req{ctx: b.Context(), key: fmt.Sprintf(`"%d-%d"`, began, n), body: mug}); r.StatusCode != 201 {
			return fmt.Errorf("%d: %s", r.StatusCode, text(r))
		}
		return nil
	}
}
