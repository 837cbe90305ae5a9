package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/internal/table"
)

// SubscribeBatch is [Subscribe] for a handler that takes several events at once, in one transaction: f runs as
// [Inbox.BatchHandler] says. What does not decode goes to the dead letter and does not reach f. Each run of f gets
// events decoded for itself.
func SubscribeBatch[T any](
	in *Inbox, client *pubsub.Client, topic *pubsub.Topic[T], name string,
	f func(ctx context.Context, tx *sql.Tx, events []pubsub.Received[T]) error, o *pubsub.BatchOptions,
) *pubsub.Subscription {
	if f == nil {
		return client.SubscribeBatch(topic.Name(), name, nil, o) // its Run says so
	}
	return in.ready(client, topic.Name(), name).SubscribeBatch(topic.Name(), name, in.BatchHandler(name,
		func(ctx context.Context, tx *sql.Tx, ms []*pubsub.Message) error {
			events, failed := make([]pubsub.Received[T], len(ms)), map[int]error{}
			for i, m := range ms {
				event, err := topic.Decode(m)
				if err != nil {
					failed[i] = err
				}
				events[i] = pubsub.Received[T]{Event: event, Message: m}
			}
			if len(failed) > 0 {
				return &pubsub.BatchError{Failed: failed} // the others come again, without these
			}
			return f(ctx, tx, events)
		}), o)
}

// BatchHandler returns a handler that runs f with those of a batch's messages that were not handled before: in one
// transaction, which records them by one statement and commits when f returns nil. Use it with
// pubsub.Client.SubscribeBatch, and the same name, which may be that of a [Inbox.Handler] too. Nil f makes a nil handler.
//
// No message takes its neighbours along. Where f returns a *pubsub.BatchError, what it did is rolled back, the messages
// that it names have failed, and it runs again with the others. After any other error or a panic it runs
// with each message alone, in a transaction of its own, and fails for those for which it fails then. A message that has
// failed before (Message.Attempt is above one) is handled alone from then on; so it is after runtime.Goexit, which
// fails the batch once. The batch as a whole gets half of the
// time that the context leaves, and each message alone a quarter of what is left then: one that hangs delays the
// others, and no more.
//
// The rest is as [Inbox.Handler] says: f may run again for a conflict, and gets fresh messages in no particular order,
// of which no two have the same ID. Its context belongs to no message; see pubsub.BatchHandler.
func (in *Inbox) BatchHandler(name string,
	f func(ctx context.Context, tx *sql.Tx, ms []*pubsub.Message) error) pubsub.BatchHandler {
	if f == nil {
		return nil
	}
	return func(ctx context.Context, ms []*pubsub.Message) error {
		b := &batch{in: in, name: name, f: f, ms: ms, failed: map[int]error{}}
		b.handle(ctx)
		if len(b.failed) > 0 {
			return &pubsub.BatchError{Failed: b.failed}
		}
		return nil
	}
}

// batch is one run of a batch handler. Its lists are positions in ms.
type batch struct {
	in     *Inbox
	name   string
	f      func(ctx context.Context, tx *sql.Tx, ms []*pubsub.Message) error
	ms     []*pubsub.Message
	failed map[int]error
}

func (b *batch) handle(ctx context.Context) {
	together, alone := b.sort()
	for len(together) > 1 {
		left, err := b.handleTogether(ctx, together)
		if err != nil {
			alone = append(alone, left...)
			break
		}
		together = left
	}
	if len(together) == 1 {
		alone = append(alone, together[0])
	}
	b.handleAlone(ctx, alone)
}

// sort says which messages are handled at once and which alone. Those at once are in the order of their IDs, so that
// batches which have some in common do not wait for each other in a circle.
func (b *batch) sort() (together, alone []int) {
	together = make([]int, 0, len(b.ms))
	for i, m := range b.ms {
		if m.Attempt > 1 || m.Topic != b.ms[0].Topic || !listable(m.ID) {
			alone = append(alone, i)
		} else {
			together = append(together, i)
		}
	}
	slices.SortFunc(together, func(i, j int) int { return strings.Compare(b.ms[i].ID, b.ms[j].ID) })
	return together, alone
}

// listable reports whether an ID can stand in a list.
func listable(id string) bool {
	return id != "" && utf8.ValidString(id) && !strings.ContainsFunc(id, func(r rune) bool { return r < ' ' })
}

// handleTogether handles messages in one transaction. It returns those that are to be tried again without the others,
// and an error where each must be tried alone.
func (b *batch) handleTogether(ctx context.Context, at []int) (left []int, err error) {
	if err := b.in.check(b.name, b.ms[at[0]]); err != nil {
		b.fail(at, err)
		return nil, nil
	}
	var fresh []int
	begun := false
	short, cancel := share(ctx, 2)
	defer cancel()
	err = recovered(func() error {
		return sqlx.InTx(short, b.in.db, func(ctx context.Context, tx *sql.Tx) (err error) {
			begun = true
			if fresh, err = b.claim(ctx, tx, at); err != nil {
				return err
			}
			return b.f(ctx, tx, b.messages(fresh))
		}, b.in.tx)
	})
	switch {
	case err == nil || errors.Is(err, errDuplicate):
		b.drop(ctx, at, fresh)
		return nil, nil
	case !begun || errors.Is(err, sqlx.ErrCommitUnknown):
		b.fail(at, err)
		return nil, nil
	}
	if partly, ok := err.(*pubsub.BatchError); ok { //nolint:errorlint // wrapped by more, it speaks of the whole batch
		if left := b.without(at, fresh, partly); len(left) < len(at) {
			return left, nil
		}
	}
	return at, err
}

