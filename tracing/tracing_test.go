package tracing_test

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/tracing"
)

func TestSetup(t *testing.T) {
	for name, o := range map[string]*tracing.Options{
		"NoOptions":      nil,
		"NoServiceName":  {},
		"RatioAboveOne":  {ServiceName: "s", Ratio: 1.5},
		"RatioNotNumber": {ServiceName: "s", Ratio: math.NaN()},
	} {
		t.Run("Refuses/"+name, func(t *testing.T) {
			p, err := tracing.Setup(t.Context(), o)
			if err == nil || p != nil || !strings.HasPrefix(err.Error(), "tracing: ") {
				t.Errorf("got %v, %v; want an error that names the package", p, err)
			}
		})
	}

	t.Run("NamesTheService", func(t *testing.T) {
		t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=orders-1,service.name=other")
		c := &collector{}
		p := setup(t, tracing.Options{ServiceVersion: "1.2.3", Environment: "staging", Exporter: c})
		end(p, 1)
		if err := p.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, a := range c.got()[0].Resource().Attributes() {
			got[string(a.Key)] = a.Value.AsString()
		}
		for key, want := range map[string]string{
			"service.name": "orders", "service.version": "1.2.3", "deployment.environment.name": "staging",
			"k8s.pod.name": "orders-1", "telemetry.sdk.language": "go",
		} {
			if got[key] != want {
				t.Errorf("%s: got %q, want %q", key, got[key], want)
			}
		}
	})

	t.Run("ListensToItsOptionsNotTheEnvironment", func(t *testing.T) {
		t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
		t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1")
		c := &collector{}
		p := setup(t, tracing.Options{Exporter: c})
		end(p, 100)
		if err := p.Shutdown(t.Context()); err != nil || len(c.got()) != 100 {
			t.Errorf("got %d spans, %v; want all 100", len(c.got()), err)
		}
	})

	t.Run("BoundsWhatASpanHolds", func(t *testing.T) {
		t.Setenv("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "1")
		t.Setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "1")
		for name, limits := range map[string]*sdktrace.SpanLimits{"4096": nil, "7": {
			AttributeValueLengthLimit: 7, AttributeCountLimit: -1,
		}} {
			c := &collector{}
			p := setup(t, tracing.Options{Exporter: c, Limits: limits})
			_, span := p.TracerProvider().Tracer("test").Start(t.Context(), "work")
			span.SetAttributes(attribute.String("a", strings.Repeat("x", 1<<20)), attribute.Int("b", 1))
			span.End()
			if err := p.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			attrs := c.got()[0].Attributes()
			if len(attrs) != 2 || strconv.Itoa(len(attrs[0].Value.AsString())) != name {
				t.Errorf("got %d attributes, the first of %d bytes; want 2, %s", len(attrs), len(attrs[0].Value.AsString()), name)
			}
		}
	})

	t.Run("MakesIDsWithoutAnExporter", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := setup(t, tracing.Options{})
			_, span := p.TracerProvider().Tracer("test").Start(t.Context(), "work")
			if sc := span.SpanContext(); !sc.IsValid() || !sc.IsSampled() {
				t.Errorf("got %+v, want valid and sampled", sc)
			}
			span.End()
			if took := stop(t, p); took != 0 || p.Lost() != 0 {
				t.Errorf("stop: took %v, lost %d; want neither", took, p.Lost())
			}
		})
	})

	t.Run("SetsGlobalsOnlyWhenAsked", func(t *testing.T) {
		provider, propagator, handler := otel.GetTracerProvider(), otel.GetTextMapPropagator(), otel.GetErrorHandler()
		t.Cleanup(func() {
			otel.SetTracerProvider(provider)
			otel.SetTextMapPropagator(propagator)
			otel.SetErrorHandler(handler)
		})
		j := &journal{}
		quiet := setup(t, tracing.Options{})
		if got := otel.GetTracerProvider(); got != provider {
			t.Errorf("not asked: got the global provider %v, want it untouched", got)
		}
		p := setup(t, tracing.Options{
			SetGlobal: true, Logger: j.logger(), Propagators: []propagation.TextMapPropagator{own{}},
		})
		if got := otel.GetTracerProvider(); got != p.TracerProvider() {
			t.Errorf("asked: got the global provider %v, want its own", got)
		}
		if got := otel.GetTextMapPropagator().Fields(); !slices.Contains(got, "x-own") {
			t.Errorf("asked: got a global propagator of %v, want its own", got)
		}
		otel.Handle(errors.New("from a library"))
		if got := j.lines(t); len(got) != 1 || got[0].Error != "from a library" {
			t.Errorf("asked: got log %v, want the library's error", got)
		}
		for _, p := range []*tracing.Provider{quiet, p} {
			if err := p.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestRatio(t *testing.T) {
	// start makes a span below a parent that was sampled or not, or without one, and says whether it is sampled.
	start := func(p *tracing.Provider, parent *bool) (trace.SpanContext, bool) {
		ctx := context.Background()
		if parent != nil {
			var flags trace.TraceFlags
			ctx = trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
				TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: flags.WithSampled(*parent), Remote: true,
			}))
		}
		_, span := p.TracerProvider().Tracer("test").Start(ctx, "work")
		defer span.End()
		return span.SpanContext(), span.SpanContext().IsSampled()
	}
	for name, c := range map[string]struct {
		ratio  float64
		parent *bool
		want   bool
	}{
		"ZeroKeepsAll":             {0, nil, true},
		"OneKeepsAll":              {1, nil, true},
		"NegativeKeepsNone":        {-1, nil, false},
		"FollowsACallerThatKeeps":  {-1, new(true), true},
		"FollowsACallerThatDoesnt": {1, new(false), false},
	} {
		t.Run(name, func(t *testing.T) {
			sc, got := start(setup(t, tracing.Options{Ratio: c.ratio}), c.parent)
			if got != c.want || !sc.IsValid() {
				t.Errorf("got sampled %v, IDs valid %v; want %v, true", got, sc.IsValid(), c.want)
			}
		})
	}
	t.Run("KeepsAShare", func(t *testing.T) {
		p := setup(t, tracing.Options{Ratio: 0.25})
		n := 0
		for range 4000 {
			if _, sampled := start(p, nil); sampled {
				n++
			}
		}
		if n < 800 || n > 1200 { // seven standard deviations
			t.Errorf("got %d of 4000, want about 1000", n)
		}
	})
}

