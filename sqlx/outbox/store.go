package outbox

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/sqlx"
)

// maxBatchBytes bounds the payloads that are read at once, whatever BatchSize allows. A larger single message is still
// read.
const maxBatchBytes = 8 << 20

// forgotten is how many milliseconds after its lease a relay that died is deleted from the list of relays.
const forgotten = "60000"

// row is one message that is to be sent.
type row struct {
	shard   int16
	seq     int64
	topic   string
	message *pubsub.Message
	err     error // why it can never be sent
}

// store is the relay's side of the tables.
type store struct {
	db      *sql.DB
	dialect sqlx.Dialect
	holder  string
	keep    bool // what was sent
}

func (s *store) isPostgres() bool { return s.dialect == sqlx.Postgres }

// statement is a query without rows.
type statement struct {
	text string
	args []any
}

// run executes all of them or none.
func (s *store) run(ctx context.Context, ss ...statement) error {
	switch len(ss) {
	case 0:
		return nil
	case 1:
		_, err := s.db.ExecContext(ctx, ss[0].text, ss[0].args...)
		return err
	}
	return sqlx.InTx(ctx, s.db, func(ctx context.Context, tx *sql.Tx) error {
		for _, st := range ss {
			if _, err := tx.ExecContext(ctx, st.text, st.args...); err != nil {
				return err
			}
		}
		return nil
	}, nil)
}

// stats is what the gauges show.
type stats struct {
	unsent, parked int64
	oldest         time.Duration
}

func (s *store) stats(ctx context.Context) (stats, error) {
	var st stats
	var age int64
	now := s.dialect.Now()
	err := s.db.QueryRowContext(ctx, `SELECT count(*), COALESCE(`+now+` - MIN(created_ms), 0),
		(SELECT count(*) FROM mainstay_outbox_parked) FROM mainstay_outbox`).Scan(&st.unsent, &age, &st.parked)
	st.oldest = time.Duration(max(age, 0)) * time.Millisecond
	return st, err
}

// any reports whether there is something to send, in any shard.
func (s *store) any(ctx context.Context) (bool, error) {
	var yes bool
	err := s.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM mainstay_outbox)`).Scan(&yes)
	return yes, err
}

// claim renews the leases that are held, or takes free ones, for d from now by the database's clock, and returns whose
// shards they are: no more than this relay's part, which is all of them divided by the relays that want some.
func (s *store) claim(ctx context.Context, d time.Duration) ([]int16, error) {
	if s.isPostgres() {
		return shardsOf(s.db.QueryContext(ctx, claimPostgres, s.holder, d.Milliseconds()))
	}
	var mine []int16
	err := sqlx.InTx(ctx, s.db, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, joinSQLite, s.holder, d.Milliseconds()); err != nil {
			return err
		}
		var err error
		mine, err = shardsOf(tx.QueryContext(ctx, claimSQLite, s.holder, d.Milliseconds()))
		return err
	}, nil)
	return mine, err
}

func shardsOf(rs *sql.Rows, err error) ([]int16, error) {
	if err != nil {
		return nil, err
	}
	defer rs.Close()
	var all []int16
	for rs.Next() {
		var n int16
		if err := rs.Scan(&n); err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, rs.Err()
}

// yield gives back all leases but those of kept.
func (s *store) yield(ctx context.Context, kept []int16) error {
	return s.run(ctx, statement{`UPDATE mainstay_outbox_lease SET expires_ms = 0
		WHERE holder = $1 AND shard NOT IN (` + numbers(kept) + `)`, []any{s.holder}})
}

// query says what to read next.
type query struct {
	shards []int16 // in the order in which they are read
	after  []int64 // for each of them, the number below which there is nothing
	except []string
	limit  int
	each   int  // the limit of one shard
	behind bool // there was more to read the last time
}

// next returns rows, those of a shard by their order, and whether it stopped at the limit.
func (s *store) next(ctx context.Context, q query) (rows []row, full bool, err error) {
	text, args := s.nextQuery(q)
	rs, err := s.db.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, false, err
	}
	defer rs.Close()
	size := 0
	for size < maxBatchBytes && rs.Next() {
		r := row{message: &pubsub.Message{}}
		var env string
		err := rs.Scan(&r.shard, &r.seq, &r.topic, &r.message.ID, &r.message.Key, &env, &r.message.Data)
		if err != nil {
			return nil, false, err
		}
		r.err = decode(env, r.message)
		size += len(r.message.Data)
		rows = append(rows, r)
	}
	return rows, len(rows) == q.limit || size >= maxBatchBytes, rs.Err()
}

func (s *store) nextQuery(q query) (text string, args []any) {
	if s.isPostgres() {
		args = []any{"{" + numbers(q.shards) + "}", "{" + numbers(q.after) + "}", q.limit, q.each}
		text = nextPostgres
		if q.behind {
			text = nextPostgresBehind
		}
	} else {
		args = []any{q.limit}
		text = strings.ReplaceAll(nextSQLite, "$shards", numbers(q.shards))
	}
	if len(q.except) == 0 {
		return strings.ReplaceAll(text, "$topics", ""), args
	}
	marks := make([]string, len(q.except))
	for i, topic := range q.except {
		args = append(args, topic)
		marks[i] = "$" + strconv.Itoa(len(args))
	}
	return strings.ReplaceAll(text, "$topics", " AND topic NOT IN ("+strings.Join(marks, ", ")+")"), args
}

// settle records what became of rows, and gives the leases back where the work is done.
func (s *store) settle(ctx context.Context, sent, parked []row, done bool) error {
	var ss []statement
	if s.isPostgres() {
		ss = s.settlePostgres(sent, done)
	} else {
		ss = s.settleSQLite(sent, done)
	}
	for _, r := range parked {
		ss = append(ss, s.park(r)...)
	}
	return s.run(ctx, ss...)
}

// numbers writes ns with commas between.
func numbers[T int16 | int64](ns []T) string {
	text := make([]byte, 0, 12*len(ns))
	for i, n := range ns {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendInt(text, int64(n), 10)
	}
	return string(text)
}
