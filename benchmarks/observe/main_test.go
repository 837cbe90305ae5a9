package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"

	"github.com/mainstay-go/mainstay/benchmarks/bench"
	"github.com/mainstay-go/mainstay/tracing/correlation"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRun(t *testing.T) {
	var out strings.Builder
	if err := run(&out, effort{pairs: 1, rounds: 1, round: time.Microsecond}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "\ntarget: "); got != 8 {
		t.Errorf("got %d target lines in\n%s\nwant 8", got, out.String())
	}
}

func TestContestComparesTheFastestRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		every := func(n int, slow, fast time.Duration) func() {
			calls := 0
			return func() {
				calls++
				if calls%n == 0 {
					time.Sleep(slow)
				}
				time.Sleep(fast)
			}
		}
		c := contest{ours: every(3, time.Second, 6*time.Microsecond), peer: every(5, time.Minute, 4*time.Microsecond)}
		pairs, err := c.run(effort{pairs: 2, rounds: 10, round: 4 * time.Microsecond})
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range pairs {
			if p.Ours.ns != 6000 || p.Peer.ns != 4000 {
				t.Errorf("pair %d: got %v and %v ns, want 6000 and 4000", i, p.Ours.ns, p.Peer.ns)
			}
		}
	})
}

func TestSideCountsAllocations(t *testing.T) {
	var sink *[64]byte
	s := side{func() { sink = new([64]byte) }, 1000}
	if got := s.allocations(); got != 1 {
		t.Errorf("got %v, want 1", got)
	}
	if got := (side{func() {}, 1000}).allocations(); got != 0 {
		t.Errorf("got %v, want 0", got)
	}
	_ = sink
}

func TestTargetIsReportedByItsMedian(t *testing.T) {
	pairs := []bench.Pair[cost]{
		{Ours: cost{ns: 30}, Peer: cost{ns: 9}}, {Ours: cost{ns: 500}, Peer: cost{ns: 9}},
		{Ours: cost{ns: 31, allocs: 1}, Peer: cost{ns: 11}},
	}
	var out strings.Builder
	if err := (target{above: 20, ns: 31, clean: true}).report(&out, "it", pairs); err != nil {
		t.Fatal(err)
	}
	const want = "target: ns above the peer, it want <= 20 got 21.0 MISSED\n" +
		"target: ns, it want <= 31 got 31.0 ok\ntarget: allocations, it want <= 0 got 0.0 ok\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

// What follows holds that a side which does less, or something else, is not measured.

func TestSameLine(t *testing.T) {
	ctx := tracedContext()
	root, group := lines(ctx, 0)[0], lines(ctx, 0)[2]
	text := func(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
	bare, buried := root, group
	bare.peer, buried.peer = bare.kit, buried.kit
	for name, c := range map[string]struct {
		line line
		peer func(io.Writer) *slog.Logger
		want bool
	}{
		"LetsTheSamePass":       {root, byHandLogger, true},
		"SeesMissingIDs":        {bare, byHandLogger, false},
		"SeesIDsInsideOfAGroup": {buried, wrappedLogger, false},
		"SeesAnotherFormat":     {root, text, false},
		"SeesALineWithoutATime": {root, untimed, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := sameLine(c.line, c.peer); (err == nil) != c.want {
				t.Errorf("got %v, want it the same: %v", err, c.want)
			}
		})
	}
}

func untimed(w io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

func TestLinesHaveTheirIDs(t *testing.T) {
	for _, l := range lines(tracedContext(), 0)[:3] {
		var out bytes.Buffer
		l.kit(kitLogger(&out))()
		for _, id := range []string{correlationID, "4b000000000000000000000000000001", "0000000000000002"} {
			if !strings.Contains(out.String(), id) {
				t.Errorf("%s: got %s, want %s in it", l.name, &out, id)
			}
		}
	}
}

func TestSameSamples(t *testing.T) {
	observed := func(times int) prometheus.Gatherer {
		reg := prometheus.NewRegistry()
		observe := bareObservation(reg)
		for range times {
			observe()
		}
		return reg
	}
	if err := sameSamples(observed(1), observed(1)); err != nil {
		t.Errorf("one each: got %v, want nil", err)
	}
	for _, times := range []int{0, 2} {
		if err := sameSamples(observed(1), observed(times)); err == nil {
			t.Errorf("beside %d: got nil, want what differs", times)
		}
	}
}

func TestOneRequest(t *testing.T) {
	routed := func(times int, route string) prometheus.Gatherer {
		reg := prometheus.NewRegistry()
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: durationName}, []string{"http_route"})
		reg.MustRegister(h)
		for range times {
			h.WithLabelValues(route).Observe(0)
		}
		return reg
	}
	for name, c := range map[string]struct {
		reg  prometheus.Gatherer
		want bool
	}{
		"LetsOnePass":      {routed(1, "/users/{id}"), true},
		"SeesNone":         {routed(0, ""), false},
		"SeesTwo":          {routed(2, "/users/{id}"), false},
		"SeesAnotherRoute": {routed(1, "/users/42"), false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := oneRequest(c.reg); (err == nil) != c.want {
				t.Errorf("got %v, want it to pass: %v", err, c.want)
			}
		})
	}
}

