package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/inbox"
)

// consumers is how many run at a time.
const consumers = 3

// trial is one run of a plan.
type trial struct {
	plan   plan
	kind   broker
	dir    string
	port   int // the broker's
	db     *sql.DB
	client *pubsub.Client
	fleet  *fleet

	postgres, broker *server
	disconnect       func()
	publishers       []*publisher

	began    time.Time
	stored   atomic.Int64 // messages that the broker has confirmed
	again    atomic.Int64
	effects  atomic.Int64
	kills    atomic.Int64
	freezes  int // by disturb, as the next
	stalls   int
	restarts int
}

// run carries the plan out and prints what came of it.
func (p plan) run(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithTimeoutCause(ctx, p.limit, fmt.Errorf("the trial has taken %v", p.limit))
	defer cancel()
	kind, err := brokerOf(p.broker)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mainstay-chaos-")
	if err != nil {
		return err
	}
	t := &trial{plan: p, kind: kind, dir: dir}
	r, err := t.run(ctx)
	if err == nil {
		if err = r.print(w); err == nil {
			err = r.broken()
		}
	}
	if err != nil {
		t.dump(w)
		return err
	}
	return os.RemoveAll(dir)
}

func (t *trial) run(ctx context.Context) (report, error) {
	defer t.close()
	if err := t.prepare(ctx); err != nil {
		return report{}, err
	}
	for range consumers {
		if err := t.fleet.add(ctx); err != nil {
			return report{}, err
		}
	}
	t.began = time.Now()
	if err := t.rage(ctx); err != nil && !errors.Is(err, errStuck) {
		return report{}, err
	}
	took := time.Since(t.began)
	if err := sleep(ctx, t.plan.quiet); err != nil {
		return report{}, err
	}
	if err := t.fleet.drain(30 * time.Second); err != nil {
		return report{}, err
	}
	r, err := t.report(ctx)
	r.took = took
	return r, err
}

// prepare starts the servers and makes what they have to hold.
func (t *trial) prepare(ctx context.Context) error {
	// PostgreSQL's user has to reach its folder.
	if err := os.Chmod(t.dir, 0o711); err != nil {
		return err
	}
	ports, err := freePorts(ctx, 3)
	if err != nil {
		return err
	}
	url, err := t.startPostgres(ctx, ports[0])
	if err != nil {
		return err
	}
	if err := t.startBroker(ctx, [2]int{ports[1], ports[2]}); err != nil {
		return err
	}
	if err := t.client.Declare(ctx, events); err != nil {
		return err
	}
	t.fleet = &fleet{dir: t.dir, config: consumer{
		Broker: t.plan.broker, Database: url, Port: t.port, Inbox: t.plan.inbox,
		Ordered: t.plan.ordered, Past: t.kind.keeps(),
	}}
	for i := range publishers {
		p := &publisher{
			to: t.client, random: rand.New(rand.NewPCG(1, uint64(i))), sent: make(map[string]int64),
			done: &t.stored, again: &t.again,
		}
		for k := i; k < t.plan.keys; k += publishers {
			p.keys = append(p.keys, fmt.Sprintf("k%04d", k))
		}
		p.left = t.plan.messages / publishers
		if i == 0 {
			p.left += t.plan.messages % publishers
		}
		t.publishers = append(t.publishers, p)
	}
	return nil
}

func (t *trial) startPostgres(ctx context.Context, port int) (url string, err error) {
	dir, err := folder(t.dir, "postgres")
	if err != nil {
		return "", err
	}
	if t.postgres, url, err = newPostgres(ctx, dir, logFile(t.dir, "postgres"), port); err != nil {
		return "", err
	}
	if err := t.postgres.start(ctx); err != nil {
		return "", err
	}
	if t.db, err = openDatabase(ctx, url, 2); err != nil {
		return "", err
	}
	if _, err := t.db.ExecContext(ctx, schema); err != nil {
		return "", err
	}
	return url, inbox.New(t.db, sqlx.Postgres, &inbox.Options{Registerer: prometheus.NewRegistry()}).Migrate(ctx)
}

