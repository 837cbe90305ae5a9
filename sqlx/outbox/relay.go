package outbox

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/internal/backoff"
	"github.com/mainstay-go/mainstay/pubsub"
)

const (
	defaultBatchSize    = 500
	defaultPollInterval = time.Second
	defaultLease        = 10 * time.Second

	// minPoll is the first pause after work, which doubles up to PollInterval.
	minPoll = 50 * time.Millisecond
	// statsInterval is how often the gauges are read while there is work or not; a failure reads them at once.
	statsInterval = 15 * time.Second
	// A failing topic, or a failing database, is tried again after pauses between these.
	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
	// settleTimeout bounds recording what was sent, which is done when the context has ended, too.
	settleTimeout = 5 * time.Second
)

// RelayOptions adjusts a [Relay]. Nil, and the zero value of every field, mean the defaults.
type RelayOptions struct {
	// BatchSize bounds the messages that are taken at once. Zero or negative means 500. A batch ends early at 8 MiB.
	BatchSize int
	// PollInterval is the longest pause between two looks at the table, when no commit of this process has woken the
	// relay; after work the pauses are shorter, from 50ms on. Zero or negative means 1s: one query a second on an idle
	// database.
	PollInterval time.Duration
	// Lease is how long a replica that dies keeps the others from going on. It also bounds the publishing of one
	// batch, which is cut off at four fifths of it. Zero or negative means 10s.
	Lease time.Duration
	// Logger gets a warning for each failure, and an error for each message that is set aside. Nil means
	// the outbox's.
	Logger *slog.Logger
	// Registerer gets the gauges mainstay_outbox_backlog_rows, mainstay_outbox_oldest_age_seconds and
	// mainstay_outbox_parked_rows. Nil means prometheus.DefaultRegisterer.
	Registerer prometheus.Registerer
}

// Relay moves stored messages to a broker. It is a mainstay.Runner.
type Relay struct {
	store  store
	wake   <-chan struct{}
	client pubsub.Publisher
	opt    RelayOptions
	log    *slog.Logger
	gauges *gauges
	err    error // why it cannot run

	until    time.Time // when the lease ends, at the latest by our own clock; zero for not held
	statsDue time.Time
	topics   map[string]*outage
}

// outage is a topic that the broker does not take now.
type outage struct {
	failures int
	until    time.Time
}

// Relay returns a relay that publishes, by client, what [Outbox.In] stores. Any number of replicas may run one;
// one of them at a time works. Run it once at a time.
func (b *Outbox) Relay(client pubsub.Publisher, o *RelayOptions) *Relay {
	var opt RelayOptions
	if o != nil {
		opt = *o
	}
	r := &Relay{
		store:  store{db: b.db, dialect: b.dialect, holder: uuid.NewString()},
		wake:   b.wake,
		client: client,
		opt: RelayOptions{
			BatchSize:    positive(opt.BatchSize, defaultBatchSize),
			PollInterval: positive(opt.PollInterval, defaultPollInterval),
			Lease:        positive(opt.Lease, defaultLease),
		},
		log:    cmp.Or(opt.Logger, b.logger, slog.Default()),
		topics: map[string]*outage{},
	}
	r.gauges, r.err = newGauges(opt.Registerer)
	return r
}

func positive[T int | time.Duration](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}

// String names the relay in errors.
func (r *Relay) String() string { return "outbox relay" }

// Run relays until ctx ends, then finishes the batch under way, gives the lease back and returns nil. That takes at
// most four fifths of the lease, and 5s for each of the two. It returns an error at once where the tables cannot be
// read at the start; later failures of the database or the broker are logged and waited out.
func (r *Relay) Run(ctx context.Context) error {
	if r.err != nil {
		return r.err
	}
	if err := r.store.dialect.Check(); err != nil {
		return err
	}
	if _, err := r.observe(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("outbox: relay: has Migrate run? %w", err)
	}
	// A message that belonged to no trace must not join the one that the relay was started in.
	ctx = trace.ContextWithSpanContext(ctx, trace.SpanContext{})
	defer r.release(ctx)
	least := min(minPoll, r.opt.PollInterval)
	pause, failures := least, 0
	for ctx.Err() == nil {
		worked, err := r.round(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			failures++
			d := backoff.Delay(failures, minBackoff, maxBackoff)
			r.log.WarnContext(ctx, "outbox: relay cannot use its database", "error", err, "retry_in", d)
			r.sleep(ctx, d, nil)
		case worked:
			pause, failures = least, 0
		default:
			failures = 0
			if r.sleep(ctx, r.untilRetry(pause), r.wake) {
				pause = least
			} else {
				pause = min(2*pause, r.opt.PollInterval)
			}
		}
	}
	return nil
}

