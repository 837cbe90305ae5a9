package outbox

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/sqlx"
)

// maxParked bounds what Parked returns at once.
const maxParked = 1000

// Parked is a message that was set aside, because the broker refused it for good or its row cannot be read.
type Parked struct {
	// Seq names it to [Outbox.Retry] and [Outbox.Drop], and is its place in the order of insertion.
	Seq int64
	// Message is what was to be sent; Message.Topic says to which topic. Where its envelope cannot be read it has no more
	// than ID, Key, Topic and Data.
	Message *pubsub.Message
	// CreatedAt is when it was stored, ParkedAt when it was set aside, by the database's clock.
	CreatedAt, ParkedAt time.Time
	// Reason is the text of the error that it was set aside for.
	Reason string
}

// Parked returns messages that were set aside, the oldest first: those whose Seq is above after, limit of them at most.
// A limit of zero, or less, or above 1000, is 1000. For what follows, call it again with the last one's Seq.
func (b *Outbox) Parked(ctx context.Context, after int64, limit int) ([]Parked, error) {
	if limit <= 0 || limit > maxParked {
		limit = maxParked
	}
	rs, err := b.db.QueryContext(ctx, `SELECT seq, topic, message_id, message_key, envelope, data, created_ms, parked_ms,
		error FROM mainstay_outbox_parked WHERE seq > $1 ORDER BY seq LIMIT $2`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("outbox: parked: %w", err)
	}
	defer rs.Close()
	var all []Parked
	for rs.Next() {
		p := Parked{Message: &pubsub.Message{}}
		var env string
		var created, parked int64
		err := rs.Scan(&p.Seq, &p.Message.Topic, &p.Message.ID, &p.Message.Key, &env, &p.Message.Data, &created, &parked,
			&p.Reason)
		if err != nil {
			return nil, fmt.Errorf("outbox: parked: %w", err)
		}
		_ = decode(env, p.Message) // what cannot be read is why it is here
		p.CreatedAt, p.ParkedAt = time.UnixMilli(created), time.UnixMilli(parked)
		all = append(all, p)
	}
	if err := rs.Err(); err != nil {
		return nil, fmt.Errorf("outbox: parked: %w", err)
	}
	return all, nil
}

// Retry has messages that were set aside sent once more, under their old IDs and as if they had been stored now: behind
// the other messages of their keys. It returns how many there were; numbers of none are ignored.
func (b *Outbox) Retry(ctx context.Context, seqs ...int64) (int64, error) {
	n, err := b.takeParked(ctx, seqs, true)
	if err != nil {
		return 0, fmt.Errorf("outbox: retry: %w", err)
	}
	if n > 0 {
		b.notify()
	}
	return n, nil
}

// Drop deletes messages that were set aside: they are never sent. It returns how many there were; numbers of none are
// ignored.
func (b *Outbox) Drop(ctx context.Context, seqs ...int64) (int64, error) {
	n, err := b.takeParked(ctx, seqs, false)
	if err != nil {
		return 0, fmt.Errorf("outbox: drop: %w", err)
	}
	return n, nil
}

func (b *Outbox) takeParked(ctx context.Context, seqs []int64, again bool) (n int64, err error) {
	if len(seqs) == 0 {
		return 0, nil
	}
	which := ` FROM mainstay_outbox_parked WHERE seq IN (` + numbers(seqs) + `)`
	err = sqlx.InTx(ctx, b.db, func(ctx context.Context, tx *sql.Tx) error {
		if again {
			lock := ""
			if b.dialect == sqlx.Postgres {
				lock = ` FOR UPDATE` // of two at once, the second finds nothing
			}
			_, err := tx.ExecContext(ctx, `INSERT INTO mainstay_outbox
				(shard, topic, message_id, message_key, envelope, data)
				SELECT shard, topic, message_id, message_key, envelope, data FROM (
					SELECT *`+which+lock+`
				) AS p ORDER BY seq`)
			if err != nil {
				return err
			}
		}
		r, err := tx.ExecContext(ctx, `DELETE`+which)
		if err != nil {
			return err
		}
		n, err = r.RowsAffected()
		return err
	}, nil)
	return n, err
}

// park moves a row to those that were set aside.
func (s *store) park(r row) []statement {
	const which = ` FROM mainstay_outbox WHERE shard = $1 AND seq = $2`
	text := strings.ToValidUTF8(strings.ReplaceAll(r.err.Error(), "\x00", ""), "\uFFFD")
	return []statement{
		{`INSERT INTO mainstay_outbox_parked
			(seq, shard, topic, message_id, message_key, envelope, data, created_ms, parked_ms, error)
			SELECT seq, shard, topic, message_id, message_key, envelope, data, created_ms, ` + s.dialect.Now() + `,
			CAST($3 AS TEXT)` + which + ` ON CONFLICT (seq) DO NOTHING`, []any{r.shard, r.seq, text}},
		{`DELETE` + which, []any{r.shard, r.seq}},
	}
}
