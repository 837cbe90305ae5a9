package outbox

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/propagation"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/sqlx"
)

const (
	// columns is how many parameters a stored row has.
	columns = 6
	// maxInsert bounds the rows of one INSERT, of whose parameters SQLite takes 32766.
	maxInsert = 500
)

// Options adjusts [New]. Nil, and the zero value of every field, mean the defaults.
type Options struct {
	// Propagator puts the trace into the stored messages; it must be the one of the client that the relay publishes
	// by. Nil means W3C trace context.
	Propagator propagation.TextMapPropagator
	// Logger gets what [Outbox.Migrate] applied, and what relays have to say whose options have no other. Nil means
	// slog.Default().
	Logger *slog.Logger
}

// Outbox is the outbox of one database. It is safe for concurrent use, and holds nothing open. Make one value a
// database and process, so that what [Outbox.In] stores wakes the [Relay].
type Outbox struct {
	db         *sql.DB
	dialect    sqlx.Dialect
	propagator propagation.TextMapPropagator
	logger     *slog.Logger
	wake       chan struct{}
}

// New returns the outbox in db: the database of the transactions that [Outbox.In] gets. New does not touch it. The
// tables are created by [Outbox.Migrate], and must be there before the first message is.
//
// What is wrong with d is reported by Migrate and by [Relay.Run].
func New(db *sql.DB, d sqlx.Dialect, o *Options) *Outbox {
	b := &Outbox{db: db, dialect: d, wake: make(chan struct{}, 1)}
	if o != nil {
		b.propagator, b.logger = o.Propagator, o.Logger
	}
	return b
}

// In returns a publisher whose messages become rows of tx: they leave once tx has committed, and never when it is
// rolled back. Several messages of one Publish are stored by one statement.
//
// Under [sqlx.InTx], and with the context that it gives, the relay of this process is woken by the commit; otherwise
// it finds the rows when it next looks.
func (b *Outbox) In(tx *sql.Tx) pubsub.Publisher { return publisher{b, tx} }

type publisher struct {
	box *Outbox
	tx  *sql.Tx
}

// Publish stores ms, all or none: an error leaves the transaction to be rolled back.
func (p publisher) Publish(ctx context.Context, topic string, ms ...*pubsub.Message) error {
	rows := make([]any, 0, columns*len(ms))
	for i, m := range ms {
		ready, err := pubsub.Prepare(ctx, topic, m, p.box.propagator)
		if err != nil {
			return fmt.Errorf("outbox: publish %q: message %d: %w", topic, i, err)
		}
		env, err := encode(ready)
		if err != nil {
			return fmt.Errorf("outbox: publish %q: message %d: %w", topic, i, err)
		}
		data := ready.Data
		if data == nil {
			data = []byte{} // the column is not NULL
		}
		rows = append(rows, shardOf(topic, ready.Key, ready.ID), topic, ready.ID, ready.Key, env, data)
	}
	for len(rows) > 0 {
		n := min(len(rows), columns*maxInsert)
		if _, err := p.tx.ExecContext(ctx, insertQuery(n/columns), rows[:n]...); err != nil {
			return fmt.Errorf("outbox: publish %q: %w", topic, err)
		}
		rows = rows[n:]
	}
	if len(ms) > 0 {
		sqlx.AfterCommit(ctx, p.box.notify)
	}
	return nil
}

// notify wakes the relay, once for however many commits while it is awake.
func (b *Outbox) notify() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

const insertOne = `INSERT INTO mainstay_outbox (shard, topic, message_id, message_key, envelope, data)
	VALUES ($1, $2, $3, $4, $5, $6)`

// insertQuery returns the statement that stores n rows.
func insertQuery(n int) string {
	if n == 1 {
		return insertOne
	}
	var q strings.Builder
	q.WriteString(insertOne)
	for i := columns; i < columns*n; i += columns {
		for j, sep := range [columns]string{", ($", ", $", ", $", ", $", ", $", ", $"} {
			q.WriteString(sep)
			q.WriteString(strconv.Itoa(i + j + 1))
		}
		q.WriteByte(')')
	}
	return q.String()
}
