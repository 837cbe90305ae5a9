package pubsubtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/tracing/correlation"
)

var clientTests = []test{
	{name: "HandlesKeysInOrder", run: handlesKeysInOrder},
	{name: "DeadLettersOnce", run: deadLettersOnce},
	{name: "KeepsALongHandlersMessage", needs: []ability{lease}, run: keepsALongHandlersMessage},
	{name: "StopsWithoutLoss", run: stopsWithoutLoss},
	{name: "HandlesAStrangersMessage", needs: []ability{stranger}, run: handlesAStrangersMessage},
	{name: "TellsWhereAMessageComesFrom", run: tellsWhereAMessageComesFrom},
	{name: "CountsAttempts", run: countsAttempts},
	{name: "PermanentErrorsDieAtOnce", run: permanentErrorsDieAtOnce},
	{name: "KeepsWhatDoesNotDecode", run: keepsWhatDoesNotDecode},
	{name: "DrainGivesBackAtOnce", needs: []ability{lease}, run: drainGivesBackAtOnce},
	{name: "HandlesABurst", run: handlesABurst},
	{name: "GivesEachSubscriptionAll", run: clientGivesEachSubscriptionAll},
	{name: "Pings", run: clientPings},
	{name: "Peeks", needs: []ability{browse}, run: clientPeeks},
	{name: "Redrives", needs: []ability{browse, redeliver}, run: clientRedrives},
}

func (f *fixture) client() *pubsub.Client {
	return pubsub.NewClient(f.broker, &pubsub.Options{
		Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
}

// start runs s until the test ends or stop is called, which reports what Run returned.
func (f *fixture) start(s *pubsub.Subscription) (stop func()) {
	f.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(f.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			f.Errorf("Run: %v", err)
		}
	})
	f.Cleanup(stop)
	select {
	case <-s.Ready():
	case err := <-ended:
		ended <- nil
		f.Fatalf("Run returned %v before it was ready", err)
	case <-time.After(patience):
		f.Fatal("the subscription does not get ready")
	}
	return stop
}

// journal notes what handlers did.
type journal struct {
	mu      sync.Mutex
	entries []string
	changed chan struct{} // closed and replaced at each entry
}

func newJournal() *journal { return &journal{changed: make(chan struct{})} }

func (j *journal) note(s string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, s)
	close(j.changed)
	j.changed = make(chan struct{})
}

// wait returns the entries once there are n.
func (j *journal) wait(f *fixture, n int) []string {
	f.Helper()
	late := time.After(patience)
	for {
		j.mu.Lock()
		entries, changed := slices.Clone(j.entries), j.changed
		j.mu.Unlock()
		if len(entries) >= n {
			return entries
		}
		select {
		case <-changed:
		case <-late:
			f.Fatalf("%d entries %v, want %d", len(entries), entries, n)
		}
	}
}

func (f *fixture) send(c *pubsub.Client, ms ...*pubsub.Message) {
	f.Helper()
	if err := c.Publish(f.Context(), f.topic, ms...); err != nil {
		f.Fatalf("Publish: %v", err)
	}
}

func handlesKeysInOrder(f *fixture) {
	c, j := f.client(), newJournal()
	failed := sync.Map{}
	f.start(c.Subscribe(f.topic, "one", func(_ context.Context, m *pubsub.Message) error {
		if _, again := failed.LoadOrStore(m.ID, true); !again && m.ID[2] == '3' {
			return errors.New("once")
		}
		j.note(m.ID)
		return nil
	}, &pubsub.SubscriptionOptions{Lease: f.Lease, Retry: pubsub.Retry{MinBackoff: 50 * time.Millisecond}}))
	const perKey, keys = 8, "abcd"
	for i := range perKey {
		for _, k := range keys {
			f.send(c, &pubsub.Message{ID: fmt.Sprintf("%c-%d", k, i), Key: string(k)})
		}
	}
	done := map[byte][]string{}
	for _, id := range j.wait(f, perKey*len(keys)) {
		done[id[0]] = append(done[id[0]], id)
	}
	for k, ids := range done {
		if len(ids) != perKey || !slices.IsSorted(ids) {
			f.Errorf("key %c was handled as %v, want %d in order", k, ids, perKey)
		}
	}
}

func deadLettersOnce(f *fixture) {
	c, runs, letters := f.client(), newJournal(), newJournal()
	dead := f.topic + ".dead-letter.one"
	f.declare(dead)
	f.start(c.Subscribe(dead, "reader", func(_ context.Context, m *pubsub.Message) error {
		letters.note(fmt.Sprint(m.ID, " ", string(m.Data), " ", m.DeadLetter.Attempts, " ", m.DeadLetter.Error))
		return nil
	}, nil))
	stop := f.start(c.Subscribe(f.topic, "one", func(_ context.Context, m *pubsub.Message) error {
		runs.note(m.ID)
		return errors.New("boom")
	}, &pubsub.SubscriptionOptions{Lease: f.Lease, Retry: pubsub.Retry{MaxAttempts: 3, MinBackoff: time.Millisecond}}))
	f.send(c, &pubsub.Message{ID: "poison", Data: []byte("body")})
	if got := letters.wait(f, 1); got[0] != "poison body 3 boom" {
		f.Errorf("dead letter %q, want %q", got[0], "poison body 3 boom")
	}
	stop()
	f.subscribe("one").receiveNone(2 * f.Lease)
	if got := runs.wait(f, 3); len(got) != 3 {
		f.Errorf("the handler ran %d times, want 3", len(got))
	}
	if got := letters.wait(f, 1); len(got) != 1 {
		f.Errorf("%d dead letters, want 1", len(got))
	}
}

