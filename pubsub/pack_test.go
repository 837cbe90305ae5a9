package pubsub

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/propagation"
)

// wild is a propagator that writes whatever it likes.
type wild struct {
	write func(propagation.TextMapCarrier)
}

func (w wild) Inject(_ context.Context, c propagation.TextMapCarrier) { w.write(c) }
func (wild) Extract(ctx context.Context, _ propagation.TextMapCarrier) context.Context {
	return ctx
}
func (wild) Fields() []string { return nil }

// TestPublishSendsOfATraceWhatAMessageMayCarry: the rest is left out, and keeps nothing from being sent.
func TestPublishSendsOfATraceWhatAMessageMayCarry(t *testing.T) {
	sent := func(t *testing.T, write func(propagation.TextMapCarrier), m *Message) map[string]string {
		t.Helper()
		b := &taker{}
		c := NewClient(b, &Options{Registerer: prometheus.NewRegistry(), Propagator: wild{write}})
		if err := c.Publish(t.Context(), "orders", m); err != nil {
			t.Fatal(err)
		}
		as := b.ms[0].Attributes
		if len(as.Map()) != len(as) {
			t.Errorf("sent %q, want each name once", as)
		}
		return as.Map()
	}
	t.Run("Fields", func(t *testing.T) {
		got := sent(t, func(c propagation.TextMapCarrier) {
			c.Set("X-Amzn-Trace-Id", "first")
			c.Set("x-amzn-trace-id", "second")
			c.Set("a b", "x")
			c.Set("evil", "abc\r\nX-Evil: 1")
			c.Set("long", strings.Repeat("x", maxValueLength+1))
			if keys := c.Keys(); len(keys) != 1 || c.Get("X-AMZN-Trace-Id") != "second" {
				t.Errorf("the carrier has %q, want x-amzn-trace-id alone, as second", keys)
			}
		}, &Message{Metadata: map[string]string{"x-amzn-trace-id": "mine", "user": "u"}})
		if got["x-amzn-trace-id"] != "second" || got["user"] != "u" {
			t.Errorf("sent %q, want the trace before the metadata of its name, and the rest of that", got)
		}
		for _, name := range []string{"a b", "evil", "long"} {
			if _, there := got[name]; there {
				t.Errorf("%q was sent", name)
			}
		}
	})
	t.Run("Bounds", func(t *testing.T) {
		for size, want := range map[int]int{1: maxAttributes, 4 << 10: 15} { // 15 of them, with their names, fit 64 KiB
			got := sent(t, func(c propagation.TextMapCarrier) {
				for i := range 100 {
					c.Set(fmt.Sprintf("t-%d", i), strings.Repeat("x", size))
				}
			}, &Message{})
			n := 0
			for name := range got {
				if strings.HasPrefix(name, "t-") {
					n++
				}
			}
			if n != want {
				t.Errorf("%d fields of %d bytes were sent, want %d", n, size, want)
			}
		}
	})
}
