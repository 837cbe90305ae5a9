package pubsub_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is what a test works with: a broker, a client of it, and what the client logs and counts.
type bench struct {
	t      *testing.T
	client *pubsub.Client
	logs   *lockedBuffer
	reg    *prometheus.Registry
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lockedBuffer) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = bytes.Buffer{}
}

func newBench(t *testing.T, b driver.Broker) *bench {
	logs := &lockedBuffer{}
	reg := prometheus.NewRegistry()
	return &bench{t: t, logs: logs, reg: reg, client: pubsub.NewClient(b, &pubsub.Options{
		Source: "/test", Registerer: reg, Logger: slog.New(slog.NewTextHandler(logs, nil)),
	})}
}

// run runs s until the returned function is called, which returns what Run returned.
func run(t *testing.T, s *pubsub.Subscription) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case err := <-ended:
		t.Fatalf("Run returned %v before it was ready", err)
	}
	return sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
}

// pass lets d pass in a bubble, and all that is due in it happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (b *bench) publish(topic string, ms ...*pubsub.Message) {
	b.t.Helper()
	if err := b.client.Publish(b.t.Context(), topic, ms...); err != nil {
		b.t.Fatalf("Publish(%q): %v", topic, err)
	}
}

// collect subscribes and returns what arrives, read by the returned function.
func (b *bench) collect(topic string) (received func() []*pubsub.Message, stop func() error) {
	var mu sync.Mutex
	var got []*pubsub.Message
	stop = run(b.t, b.client.Subscribe(topic, "collector", func(_ context.Context, m *pubsub.Message) error {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, m)
		return nil
	}, nil))
	return func() []*pubsub.Message {
		mu.Lock()
		defer mu.Unlock()
		return append([]*pubsub.Message(nil), got...)
	}, stop
}

// metric returns the value of a counter or gauge, or the count of a histogram, summed over the series whose labels
// include those given.
func (b *bench) metric(name string, labels ...string) float64 {
	b.t.Helper()
	families, err := b.reg.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	series:
		for _, m := range f.GetMetric() {
			have := map[string]string{}
			for _, l := range m.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			for i := 0; i < len(labels); i += 2 {
				if have[labels[i]] != labels[i+1] {
					continue series
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

// journal notes what handlers did, in order.
type journal struct {
	mu      sync.Mutex
	entries []string
}

func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, fmt.Sprintf(format, args...))
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries)
}

// bubble runs f in a synctest bubble with a strict broker in memory.
func bubble(t *testing.T, f func(t *testing.T, b *bench)) {
	synctest.Test(t, func(t *testing.T) { f(t, newBench(t, strict{&mempubsub.Broker{}})) })
}

// strict is a broker that is as unhelpful as the contract allows: it does nothing for a context that has ended, and
// its Close gives nothing back.
type strict struct{ driver.Broker }

func (b strict) Subscribe(ctx context.Context, o driver.SubscribeOptions) (driver.Subscription, error) {
	sub, err := b.Broker.Subscribe(ctx, o)
	return strictSub{sub}, err
}

type strictSub struct{ driver.Subscription }

func (s strictSub) Ack(ctx context.Context, ds []*driver.Delivery) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.Subscription.Ack(ctx, ds)
}

func (s strictSub) Release(ctx context.Context, ds []*driver.Delivery, delay time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.Subscription.Release(ctx, ds, delay)
}

func (s strictSub) Close(context.Context) error { return nil }
