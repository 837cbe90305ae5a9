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

// row is one message that is to be sent.
type row struct {
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
	err := s.db.QueryRowContext(ctx, `SELECT count(*) - count(parked_ms), count(parked_ms),
		COALESCE(`+now+` - MIN(CASE WHEN parked_ms IS NULL THEN created_ms END), 0) FROM mainstay_outbox`).
		Scan(&st.unsent, &st.parked, &age)
	st.oldest = time.Duration(max(age, 0)) * time.Millisecond
	return st, err
}

// any reports whether there is something to send.
func (s *store) any(ctx context.Context) (bool, error) {
	var yes bool
	err := s.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM mainstay_outbox WHERE parked_ms IS NULL)`).Scan(&yes)
	return yes, err
}

// acquire takes or renews the lease for d from now, by the database's clock, and reports whether it could.
func (s *store) acquire(ctx context.Context, d time.Duration) (bool, error) {
	now := s.dialect.Now()
	r, err := s.db.ExecContext(ctx, `UPDATE mainstay_outbox_lease SET holder = $1, expires_ms = `+now+` + $2
		WHERE id = 1 AND (holder = $1 OR expires_ms <= `+now+`)`, s.holder, d.Milliseconds())
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n == 1, err
}

// next returns the oldest rows, at most n, of topics other than those of except, and whether there may be more.
func (s *store) next(ctx context.Context, n int, except []string) (rows []row, more bool, err error) {
	args := []any{n}
	where := ""
	if len(except) > 0 {
		marks := make([]string, len(except))
		for i, topic := range except {
			args = append(args, topic)
			marks[i] = "$" + strconv.Itoa(i+2)
		}
		where = ` AND topic NOT IN (` + strings.Join(marks, ", ") + `)`
	}
	rs, err := s.db.QueryContext(ctx, `SELECT seq, topic, message_id, message_key, envelope, data FROM mainstay_outbox
		WHERE parked_ms IS NULL`+where+` ORDER BY seq LIMIT $1`, args...)
	if err != nil {
		return nil, false, err
	}
	defer rs.Close()
	size := 0
	for size < maxBatchBytes && rs.Next() {
		r := row{message: &pubsub.Message{}}
		var env string
		if err := rs.Scan(&r.seq, &r.topic, &r.message.ID, &r.message.Key, &env, &r.message.Data); err != nil {
			return nil, false, err
		}
		r.err = decode(env, r.message)
		size += len(r.message.Data)
		rows = append(rows, r)
	}
	return rows, len(rows) == n || size >= maxBatchBytes, rs.Err()
}

// settle records what became of rows, and gives the lease back where the work is done.
func (s *store) settle(ctx context.Context, sent []row, parked []row, done bool) error {
	if len(sent) == 0 && len(parked) == 0 && !done {
		return nil
	}
	return sqlx.InTx(ctx, s.db, func(ctx context.Context, tx *sql.Tx) error {
		if len(sent) > 0 {
			if _, err := tx.ExecContext(ctx, s.deleteQuery(), s.list(sent)); err != nil {
				return err
			}
		}
		for _, r := range parked {
			_, err := tx.ExecContext(ctx, `UPDATE mainstay_outbox SET parked_ms = `+s.dialect.Now()+`, error = $1
				WHERE seq = $2`, strings.ToValidUTF8(strings.ReplaceAll(r.err.Error(), "\x00", ""), "\uFFFD"), r.seq)
			if err != nil {
				return err
			}
		}
		if !done {
			return nil
		}
		_, err := tx.ExecContext(ctx, `UPDATE mainstay_outbox_lease SET expires_ms = 0
			WHERE id = 1 AND holder = $1`, s.holder)
		return err
	}, nil)
}

// deleteQuery takes the numbers as one parameter: a statement whose text does not depend on how many they are is
// prepared once.
func (s *store) deleteQuery() string {
	if s.dialect == sqlx.SQLite {
		return `DELETE FROM mainstay_outbox WHERE seq IN (SELECT value FROM json_each($1))`
	}
	return `DELETE FROM mainstay_outbox WHERE seq = ANY(CAST($1 AS BIGINT[]))`
}

// list writes the numbers of rows as deleteQuery takes them.
func (s *store) list(rows []row) string {
	open, shut := byte('{'), byte('}')
	if s.dialect == sqlx.SQLite {
		open, shut = '[', ']'
	}
	text := append(make([]byte, 0, 12*len(rows)), open)
	for i, r := range rows {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendInt(text, r.seq, 10)
	}
	return string(append(text, shut))
}