func (t *trial) startBroker(ctx context.Context, ports [2]int) error {
	dir, err := folder(t.dir, t.plan.broker)
	if err != nil {
		return err
	}
	command, err := t.kind.command(ctx, filepath.Join(t.plan.services, "cache"), dir, ports)
	if err != nil {
		return err
	}
	t.port = ports[0]
	t.broker = &server{what: guard{Log: logFile(t.dir, t.plan.broker), Dir: dir, Command: command}}
	t.broker.ready = func(ctx context.Context) error {
		b, disconnect, err := t.kind.dial(ctx, t.port)
		if err != nil {
			return err
		}
		defer disconnect()
		return pubsub.NewClient(b, &pubsub.Options{Registerer: prometheus.NewRegistry()}).Ping(ctx)
	}
	if err := t.broker.start(ctx); err != nil {
		return err
	}
	b, disconnect, err := t.kind.dial(ctx, t.port)
	if err != nil {
		return err
	}
	t.disconnect = disconnect
	t.client = pubsub.NewClient(b, &pubsub.Options{Registerer: prometheus.NewRegistry(), PublishTimeout: publishTimeout})
	return nil
}

// errStuck says that nothing moves any more. What is missing then is lost.
var errStuck = errors.New("nothing moves")

// rage publishes everything amid faults, and returns once all of it has had its effect, or nothing moves any more.
func (t *trial) rage(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var publishing sync.WaitGroup
	begin := func(wg *sync.WaitGroup, ctx context.Context, f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil {
				cancel(err)
			}
		})
	}
	for _, p := range t.publishers {
		begin(&publishing, ctx, func(ctx context.Context) error { return p.run(ctx, t.plan.span) })
	}
	begin(&publishing, ctx, t.disturb)
	killing, spare := context.WithCancel(ctx)
	begin(&wg, killing, t.kill)
	published := make(chan struct{})
	go func() {
		publishing.Wait()
		close(published)
	}()
	err := t.watch(ctx, published)
	spare()
	wg.Wait()
	if err != nil {
		cancel(err)
	}
	<-published
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// watch returns once everything is published and has had its effect.
func (t *trial) watch(ctx context.Context, published <-chan struct{}) error {
	moved := time.Now()
	for {
		if err := sleep(ctx, 250*time.Millisecond); err != nil {
			return err
		}
		n, err := countEffects(ctx, t.db)
		if err != nil {
			return err
		}
		if int64(n) != t.effects.Swap(int64(n)) {
			moved = time.Now()
		}
		if time.Since(moved) > t.plan.patience {
			return errStuck
		}
		select {
		case <-published:
		default:
			continue
		}
		if n < t.plan.messages {
			continue
		}
		// More effects than messages are none the better for one that is missing.
		if n, err = countMessages(ctx, t.db); err != nil || n >= t.plan.messages {
			return err
		}
	}
}

func (t *trial) report(ctx context.Context) (report, error) {
	effects, err := effectsIn(ctx, t.db)
	if err != nil {
		return report{}, err
	}
	sent := make(map[string]int64)
	for _, p := range t.publishers {
		maps.Copy(sent, p.sent)
	}
	letters, err := pubsub.Peek(ctx, t.client, events.Name()+".dead-letter."+subscriptionName, 100)
	if err != nil {
		return report{}, err
	}
	return report{
		verdict: audit(sent, effects), broker: t.plan.broker, order: t.kind.order(t.plan.ordered), deadLetters: len(letters),
		dropped: t.fleet.dropped.Load(), again: t.again.Load(),
		kills: int(t.kills.Load()), freezes: t.freezes, stalls: t.stalls, restarts: t.restarts,
		keeps: t.kind.keeps(),
	}, nil
}

// dump says where the trial stands, and what its processes said last.
func (t *trial) dump(w io.Writer) {
	fmt.Fprintf(w, "stored %d of %d messages, %d published again, %d effects; %d kills, %d stalls, %d restarts\n",
		t.stored.Load(), t.plan.messages, t.again.Load(), t.effects.Load(), t.kills.Load(), t.stalls, t.restarts)
	logs, _ := filepath.Glob(logFile(t.dir, "*")) // the pattern is well formed
	for _, name := range logs {
		if text, err := os.ReadFile(name); err == nil && len(text) > 0 {
			fmt.Fprintf(w, "--- %s\n%s", name, lastLines(text, 5))
		}
	}
	fmt.Fprintf(w, "--- all is kept in %s\n", t.dir)
}

// lastLines returns the last n lines of text.
func lastLines(text []byte, n int) []byte {
	lines := bytes.SplitAfter(bytes.TrimRight(text, "\n"), []byte("\n"))
	return append(bytes.Join(lines[max(0, len(lines)-n):], nil), '\n')
}

// close ends all that runs.
func (t *trial) close() {
	if t.fleet != nil {
		t.fleet.end()
	}
	if t.disconnect != nil {
		t.disconnect()
	}
	if t.db != nil {
		if err := t.db.Close(); err != nil {
			slog.Warn("database does not close", "error", err)
		}
	}
	for _, s := range []*server{t.broker, t.postgres} {
		s.end()
	}
}