func TestRun(t *testing.T) {
	t.Run("ExportsWhatIsLeft", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, j := &collector{}, &journal{}
			p := setup(t, tracing.Options{Exporter: c, Logger: j.logger()})
			end(p, 1500)
			stop(t, p)
			if len(c.got()) != 1500 || c.shut != 1 || p.Lost() != 0 || len(j.lines(t)) != 0 {
				t.Errorf("got %d spans, %d shutdowns, %d lost, log %v; want 1500, 1, 0, none",
					len(c.got()), c.shut, p.Lost(), j.lines(t))
			}
		})
	})

	t.Run("ExportsWhileItRuns", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := &collector{}
			p := setup(t, tracing.Options{Exporter: c})
			end(p, 10)
			time.Sleep(6 * time.Second)
			if got := len(c.got()); got != 10 {
				t.Errorf("got %d spans, want 10 after the batch's delay", got)
			}
			stop(t, p)
		})
	})

	for name, c := range map[string]struct {
		collector *collector
		timeout   time.Duration
		want      time.Duration
	}{
		"HangsByDefault":  {&collector{export: hang}, 0, 5 * time.Second},
		"Hangs":           {&collector{export: hang}, 2 * time.Second, 2 * time.Second},
		"HangsAtShutdown": {&collector{shutdown: hang}, 2 * time.Second, 2 * time.Second},
	} {
		t.Run("IsNotHeldByACollectorThat/"+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := &journal{}
				p := setup(t, tracing.Options{Exporter: c.collector, ShutdownTimeout: c.timeout, Logger: j.logger()})
				end(p, 1500) // three batches: their time-outs must not add up
				if took := stop(t, p); took != c.want {
					t.Errorf("took %v, want %v", took, c.want)
				}
				synctest.Wait() // the bubble has no goroutine left: the exporter was cancelled
				if lost := p.Lost() + int64(len(c.collector.got())); lost != 1500 {
					t.Errorf("lost and exported: got %d, want 1500", lost)
				}
				if got := j.lines(t); len(got) != 1 || got[0].Level != "WARN" {
					t.Errorf("got log %v, want one warning", got)
				}
			})
		})
	}

	t.Run("IsNotHeldByACollectorThatIgnoresItsContext", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			c := &collector{export: func(context.Context) error { <-release; return nil }}
			p := setup(t, tracing.Options{Exporter: c})
			end(p, 1500)
			if took := stop(t, p); took != 5*time.Second || p.Lost() != 1500 {
				t.Errorf("took %v, lost %d; want 5s, 1500", took, p.Lost())
			}
			close(release)
			synctest.Wait()
			if got := p.Lost(); got != 1500 {
				t.Errorf("later: lost %d, want 1500 still", got)
			}
		})
	})

	t.Run("DoesNotFailForACollectorThatRefuses", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			j := &journal{}
			p := setup(t, tracing.Options{Exporter: &collector{export: refuse}, Logger: j.logger()})
			end(p, 1500)
			if took := stop(t, p); took != 0 || p.Lost() != 1500 {
				t.Errorf("took %v, lost %d; want no time, 1500", took, p.Lost())
			}
			var spans int64
			for _, l := range j.lines(t) {
				spans += l.Spans
				if l.Error != "connection refused" || l.Level != "WARN" {
					t.Errorf("got log %v, want a warning with the cause", l)
				}
			}
			if n := len(j.lines(t)); spans != 1500 || n > 2 {
				t.Errorf("got %d lines on %d spans, want at most 2 on 1500", n, spans)
			}
		})
	})

	t.Run("WaitsWithoutBoundWhenNegative", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := &collector{shutdown: func(context.Context) error { time.Sleep(time.Hour); return nil }}
			if took := stop(t, setup(t, tracing.Options{Exporter: c, ShutdownTimeout: -1})); took != time.Hour {
				t.Errorf("took %v, want 1h", took)
			}
		})
	})

	t.Run("IsCalledTracing", func(t *testing.T) {
		if got := setup(t, tracing.Options{}).String(); got != "tracing" {
			t.Errorf("got %q, want tracing", got)
		}
	})
}