// keepsALongHandlersMessage tries a few times: a machine that stands still for most of a lease loses it, and that shows
// nothing; a lease that nobody renews is lost every time.
func keepsALongHandlersMessage(f *fixture) {
	j := newJournal()
	handle := func(ctx context.Context, m *pubsub.Message) error {
		j.note("begin " + m.ID)
		select {
		case <-time.After(4 * f.Lease):
		case <-ctx.Done():
		}
		j.note("end " + m.ID)
		return nil
	}
	o := &pubsub.SubscriptionOptions{Lease: f.Lease}
	// Two processes, as the broker sees it.
	f.start(f.client().Subscribe(f.topic, "one", handle, o))
	f.start(f.client().Subscribe(f.topic, "one", handle, o))
	third := f.subscribe("one")
	var got []string
	for try := range 5 {
		id := fmt.Sprint("long", try)
		f.send(f.client(), &pubsub.Message{ID: id})
		before := len(got)
		j.wait(f, before+2)
		stolen := third.receiveFor(2 * f.Lease)
		third.ack(stolen...)
		got = j.wait(f, before+2)
		if len(stolen) == 0 && slices.Equal(got[before:], []string{"begin " + id, "end " + id}) {
			return
		}
	}
	f.Errorf("handlers did %q, want each message handled once, or one of them at least", got)
}

func stopsWithoutLoss(f *fixture) {
	c, j := f.client(), newJournal()
	handle := func(_ context.Context, m *pubsub.Message) error {
		j.note(m.ID)
		return nil
	}
	o := &pubsub.SubscriptionOptions{Lease: f.Lease, Concurrency: 2}
	stop := f.start(c.Subscribe(f.topic, "one", handle, o))
	const n = 60
	for i := range n {
		f.send(c, &pubsub.Message{ID: fmt.Sprintf("%02d", i)})
		if i%20 == 10 {
			stop()
			stop = f.start(c.Subscribe(f.topic, "one", handle, o))
		}
	}
	late := time.Now().Add(patience)
	distinct := 0
	for want := n; distinct < n && time.Now().Before(late); want++ {
		got := j.wait(f, want)
		slices.Sort(got)
		distinct = len(slices.Compact(got))
	}
	if distinct != n {
		f.Errorf("%d messages were handled, want %d", distinct, n)
	}
}

// tellsWhereAMessageComesFrom has a cause b, and b, which fails until an operator sends it again from its dead letter,
// cause c: all in one story.
func tellsWhereAMessageComesFrom(f *fixture) {
	c, j := f.client(), newJournal()
	b, last := f.topic+".b", f.topic+".c"
	f.declare(b, b+".dead-letter.one", last)
	once := &pubsub.SubscriptionOptions{Lease: f.Lease, Retry: pubsub.Retry{MaxAttempts: 2, MinBackoff: time.Millisecond}}
	var told sync.Map // a second delivery tells nothing new
	tell := func(ctx context.Context, what string, m *pubsub.Message) {
		s := fmt.Sprintf("%s %s/%d of %s in %s %s", what, m.ID, m.Attempt, m.CausationID, m.CorrelationID,
			correlation.FromContext(ctx))
		if _, before := told.LoadOrStore(s, true); !before {
			j.note(s)
		}
	}
	var mended atomic.Bool
	f.start(c.Subscribe(f.topic, "one", func(ctx context.Context, m *pubsub.Message) error {
		tell(ctx, "first", m)
		return c.Publish(ctx, b, &pubsub.Message{ID: "b"})
	}, once))
	f.start(c.Subscribe(b, "one", func(ctx context.Context, m *pubsub.Message) error {
		tell(ctx, "second", m)
		if !mended.Load() {
			return errors.New("boom")
		}
		return c.Publish(ctx, last, &pubsub.Message{ID: "c"})
	}, once))
	f.start(c.Subscribe(b+".dead-letter.one", "operator", func(ctx context.Context, m *pubsub.Message) error {
		tell(ctx, "letter", m)
		mended.Store(true)
		again := *m
		again.ID = "b2" // a broker that deduplicates would drop b
		return c.Publish(ctx, m.DeadLetter.Topic, &again)
	}, once))
	f.start(c.Subscribe(last, "one", func(ctx context.Context, m *pubsub.Message) error {
		tell(ctx, "third", m)
		return nil
	}, once))
	if err := c.Publish(correlation.NewContext(f.Context(), "r-1"), f.topic, &pubsub.Message{ID: "a"}); err != nil {
		f.Fatalf("Publish: %v", err)
	}
	want := []string{
		"first a/1 of  in r-1 r-1", "second b/1 of a in r-1 r-1", "second b/2 of a in r-1 r-1",
		"letter b/1 of a in r-1 r-1", "second b2/1 of a in r-1 r-1", "third c/1 of b2 in r-1 r-1",
	}
	if got := j.wait(f, len(want)); !slices.Equal(got, want) {
		f.Errorf("handled %q,\nwant %q", got, want)
	}
}

func handlesAStrangersMessage(f *fixture) {
	c, j := f.client(), newJournal()
	f.start(c.Subscribe(f.topic, "one", func(_ context.Context, m *pubsub.Message) error {
		if m.ID == "" || m.CorrelationID == "" {
			f.Errorf("ID %q, correlation ID %q, want both filled in", m.ID, m.CorrelationID)
		}
		j.note(string(m.Data))
		return nil
	}, nil))
	f.Stranger(f, f.topic, []byte("hello"))
	j.wait(f, 1)
}