// without fails what partly names, by its place in fresh, and returns the rest of at: all of it where partly names
// nothing, or what is not there.
func (b *batch) without(at, fresh []int, partly *pubsub.BatchError) []int {
	for i := range partly.Failed {
		if i < 0 || i >= len(fresh) {
			return at
		}
	}
	for i, cause := range partly.Failed {
		if cause == nil {
			cause = errNoCause // not partly, whose other causes may be permanent
		}
		b.failed[fresh[i]] = cause
	}
	return slices.DeleteFunc(slices.Clone(at), func(i int) bool { return b.failed[i] != nil })
}

// handleAlone handles each message in a transaction of its own.
func (b *batch) handleAlone(ctx context.Context, at []int) {
	h := b.in.Handler(b.name, func(ctx context.Context, tx *sql.Tx, m *pubsub.Message) error {
		err := b.f(ctx, tx, []*pubsub.Message{m})
		if partly, ok := err.(*pubsub.BatchError); ok && partly.Failed[0] != nil { //nolint:errorlint // as above
			return partly.Failed[0]
		}
		return err
	})
	for _, i := range at {
		if ctx.Err() != nil {
			b.failed[i] = context.Cause(ctx)
			continue
		}
		short, cancel := share(ctx, 4)
		if err := guarded(func() error { return h(short, b.ms[i]) }); err != nil {
			b.failed[i] = err
		}
		cancel()
	}
}

// share returns ctx for one nth of the time that it leaves.
func share(ctx context.Context, n time.Duration) (context.Context, context.CancelFunc) {
	if end, ok := ctx.Deadline(); ok {
		return context.WithTimeout(ctx, time.Until(end)/n)
	}
	return ctx, func() {}
}

func (b *batch) messages(at []int) []*pubsub.Message {
	ms := make([]*pubsub.Message, len(at))
	for i, j := range at {
		ms[i] = b.ms[j]
	}
	return ms
}

func (b *batch) fail(at []int, err error) {
	for _, i := range at {
		b.failed[i] = err
	}
}

// drop notes those of at that are not fresh.
func (b *batch) drop(ctx context.Context, at, fresh []int) {
	if len(fresh) == len(at) {
		return
	}
	isFresh := make(map[int]bool, len(fresh))
	for _, i := range fresh {
		isFresh[i] = true
	}
	for _, i := range at {
		if !isFresh[i] {
			b.in.drop(ctx, b.name, b.ms[i])
		}
	}
}

// claim records the messages at at and returns those that were not handled before, or errDuplicate where all were.
func (b *batch) claim(ctx context.Context, tx *sql.Tx, at []int) ([]int, error) {
	ids := make([]string, len(at))
	for i, j := range at {
		ids[i] = b.ms[j].ID
	}
	fresh, err := b.recordAll(ctx, tx, b.ms[at[0]].Topic, ids, at)
	if err != nil {
		return nil, fmt.Errorf("inbox: record %d messages: %w", len(at), err)
	}
	if len(fresh) == 0 {
		return nil, errDuplicate
	}
	return fresh, nil
}

func (b *batch) recordAll(ctx context.Context, tx *sql.Tx, topic string, ids []string, at []int) ([]int, error) {
	rows, err := tx.QueryContext(ctx, b.in.recordAll, b.name, topic, table.List(b.in.table.Dialect, ids))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	fresh := make([]int, 0, len(at))
	for rows.Next() {
		var id sql.RawBytes
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		i := len(fresh) // where it is if they come in the order in which they went, and all are new
		if i == len(ids) || ids[i] != string(id) {
			var found bool
			if i, found = slices.BinarySearch(ids, string(id)); !found {
				return nil, fmt.Errorf("the database has recorded %q, which is none of them", id)
			}
		}
		fresh = append(fresh, at[i])
	}
	return fresh, rows.Err()
}

var errNoCause = errors.New("inbox: the handler named the message and gave no cause")

var errGoexit = errors.New("inbox: the handler called runtime.Goexit")

// panicError is a handler's panic, which is the failure of whoever was being handled.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string {
	return fmt.Sprintf("inbox: the handler panicked: %v\n%s", e.value, e.stack)
}

// Unwrap returns the panic's value where that is an error.
func (e *panicError) Unwrap() error {
	err, _ := e.value.(error)
	return err
}

// recovered runs f such that a panic is an error.
func recovered(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{v, debug.Stack()}
		}
	}()
	return f()
}

// guarded is recovered for a handler that may call runtime.Goexit too. It waits for f. A goroutine's stack grows anew
// each time, which a batch of messages that are all good need not pay for.
func guarded(f func() error) error {
	err := errGoexit
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = recovered(f)
	}()
	<-done
	return err
}