func TestCorrelatorCheck(t *testing.T) {
	adopting := func(r *http.Request) string { return r.Header.Get(correlation.Header) }
	with := func(id func(*http.Request) string, echo func(string) string) correlator {
		handler := func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				s := id(r)
				w.Header().Set(correlation.Header, echo(s))
				next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), idKey{}, s)))
			})
		}
		return correlator{handler, byHandID}
	}
	minted := 0
	mint := func(*http.Request) string { minted++; return strings.Repeat("x", minted) }
	same := func(s string) string { return s }
	adoptOrMint := func(r *http.Request) string {
		if id := adopting(r); id != "" {
			return id
		}
		return mint(r)
	}
	for name, c := range map[string]struct {
		correlator correlator
		want       bool
	}{
		"LetsOneThatDoesItPass": {with(adoptOrMint, same), true},
		"SeesNoMinting":         {with(adopting, same), false},
		"SeesNoAdoption":        {with(mint, same), false},
		"SeesAnotherEcho":       {with(adoptOrMint, func(string) string { return "other" }), false},
		"SeesOneIDForAll":       {with(func(*http.Request) string { return correlationID }, same), false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.correlator.check(sent()); (err == nil) != c.want {
				t.Errorf("got %v, want it to pass: %v", err, c.want)
			}
		})
	}
}

func TestLeavesNothing(t *testing.T) {
	called := trace.ContextWithRemoteSpanContext(t.Context(), trace.SpanContextFromContext(tracedContext()))
	for name, p := range map[string]trace.TracerProvider{
		"SeesASpanThatIsKept": sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.AlwaysSample())),
		"SeesNoSpan":          noop.NewTracerProvider(),
	} {
		t.Run(name, func(t *testing.T) {
			if err := leavesNothing(t.Context(), p); err == nil {
				t.Error("got nil, want what differs")
			}
		})
	}
	never := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))
	if err := leavesNothing(called, restarting{never}); err == nil {
		t.Error("a trace of its own: got nil, want what differs")
	}
	if err := leavesNothing(called, never); err != nil {
		t.Errorf("a span that is not kept: got %v, want nil", err)
	}
}

// restarting begins a new trace for each span.
type restarting struct{ trace.TracerProvider }

func (p restarting) Tracer(name string, o ...trace.TracerOption) trace.Tracer {
	return restart{p.TracerProvider.Tracer(name, o...)}
}

type restart struct{ trace.Tracer }

func (t restart) Start(ctx context.Context, name string, o ...trace.SpanStartOption) (context.Context, trace.Span) {
	return t.Tracer.Start(ctx, name, append(o, trace.WithNewRoot())...)
}

// Benchmark is for profiles; the comparison is the command's.
func Benchmark(b *testing.B) {
	tables, err := checkedTables()
	if err != nil {
		b.Fatal(err)
	}
	for _, t := range tables {
		for _, c := range t.contests {
			for side, do := range map[string]func(){"Kit": c.ours, "Peer": c.peer} {
				b.Run(c.name+"/"+t.peer+"/"+side, func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						do()
					}
				})
			}
		}
	}
}