func TestShutdown(t *testing.T) {
	t.Run("SaysWhatWasLost", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := setup(t, tracing.Options{Exporter: &collector{export: hang}})
			end(p, 7)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := p.Shutdown(ctx)
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "7 spans lost") {
				t.Errorf("got %v, want deadline exceeded with 7 spans lost", err)
			}
			synctest.Wait()
		})
	})

	t.Run("ReturnsTheExportersError", func(t *testing.T) {
		broken := errors.New("broken")
		p := setup(t, tracing.Options{Exporter: &collector{shutdown: func(context.Context) error { return broken }}})
		if err := p.Shutdown(t.Context()); !errors.Is(err, broken) {
			t.Errorf("got %v, want %v", err, broken)
		}
	})

	t.Run("LeavesNoGoroutineWhenTimeIsUpAlready", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := setup(t, tracing.Options{Exporter: &collector{}})
			end(p, 1)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := p.Shutdown(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want canceled", err)
			}
		})
	})

	t.Run("DoesNothingTwice", func(t *testing.T) {
		c := &collector{}
		p := setup(t, tracing.Options{Exporter: c})
		for range 2 {
			if err := p.Shutdown(t.Context()); err != nil {
				t.Errorf("got %v, want nil", err)
			}
		}
		end(p, 10)
		if c.shut != 1 || len(c.got()) != 0 {
			t.Errorf("got %d shutdowns, %d spans after; want 1, 0", c.shut, len(c.got()))
		}
	})
}

func TestPipeline(t *testing.T) {
	t.Run("DropsInsteadOfWaiting", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			c := &collector{export: func(context.Context) error { <-release; return nil }}
			j := &journal{}
			p := setup(t, tracing.Options{Exporter: c, Logger: j.logger()})
			start := time.Now()
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() { end(p, 500) })
			}
			wg.Wait()
			if took := time.Since(start); took != 0 || p.Lost() != 5000-2048 {
				t.Errorf("took %v, lost %d; want no time, %d", took, p.Lost(), 5000-2048)
			}
			close(release)
			time.Sleep(10 * time.Second)
			if got := len(c.got()); got != 2048 {
				t.Errorf("exported: got %d, want all that was kept, 2048", got)
			}
			end(p, 100)
			stop(t, p)
			if got := len(c.got()); got != 2148 || p.Lost() != 5000-2048 {
				t.Errorf("in the end: exported %d, lost %d; want 2148, %d", got, p.Lost(), 5000-2048)
			}
			if got := j.lines(t); len(got) != 1 || got[0].Spans != 5000-2048 {
				t.Errorf("got log %v, want one line on %d spans", got, 5000-2048)
			}
		})
	})

	t.Run("LogsOnceAMinute", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			j := &journal{}
			p := setup(t, tracing.Options{Exporter: &collector{export: refuse}, Logger: j.logger()})
			for range 600 {
				end(p, 10)
				time.Sleep(time.Second)
			}
			stop(t, p)
			var spans int64
			for _, l := range j.lines(t) {
				spans += l.Spans
			}
			if n := len(j.lines(t)); n < 9 || n > 12 || spans != 6000 || p.Lost() != 6000 {
				t.Errorf("got %d lines on %d spans, lost %d; want about ten, 6000, 6000", n, spans, p.Lost())
			}
		})
	})

	t.Run("CancelsAnExportThatTakesTooLong", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := setup(t, tracing.Options{Exporter: &collector{export: hang}})
			end(p, 1)
			time.Sleep(5*time.Second + 10*time.Second + time.Millisecond)
			if got := p.Lost(); got != 1 {
				t.Errorf("lost: got %d, want 1 after the batch's delay and the export's time-out", got)
			}
			stop(t, p)
		})
	})
}

func BenchmarkSpan(b *testing.B) {
	for name, exporter := range map[string]sdktrace.SpanExporter{
		"NoExporter":     nil,
		"Exporter":       discard{},
		"ExporterIsDead": &collector{export: hang},
	} {
		b.Run(name, func(b *testing.B) {
			p := setup(b, tracing.Options{Exporter: exporter, Logger: slog.New(slog.DiscardHandler)})
			tracer := p.TracerProvider().Tracer("bench")
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				_, span := tracer.Start(ctx, "work")
				span.End()
			}
			ended, cancel := context.WithCancel(ctx)
			cancel()
			_ = p.Shutdown(ended)
		})
	}
}

type discard struct{}

func (discard) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (discard) Shutdown(context.Context) error                             { return nil }
