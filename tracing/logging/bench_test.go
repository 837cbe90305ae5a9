package logging_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/tracing/logging"
)

// nowhere is a writer that slog does not know: it would skip the work for io.Discard.
type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// fiveAttrs are what a call gives in the benchmarks.
func fiveAttrs() (a, b, c, d, e slog.Attr) {
	return slog.String("order_id", "o-123"), slog.Int("amount", 5), slog.Bool("express", true),
		slog.String("city", "Utrecht"), slog.Int("lines", 3)
}

// byKit returns a call as a program with this package has it.
func byKit(ctx context.Context, l *slog.Logger) func() {
	return func() {
		a, b, c, d, e := fiveAttrs()
		l.LogAttrs(ctx, slog.LevelInfo, "order accepted", a, b, c, d, e)
	}
}

// byHand returns a call that writes the same line without this package, or the same with the IDs where slog puts them
// when l has an open group.
func byHand(ctx context.Context, l *slog.Logger) func() {
	return func() {
		a, b, c, d, e := fiveAttrs()
		sc := trace.SpanContextFromContext(ctx)
		l.LogAttrs(ctx, slog.LevelInfo, "order accepted", slog.String("correlation_id", correlation.FromContext(ctx)),
			slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String()), a, b, c, d, e)
	}
}

// groupByHand is byHand with the attributes in a group, and two more for those that a logger has in it.
func groupByHand(ctx context.Context, l *slog.Logger) func() {
	return func() {
		a, b, c, d, e := fiveAttrs()
		sc := trace.SpanContextFromContext(ctx)
		l.LogAttrs(ctx, slog.LevelInfo, "order accepted", slog.String("correlation_id", correlation.FromContext(ctx)),
			slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String()),
			slog.GroupAttrs("payment", slog.String("provider", "x"), slog.Int("try", 1), a, b, c, d, e))
	}
}

// pairs are calls that write the same fields with this package and by hand, with slog.JSONHandler.
func pairs(ctx context.Context) map[string][2]func() {
	kit, hand := logging.New(nowhere{}, nil), slog.New(slog.NewJSONHandler(nowhere{}, nil))
	with := func(l *slog.Logger) *slog.Logger { return l.With("service", "orders", "version", "1.2.3") }
	group := func(l *slog.Logger) *slog.Logger { return l.WithGroup("payment").With("provider", "x", "try", 1) }
	return map[string][2]func(){
		"Root":  {byKit(ctx, kit), byHand(ctx, hand)},
		"With":  {byKit(ctx, with(kit)), byHand(ctx, with(hand))},
		"Group": {byKit(ctx, group(kit)), groupByHand(ctx, hand)},
		"NoIDs": {byKit(context.Background(), kit), byKit(context.Background(), hand)},
		// Less than the same: by hand the IDs are in the group, where no log store looks for them.
		"GroupWithIDsInside": {byKit(ctx, group(kit)), byHand(ctx, group(hand))},
	}
}

func BenchmarkLog(b *testing.B) {
	for name, pair := range pairs(traced(b)) {
		for i, who := range []string{"Kit", "ByHand"} {
			b.Run(name+"/"+who, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					pair[i]()
				}
			})
		}
	}
}

// BenchmarkRatio takes both sides of a pair in turns and compares the fastest rounds, so that whatever else the machine
// does falls on both or on neither: -benchtime 200x.
func BenchmarkRatio(b *testing.B) {
	const calls = 2000
	for name, pair := range pairs(traced(b)) {
		b.Run(name, func(b *testing.B) {
			best := [2]time.Duration{time.Hour, time.Hour}
			for b.Loop() {
				for i, call := range pair {
					start := time.Now()
					for range calls {
						call()
					}
					best[i] = min(best[i], time.Since(start))
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(best[0])/calls, "kit-ns")
			b.ReportMetric(float64(best[1])/calls, "hand-ns")
			b.ReportMetric(float64(best[0])/float64(best[1]), "ratio")
		})
	}
}
