package tracing_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/mainstay-go/mainstay/tracing"
)

// collector is an exporter that does as it is told.
type collector struct {
	export   func(ctx context.Context) error // nil succeeds
	shutdown func(ctx context.Context) error // nil succeeds

	mu    sync.Mutex
	spans []sdktrace.ReadOnlySpan
	shut  int
}

func (c *collector) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if c.export != nil {
		if err := c.export(ctx); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spans = append(c.spans, spans...)
	return nil
}

func (c *collector) Shutdown(ctx context.Context) error {
	c.mu.Lock()
	c.shut++
	c.mu.Unlock()
	if c.shutdown != nil {
		return c.shutdown(ctx)
	}
	return nil
}

func (c *collector) got() []sdktrace.ReadOnlySpan {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spans
}

// hang waits as long as its caller lets it.
func hang(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// refuse is a port where nobody listens.
func refuse(context.Context) error { return errors.New("connection refused") }

// journal keeps the lines of a log.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(j, nil)) }

type line struct {
	Level, Msg, Error string
	Spans             int64
}

func (j *journal) lines(t *testing.T) []line {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	var lines []line
	for s := range strings.Lines(j.buf.String()) {
		var l line
		if err := json.Unmarshal([]byte(s), &l); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		lines = append(lines, l)
	}
	return lines
}

func setup(t testing.TB, o tracing.Options) *tracing.Provider {
	t.Helper()
	if o.ServiceName == "" {
		o.ServiceName = "orders"
	}
	p, err := tracing.Setup(t.Context(), &o)
	if err != nil {
		t.Fatalf("Setup: %v", err)
	}
	return p
}

// end makes n spans and ends them.
func end(p *tracing.Provider, n int) {
	tracer := p.TracerProvider().Tracer("test")
	for range n {
		_, span := tracer.Start(context.Background(), "work")
		span.End()
	}
}

// stop runs p, stops it at once, and returns how long it took.
func stop(t *testing.T, p *tracing.Provider) time.Duration {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	synctest.Wait()
	start := time.Now()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: got %v, want nil", err)
	}
	return time.Since(start)
}
