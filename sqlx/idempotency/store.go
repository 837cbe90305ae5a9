package idempotency

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"time"

	"github.com/mainstay-go/mainstay/internal/backoff"
	"github.com/mainstay-go/mainstay/sqlx"
)

// store is the table's statements. Times are the database's.
type store struct {
	db                              *sql.DB
	dialect                         sqlx.Dialect
	lease, expiry                   int64 // milliseconds
	claim, claimAlone, find, extend string
	complete, insert, release       string
	clean                           string
}

func newStore(db *sql.DB, d sqlx.Dialect, table string, expiry, lease time.Duration) store {
	now := d.Now()
	insert := `INSERT INTO ` + table + ` AS k
		(id, fingerprint, route, idempotency_key, holder, lease_ms, expires_ms) `
	// What has expired is taken over by anybody, and what was left behind by whoever asks for the same.
	takeOver := ` ON CONFLICT (id) DO UPDATE SET fingerprint = excluded.fingerprint, route = excluded.route,
		idempotency_key = excluded.idempotency_key, holder = excluded.holder, lease_ms = excluded.lease_ms,
		expires_ms = excluded.expires_ms, status = NULL, header = NULL, body = NULL
		WHERE k.lease_ms <= ` + now + ` AND (k.expires_ms <= ` + now + `
			OR k.status IS NULL AND k.fingerprint = excluded.fingerprint)`
	s := store{
		db: db, dialect: d, lease: lease.Milliseconds(), expiry: expiry.Milliseconds(),
		claim: insert + `VALUES ($1, $2, $3, $4, $5, ` + now + ` + $6, ` + now + ` + $7)` + takeOver,
		find: `SELECT fingerprint, status, header, body FROM ` + table + `
			WHERE id = $1 AND (expires_ms > ` + now + ` OR lease_ms > ` + now + `)`,
		extend: `UPDATE ` + table + ` SET lease_ms = ` + now + ` + $3, expires_ms = ` + now + ` + $4
			WHERE id = $1 AND holder = $2 AND status IS NULL`,
		// No column of an index changes, which spares the indexes.
		complete: `UPDATE ` + table + ` SET status = $3, header = $4, body = $5, lease_ms = 0
			WHERE id = $1 AND holder = $2`, // it may have been stored, and the answer to that lost
		insert: `INSERT INTO ` + table + ` (id, fingerprint, route, idempotency_key, holder, lease_ms, expires_ms,
			status, header, body) VALUES ($1, $2, $3, $4, $5, 0, ` + now + ` + $6, $7, $8, $9)
			ON CONFLICT (id) DO NOTHING`,
		release: `DELETE FROM ` + table + ` WHERE id = $1 AND holder = $2 AND status IS NULL`,
	}
	// By key, so that the table may be partitioned. Materialized, so that no plan looks for the rows more than once.
	s.clean = `DELETE FROM ` + table + ` WHERE id IN (WITH old AS MATERIALIZED (SELECT id FROM ` + table + `
		WHERE expires_ms <= $1 AND lease_ms <= $1 ORDER BY expires_ms LIMIT $2`
	s.claimAlone = s.claim
	if d == sqlx.Postgres {
		s.clean += ` FOR UPDATE SKIP LOCKED`
		// Without the lock a twin would wait, with its connection, until the other's transaction has ended.
		s.claimAlone = insert + `SELECT CAST($1 AS BYTEA), CAST($2 AS BYTEA), $3, $4, $5, ` + now + ` + CAST($6 AS BIGINT),
			` + now + ` + CAST($7 AS BIGINT) WHERE pg_try_advisory_xact_lock($8)` + takeOver
	}
	s.clean += `) SELECT id FROM old)`
	return s
}

func (s *store) statements() []string {
	return []string{s.claim, s.claimAlone, s.find, s.extend, s.complete, s.insert, s.release, s.clean}
}