// sleep waits for d, for ctx, or for a token of wake, and reports whether it was that.
func (r *Relay) sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-wake:
		return true
	}
	return false
}

// untilRetry returns pause, or less where a topic is to be tried again before.
func (r *Relay) untilRetry(pause time.Duration) time.Duration {
	for _, o := range r.topics {
		pause = min(pause, max(time.Until(o.until), time.Millisecond))
	}
	return pause
}

// round moves one batch. It reports false when there is nothing to do now: no row, another replica at work, or topics
// in outage only.
func (r *Relay) round(ctx context.Context) (worked bool, err error) {
	if r.until.IsZero() {
		// The lease is held while there is work, so that an idle replica asks no more than one question, and whoever
		// is woken by a commit of its own goes first.
		if work, err := r.look(ctx); err != nil || !work {
			return false, err
		}
	}
	if held, err := r.lease(ctx); err != nil || !held {
		return false, err
	}
	rows, more, err := r.store.next(ctx, r.opt.BatchSize, r.blocked())
	if err != nil {
		return false, err
	}
	if !more {
		r.forget(rows)
	}
	// What was begun is ended, also when ctx ends meanwhile, but not beyond the lease: two relays at once would send
	// everything twice, and in no order.
	publish, cancel := context.WithDeadline(context.WithoutCancel(ctx), r.until)
	defer cancel()
	sent, parked := r.publish(publish, rows)

	all := len(sent)+len(parked) == len(rows)
	if err := r.settle(ctx, sent, parked, all && !more && len(r.topics) == 0); err != nil {
		return false, err
	}
	if !all || time.Now().After(r.statsDue) {
		if _, err := r.observe(ctx); err != nil {
			return false, err
		}
	}
	return len(sent)+len(parked) > 0, nil
}

// look reports whether there is anything to send. Where the gauges are due, it is they who tell.
func (r *Relay) look(ctx context.Context) (bool, error) {
	if time.Now().After(r.statsDue) {
		return r.observe(ctx)
	}
	work, err := r.store.any(ctx)
	if err == nil && !work {
		r.gauges.none()
	}
	return work, err
}

// observe reads the gauges and reports whether there is anything to send.
func (r *Relay) observe(ctx context.Context) (bool, error) {
	st, err := r.store.stats(ctx)
	if err != nil {
		return false, err
	}
	r.statsDue = time.Now().Add(statsInterval)
	r.gauges.set(st)
	return st.unsent > 0, nil
}

// lease takes the lease, or renews it when half of it is over, and reports whether it is held.
func (r *Relay) lease(ctx context.Context) (bool, error) {
	if time.Until(r.until) > r.opt.Lease/2 {
		return true, nil
	}
	// From before the question, so that the database's clock is never behind ours.
	start := time.Now()
	held, err := r.store.acquire(ctx, r.opt.Lease)
	if err != nil || !held {
		r.until = time.Time{}
		clear(r.topics) // whoever holds it finds out for itself
		return false, err
	}
	r.until = start.Add(r.opt.Lease * 4 / 5)
	return true, nil
}

// settle records what was sent. Its context outlives ctx: what the broker has must not be sent again.
func (r *Relay) settle(ctx context.Context, sent, parked []row, done bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	if err := r.store.settle(ctx, sent, parked, done); err != nil {
		return err
	}
	if done {
		r.until = time.Time{}
	}
	return nil
}

// release gives the lease back, so that another replica need not wait for its end.
func (r *Relay) release(ctx context.Context) {
	if r.until.IsZero() {
		return
	}
	if err := r.settle(ctx, nil, nil, true); err != nil {
		r.log.WarnContext(ctx, "outbox: relay keeps its lease until it ends", "error", err)
	}
}
