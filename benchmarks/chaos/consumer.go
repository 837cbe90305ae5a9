package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/inbox"
)

// event is what a message holds.
type event struct {
	Key string `json:"key"`
	Seq int64  `json:"seq"` // within the key, from 1
}

func (e event) id() string { return fmt.Sprintf("%s/%d", e.Key, e.Seq) }

// The subscription under trial.
const subscriptionName = "effects"

var events = pubsub.NewTopic("chaos", &pubsub.TopicOptions[event]{
	Key: func(e event) string { return e.Key },
	ID:  event.id,
})

// lease is how soon the messages of a consumer that died go to another.
const lease = time.Second

// consumer is one process that handles messages.
type consumer struct {
	Name, Broker, Database string
	Port                   int
	Inbox, Ordered         bool
	Past                   bool // the subscription begins at the oldest message
}

// What a consumer says on its standard output, a line each. A line is in the pipe once it is written: what a consumer
// said before it was killed is not lost.
const (
	saysReady   = "ready"
	saysDropped = "dropped" // the inbox dropped a duplicate
)

// run handles messages until in ends, which is a wish to drain.
func (c consumer) run(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, drain := context.WithCancel(ctx)
	defer drain()
	go func() { // ends with the process
		_, _ = io.Copy(io.Discard, in)
		drain()
	}()
	slog.SetDefault(slog.Default().With("consumer", c.Name))
	db, err := openDatabase(ctx, c.Database, concurrency+1)
	if err != nil {
		return err
	}
	defer db.Close()
	kind, err := brokerOf(c.Broker)
	if err != nil {
		return err
	}
	b, disconnect, err := kind.dial(ctx, c.Port)
	if err != nil {
		return err
	}
	defer disconnect()
	client := pubsub.NewClient(b, &pubsub.Options{Registerer: prometheus.NewRegistry()})
	s := c.subscription(client, db, out)
	go func() {
		<-s.Ready()
		fmt.Fprintln(out, saysReady)
	}()
	return s.Run(ctx)
}

// concurrency is how many messages one consumer handles at once.
const concurrency = 8

func (c consumer) subscription(client *pubsub.Client, db *sql.DB, out io.Writer) *pubsub.Subscription {
	o := &pubsub.SubscriptionOptions{
		Concurrency: concurrency, Lease: lease, Start: pubsub.Start{Earliest: c.Past}, OrderAcrossReplicas: c.Ordered,
		DrainTimeout: 10 * time.Second,
	}
	if !c.Inbox {
		return events.Subscribe(client, subscriptionName, func(ctx context.Context, e event) error {
			return sqlx.InTx(ctx, db, func(ctx context.Context, tx *sql.Tx) error { return c.record(ctx, tx, e) }, nil)
		}, o)
	}
	in := inbox.New(db, sqlx.Postgres, &inbox.Options{Registerer: prometheus.NewRegistry()})
	o.Middleware = []pubsub.Middleware{countDropped(out)}
	return inbox.Subscribe(in, client, events, subscriptionName, func(ctx context.Context, tx *sql.Tx, e event) error {
		noteEffect(ctx)
		return c.record(ctx, tx, e)
	}, o)
}

func (c consumer) record(ctx context.Context, tx *sql.Tx, e event) error {
	_, err := tx.ExecContext(ctx, recordEffect, e.Key, pubsub.MessageFrom(ctx).ID, e.Seq, c.Name)
	return err
}

type ranKey struct{}

// noteEffect says that a handler runs.
func noteEffect(ctx context.Context) {
	if ran, ok := ctx.Value(ranKey{}).(*atomic.Bool); ok {
		ran.Store(true)
	}
}

// countDropped says so for each message that was handled without its handler: the inbox's own counter would die with a
// process that is killed.
func countDropped(out io.Writer) pubsub.Middleware {
	return func(next pubsub.Handler) pubsub.Handler {
		return func(ctx context.Context, m *pubsub.Message) error {
			var ran atomic.Bool
			err := next(context.WithValue(ctx, ranKey{}, &ran), m)
			if err == nil && !ran.Load() {
				if _, err := fmt.Fprintln(out, saysDropped); err != nil {
					return errors.Join(errors.New("nobody listens"), err)
				}
			}
			return err
		}
	}
}
