package outbox

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/migrate"
)

//go:embed migrations
var migrations embed.FS

// maxInsert bounds the rows of one INSERT: five parameters each, of 32766 that SQLite takes.
const maxInsert = 500

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

// Migrate creates the outbox's tables, or brings them up to date, as package migrate promises: however many processes
// start at once. It records that in a table of its own, mainstay_outbox_migrations. Its shape fits mainstay.Once.
func (b *Outbox) Migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations/"+b.dialect.String())
	if err != nil {
		return fmt.Errorf("outbox: migrate: %w", err)
	}
	o := &migrate.Options{Table: "mainstay_outbox_migrations", Logger: b.logger}
	if err := migrate.New(b.db, b.dialect, files, o).Up(ctx); err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	return nil
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
	rows := make([]any, 0, 5*len(ms))
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
		rows = append(rows, topic, ready.ID, ready.Key, env, data)
	}
	for len(rows) > 0 {
		n := min(len(rows), 5*maxInsert)
		if _, err := p.tx.ExecContext(ctx, insertQuery(n/5), rows[:n]...); err != nil {
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

const insertOne = `INSERT INTO mainstay_outbox (topic, message_id, message_key, envelope, data)
	VALUES ($1, $2, $3, $4, $5)`

// insertQuery returns the statement that stores n rows.
func insertQuery(n int) string {
	if n == 1 {
		return insertOne
	}
	var q strings.Builder
	q.WriteString(insertOne)
	for i := 5; i < 5*n; i += 5 {
		for j, sep := range [...]string{", ($", ", $", ", $", ", $", ", $"} {
			q.WriteString(sep)
			q.WriteString(strconv.Itoa(i + j + 1))
		}
		q.WriteByte(')')
	}
	return q.String()
}

// envelope is what of a message has no column of its own.
type envelope struct {
	Type          string            `json:"type"`
	Source        string            `json:"source,omitempty"`
	Schema        string            `json:"schema,omitempty"`
	ContentType   string            `json:"content_type,omitempty"`
	Time          time.Time         `json:"time"`
	CorrelationID string            `json:"correlation_id"`
	CausationID   string            `json:"causation_id,omitempty"`
	Trace         map[string]string `json:"trace,omitempty"`
	Metadata      map[string]string `json:"metadata,omitempty"`
}

func encode(m *pubsub.Message) (string, error) {
	text, err := json.Marshal(envelope{
		Type: m.Type, Source: m.Source, Schema: m.Schema, ContentType: m.ContentType, Time: m.Time,
		CorrelationID: m.CorrelationID, CausationID: m.CausationID, Trace: m.Trace, Metadata: m.Metadata,
	})
	return string(text), err
}

// decode fills m from a row's envelope.
func decode(text string, m *pubsub.Message) error {
	var e envelope
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return fmt.Errorf("outbox: envelope: %w", err)
	}
	m.Type, m.Source, m.Schema, m.ContentType, m.Time = e.Type, e.Source, e.Schema, e.ContentType, e.Time
	m.CorrelationID, m.CausationID, m.Trace, m.Metadata = e.CorrelationID, e.CausationID, e.Trace, e.Metadata
	if m.Trace == nil {
		m.Trace = map[string]string{} // nil would be the relay's own
	}
	return nil
}