// querier is a pool or a transaction.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// exec reports whether a statement changed anything.
func exec(ctx context.Context, q querier, query string, args ...any) (bool, error) {
	r, err := q.ExecContext(ctx, query, args...)
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n > 0, err
}

// found is what the table has of a key.
type found struct {
	fingerprint []byte
	status      sql.NullInt64 // not valid while it is worked on
	header      []byte
	body        []byte
}

var errVanished = errors.New("idempotency: a key was removed again and again while it was being claimed")

// take claims q's key for holder, and returns nil, or what there is of the key where it is not to be had. In a
// transaction, alone is set: it says false, with nothing found, where another transaction works on the key.
func (s *store) take(ctx context.Context, db querier, q *request, holder string, alone bool) (*found, bool, error) {
	query, args := s.claim, []any{q.id[:], q.fingerprint[:], q.route, q.key, holder, s.lease, s.expiry}
	if alone {
		query = s.claimAlone
		if s.dialect == sqlx.Postgres {
			args = append(args, int64(binary.BigEndian.Uint64(q.id[:])))
		}
	}
	for range 3 {
		took, err := exec(ctx, db, query, args...)
		if err != nil || took {
			return nil, took, err
		}
		f, err := s.look(ctx, db, q)
		switch {
		case err == nil:
			return f, false, nil
		case !errors.Is(err, sql.ErrNoRows):
			return nil, false, err
		case alone:
			return nil, false, nil
		}
		// It ended without an answer between the two statements.
	}
	return nil, false, errVanished
}

// look returns what there is of q's key, or sql.ErrNoRows.
func (s *store) look(ctx context.Context, db querier, q *request) (*found, error) {
	var f found
	err := db.QueryRowContext(ctx, s.find, q.id[:]).Scan(&f.fingerprint, &f.status, &f.header, &f.body)
	return &f, err
}

// hold extends holder's lease, and reports false where it is another's.
func (s *store) hold(ctx context.Context, q *request, holder string) (bool, error) {
	return exec(ctx, s.db, s.extend, q.id[:], holder, s.lease, s.expiry)
}

// keep stores a, and reports false where the key is another's. In a transaction the row is there.
func (s *store) keep(ctx context.Context, db querier, q *request, holder string, a *answer) (bool, error) {
	header := a.encodeHeader()
	kept, err := exec(ctx, db, s.complete, q.id[:], holder, a.status, header, a.body)
	if err != nil || kept {
		return kept, err
	}
	// Whoever took over has given up since, or an operator has removed the row.
	return exec(ctx, db, s.insert, q.id[:], q.fingerprint[:], q.route, q.key, holder, s.expiry, a.status, header, a.body)
}

func (s *store) free(ctx context.Context, q *request, holder string) error {
	_, err := exec(ctx, s.db, s.release, q.id[:], holder)
	return err
}

const (
	// settleTimeout bounds recording what was done, which goes on when the request's context has ended.
	settleTimeout = 5 * time.Second
	// A database that does not do its part is tried again after pauses between these.
	minBackoff = 5 * time.Millisecond
	maxBackoff = 500 * time.Millisecond
	// maxAttempts bounds a claim that meets conflicts.
	maxAttempts = 10
)

// retry calls f until it succeeds, ctx ends, again says no to its error, or it was called maxAttempts times.
func retry(ctx context.Context, f func() error, again func(error) bool) error {
	for n := 1; ; n++ {
		err := f()
		if err == nil || !again(err) || n == maxAttempts {
			return err
		}
		if pause(ctx, backoff.Delay(n, minBackoff, maxBackoff)) != nil {
			return err
		}
	}
}

// pause waits for d and returns the cause when ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// cleanBatch is how many rows one transaction removes at most.
const cleanBatch = 1000

// now returns the database's clock, to compare all batches of one clean-up with.
func (s *store) now(ctx context.Context) (ms int64, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT `+s.dialect.Now()).Scan(&ms)
	return ms, err
}
