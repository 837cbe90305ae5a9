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
	defaultBatchSize    = 1000
	defaultPollInterval = time.Second
	defaultLease        = 6 * time.Second

	// minPoll is the first pause after work, which doubles up to PollInterval.
	minPoll = 50 * time.Millisecond
	// floorInterval is how often everything is read from its beginning, however busy the relay is.
	floorInterval = time.Minute
	// tidyInterval is how often what was kept for long enough is removed.
	tidyInterval = time.Minute
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
	// BatchSize bounds the messages that are taken at once. Zero or negative means 1000. A batch ends early at 8 MiB.
	BatchSize int
	// PollInterval is the longest pause between two looks at the table, when no commit of this process has woken the
	// relay; after work the pauses are shorter, from 50ms on. Zero or negative means 1s: one query a second on an idle
	// database.
	PollInterval time.Duration
	// Lease is how long a replica that dies keeps the others from its part of the messages; they have taken it over
	// PollInterval and half of Lease later, at the latest. It also bounds the publishing of one batch, which is cut off
	// after half of it to four fifths of it. Zero or negative means 6s.
	Lease time.Duration
	// Retention is how long messages are kept, in the table mainstay_outbox_sent, after they were sent. Older ones
	// are removed about once a minute, as by [Outbox.Prune], a thousand between two batches. Zero or negative means that
	// messages are deleted as soon as they were sent.
	Retention time.Duration
	// Logger gets a warning for each failure, and an error for each message that is set aside. Nil means
	// the outbox's.
	Logger *slog.Logger
	// Registerer gets the gauges mainstay_outbox_backlog_rows, mainstay_outbox_oldest_age_seconds and
	// mainstay_outbox_parked_rows. Nil means prometheus.DefaultRegisterer.
	Registerer prometheus.Registerer
}

// Relay moves stored messages to a broker. It is a mainstay.Runner.
type Relay struct {
	box    *Outbox
	store  store
	client pubsub.Publisher
	opt    RelayOptions
	log    *slog.Logger
	gauges *gauges
	err    error // why it cannot run

	leases   leases
	floors   floors
	floorDue time.Time // when the floors are dropped, as they are every so often
	behind   bool      // the last read left something
	each     int       // how many rows of a shard are read at most
	statsDue time.Time
	tidyDue  time.Time
	topics   map[string]*outage
	held     map[string]bool // topics of which there are rows that the floors may have left behind
}

// outage is a topic that the broker does not take now.
type outage struct {
	failures int
	until    time.Time
}

// Relay returns a relay that publishes, by client, what [Outbox.In] stores. Any number of replicas may run one: they
// divide the messages by topic and key, into 32 parts at most. Run it once at a time.
func (b *Outbox) Relay(client pubsub.Publisher, o *RelayOptions) *Relay {
	var opt RelayOptions
	if o != nil {
		opt = *o
	}
	r := &Relay{
		store:  store{db: b.db, dialect: b.dialect, holder: uuid.NewString(), keep: opt.Retention > 0},
		box:    b,
		client: client,
		opt: RelayOptions{
			BatchSize:    positive(opt.BatchSize, defaultBatchSize),
			PollInterval: positive(opt.PollInterval, defaultPollInterval),
			Lease:        positive(opt.Lease, defaultLease),
			Retention:    opt.Retention,
		},
		log:    cmp.Or(opt.Logger, b.logger, slog.Default()),
		topics: map[string]*outage{},
		held:   map[string]bool{},
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
	pause, failures, woken := least, 0, false
	for ctx.Err() == nil {
		worked, err := r.round(ctx, woken)
		woken = false
		if err == nil {
			var more bool
			more, err = r.tidy(ctx)
			worked = worked || more
		}
		switch {
		case ctx.Err() != nil:
		case err != nil:
			failures++
			r.floors.reset()
			d := backoff.Delay(failures, minBackoff, maxBackoff)
			r.log.WarnContext(ctx, "outbox: relay cannot use its database", "error", err, "retry_in", d)
			r.sleep(ctx, d, nil)
		case worked:
			pause, failures = least, 0
		default:
			failures = 0
			if woken = r.sleep(ctx, r.untilRetry(pause), r.box.wake); woken {
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

// round moves one batch. It reports false when there is nothing to do now: no row, other replicas at work, or topics
// in outage only.
func (r *Relay) round(ctx context.Context, woken bool) (worked bool, err error) {
	if !r.leases.held() && !woken {
		// Leases are held while there is work, so that an idle replica asks no more than one question, and whoever is
		// woken by a commit of its own goes first.
		if work, err := r.look(ctx); err != nil || !work {
			return false, err
		}
	}
	if err := r.lease(ctx); err != nil || !r.leases.held() {
		return false, err
	}
	rows, more, err := r.read(ctx)
	if err != nil {
		return false, err
	}
	if !more {
		r.forget(rows)
	}
	// What was begun is ended, also when ctx ends meanwhile, but not beyond the leases: two relays at once would send
	// everything twice, and in no order.
	publish, cancel := context.WithDeadline(context.WithoutCancel(ctx), r.leases.until)
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

// observe reads the gauges and reports whether there is anything to send. Counting a large backlog takes time: it is
// done so rarely that it takes a hundredth of it.
func (r *Relay) observe(ctx context.Context) (bool, error) {
	start := time.Now()
	st, err := r.store.stats(ctx)
	if err != nil {
		return false, err
	}
	r.statsDue = time.Now().Add(max(statsInterval, 100*time.Since(start)))
	r.gauges.set(st)
	return st.unsent > 0, nil
}

// settle records what was sent. Its context outlives ctx: what the broker has must not be sent again.
func (r *Relay) settle(ctx context.Context, sent, parked []row, done bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	if err := r.store.settle(ctx, sent, parked, done); err != nil {
		return err
	}
	if done {
		r.leases.drop()
	}
	if r.store.isPostgres() && r.floors.settle(append(sent, parked...)) {
		writers, err := r.store.writers(ctx)
		if err != nil {
			return err
		}
		r.floors.advance(writers)
	}
	return nil
}

// release gives the leases back, so that another replica need not wait for their end.
func (r *Relay) release(ctx context.Context) {
	if !r.leases.held() {
		return
	}
	if err := r.settle(ctx, nil, nil, true); err != nil {
		r.log.WarnContext(ctx, "outbox: relay keeps its leases until they end", "error", err)
	}
}
