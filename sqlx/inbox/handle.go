package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/sqlx"
)

// errDuplicate rolls back the transaction of a message that was handled before.
var errDuplicate = errors.New("inbox: duplicate")

// Subscribe returns a subscription of client whose handler sees each message once: f runs as [Inbox.Handler] says, with
// the event that the message holds. A message that does not decode goes to the dead letter as it came, after one
// attempt. Each run of f gets an event decoded for itself; pubsub.MessageFrom(ctx) is the message.
//
// Subscriptions of one name and topic share the record, as they share the messages. What is wrong with the arguments,
// or with in, is reported by the subscription's Run, before the first message.
func Subscribe[T any](
	in *Inbox, client *pubsub.Client, topic *pubsub.Topic[T], name string,
	f func(ctx context.Context, tx *sql.Tx, event T) error, o *pubsub.SubscriptionOptions,
) *pubsub.Subscription {
	if f == nil {
		return client.Subscribe(topic.Name(), name, nil, o) // its Run says so
	}
	return in.ready(client, topic.Name(), name).Subscribe(topic.Name(), name, in.Handler(name,
		func(ctx context.Context, tx *sql.Tx, m *pubsub.Message) error {
			event, err := topic.Decode(m)
			if err != nil {
				return err
			}
			return f(ctx, tx, event)
		}), o)
}

// ready returns client, or one that says why the inbox cannot be used.
func (in *Inbox) ready(client *pubsub.Client, topic, name string) *pubsub.Client {
	if in.err != nil {
		return refusingClient(in.err)
	}
	// From zero on: a counter that first shows at 1 hides its first increase. A name that is no label has no
	// counter, and no subscription either.
	_, _ = in.duplicates.GetMetricWithLabelValues(topic, name)
	return client
}

// Handler returns a handler that runs f once for each message: in a transaction of the inbox's database that records
// the message, and commits when f returns nil. A duplicate is acknowledged, and f is not run. Use it with
// pubsub.Client.Subscribe, and the same name; handlers of different names do not meet. Nil f makes a nil handler, which
// a subscription refuses.
//
// The transaction is one of sqlx.InTx: f runs again where the database reports a conflict, must use the ctx and the tx
// that it is given, and must neither commit nor roll back; sqlx.AfterCommit runs what depends on the commit. Whatever
// error f returns is the handler's, so that resilience.Permanent and resilience.RetryAfter work as ever. Any other
// error is about the database, and worth another attempt, but for that of a message without an ID: a permanent
// *pubsub.InvalidError.
func (in *Inbox) Handler(name string, f func(ctx context.Context, tx *sql.Tx, m *pubsub.Message) error) pubsub.Handler {
	if f == nil {
		return nil
	}
	return func(ctx context.Context, m *pubsub.Message) error {
		if err := in.check(name, m); err != nil {
			return err
		}
		err := sqlx.InTx(ctx, in.db, func(ctx context.Context, tx *sql.Tx) error {
			if err := in.claim(ctx, tx, name, m); err != nil {
				return err
			}
			return f(ctx, tx, m)
		}, in.tx)
		if errors.Is(err, errDuplicate) {
			in.drop(ctx, name, m)
			return nil
		}
		return err
	}
}

// drop notes that m was handled before.
func (in *Inbox) drop(ctx context.Context, name string, m *pubsub.Message) {
	in.duplicates.WithLabelValues(label(m.Topic), label(name)).Inc()
	in.logger.DebugContext(ctx, "inbox: dropped a duplicate",
		"topic", m.Topic, "subscription", name, "message_id", m.ID)
}

// label makes s one that Prometheus takes: for any other it would panic.
func label(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func (in *Inbox) check(name string, m *pubsub.Message) error {
	switch {
	case in.err != nil:
		return in.err
	case name == "":
		return errors.New("inbox: a handler without a name")
	case m.ID == "":
		return fmt.Errorf("inbox: %w", &pubsub.InvalidError{Field: "ID", Reason: "is empty"})
	}
	return nil
}

// claim records m before anything else happens in tx: where another transaction has recorded it and not ended yet,
// the database makes this one wait. It returns errDuplicate where m was handled before.
func (in *Inbox) claim(ctx context.Context, tx *sql.Tx, name string, m *pubsub.Message) error {
	r, err := tx.ExecContext(ctx, in.record, name, m.Topic, m.ID)
	if err != nil {
		return fmt.Errorf("inbox: record message %q: %w", m.ID, err)
	}
	n, err := r.RowsAffected()
	if err != nil {
		return fmt.Errorf("inbox: record message %q: %w", m.ID, err)
	}
	if n == 0 {
		return errDuplicate
	}
	return nil
}

// refusing is a broker at which nothing can be opened.
type refusing struct{ err error }

// refusingClient makes subscriptions whose Run returns err: better before the first message than for each.
func refusingClient(err error) *pubsub.Client {
	return pubsub.NewClient(refusing{err}, &pubsub.Options{Registerer: prometheus.NewRegistry()})
}

func (r refusing) Publish(context.Context, string, []driver.Message) error { return r.err }

func (r refusing) Subscribe(context.Context, driver.SubscribeOptions) (driver.Subscription, error) {
	return nil, resilience.Permanent(r.err)
}
