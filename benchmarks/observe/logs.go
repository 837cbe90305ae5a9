package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"reflect"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
	"go.uber.org/zap/zapcore"

	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/tracing/logging"
)

// correlationID is what the caller sent.
const correlationID = "019b2f7e-7d4c-7aa1-b1a5-5b9c7f0e4d21"

// slowest is the most that the kit's line may take, by that of slog alone.
const slowest = 1.15

// tracedContext is that of a request, within a trace that is not kept.
func tracedContext() context.Context {
	sc := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{0: 0x4b, 15: 1}, SpanID: trace.SpanID{7: 2}})
	return trace.ContextWithSpanContext(correlation.NewContext(context.Background(), correlationID), sc)
}

// line is a kind of log line, and how each side writes it.
type line struct {
	name string
	want float64
	kit  func(*slog.Logger) func()
	peer func(*slog.Logger) func()
}

// attrs are what a call gives.
func attrs() (a, b, c, d, e slog.Attr) {
	return slog.String("order_id", "o-123"), slog.Int("amount", 5), slog.Bool("express", true),
		slog.String("city", "Utrecht"), slog.Int("lines", 3)
}

// plain returns a call whose IDs, if ctx has any, are for the handler to add.
func plain(ctx context.Context, l *slog.Logger) func() {
	return func() {
		a, b, c, d, e := attrs()
		l.LogAttrs(ctx, slog.LevelInfo, "order accepted", a, b, c, d, e)
	}
}

// ids are those of ctx, as attributes.
func ids(ctx context.Context) (c, t, s slog.Attr) {
	sc := trace.SpanContextFromContext(ctx)
	return slog.String("correlation_id", correlation.FromContext(ctx)),
		slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String())
}

// handed returns a call that hands the IDs over.
func handed(ctx context.Context, l *slog.Logger) func() {
	return func() {
		a, b, c, d, e := attrs()
		id, t, s := ids(ctx)
		l.LogAttrs(ctx, slog.LevelInfo, "order accepted", id, t, s, a, b, c, d, e)
	}
}

// handedGroup is handed for a logger that cannot open a group, because the IDs would be in it.
func handedGroup(ctx context.Context, l *slog.Logger) func() {
	return func() {
		a, b, c, d, e := attrs()
		id, t, s := ids(ctx)
		l.LogAttrs(ctx, slog.LevelInfo, "order accepted", id, t, s,
			slog.GroupAttrs("payment", slog.String("provider", "x"), slog.Int("try", 1), a, b, c, d, e))
	}
}

func with(l *slog.Logger) *slog.Logger { return l.With("service", "orders", "version", "1.2.3") }

func grouped(l *slog.Logger) *slog.Logger {
	return l.WithGroup("payment").With("provider", "x", "try", 1)
}

// making makes a call of a logger.
type making func(context.Context, *slog.Logger) func()

// of returns what makes the call of a logger that derive derives.
func (m making) of(ctx context.Context, derive func(*slog.Logger) *slog.Logger) func(*slog.Logger) func() {
	return func(l *slog.Logger) func() { return m(ctx, derive(l)) }
}

// lines are all kinds, beside a peer whose callers hand the IDs over.
func lines(ctx context.Context, want float64) []line {
	root := func(l *slog.Logger) *slog.Logger { return l }
	none := making(plain).of(context.Background(), root)
	return []line{
		{"log line", want, making(plain).of(ctx, root), making(handed).of(ctx, root)},
		{"log line, With", want, making(plain).of(ctx, with), making(handed).of(ctx, with)},
		{"log line, group open", want, making(plain).of(ctx, grouped), making(handedGroup).of(ctx, root)},
		{"log line, no IDs", want, none, none},
	}
}

// wrappedLines are the kinds beside a peer that takes the IDs from the context itself.
func wrappedLines(ctx context.Context) []line {
	all := lines(ctx, 0)
	all[0].peer, all[1].peer = all[0].kit, all[1].kit
	return all[:2]
}

func logTables() ([]table, error) {
	ctx := tracedContext()
	var tables []table
	for _, t := range []struct {
		peer   string
		logger func(io.Writer) *slog.Logger
		lines  []line
	}{
		{"by hand", byHandLogger, lines(ctx, slowest)},
		{"usual wrapper", wrappedLogger, wrappedLines(ctx)},
		{"zap by slog", zapLogger, lines(ctx, 0)},
	} {
		contests, err := logContests(t.logger, t.lines)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.peer, err)
		}
		tables = append(tables, table{"a log line of five attributes, with its IDs", t.peer, contests})
	}
	return tables, nil
}

func logContests(peer func(io.Writer) *slog.Logger, lines []line) (contests []contest, err error) {
	for _, l := range lines {
		if err := sameLine(l, peer); err != nil {
			return nil, fmt.Errorf("%s: %w", l.name, err)
		}
		contests = append(contests, contest{
			l.name, l.kit(kitLogger(nowhere{})), l.peer(peer(nowhere{})), target{ratio: l.want},
		})
	}
	return contests, nil
}

// sameLine reports how the two lines differ, but for the time and the order of the keys.
func sameLine(l line, peer func(io.Writer) *slog.Logger) error {
	var ours, theirs bytes.Buffer
	l.kit(kitLogger(&ours))()
	l.peer(peer(&theirs))()
	var kit, other map[string]any
	if err := json.Unmarshal(ours.Bytes(), &kit); err != nil {
		return err
	}
	if err := json.Unmarshal(theirs.Bytes(), &other); err != nil {
		return err
	}
	for _, m := range []map[string]any{kit, other} {
		if m["time"] == nil {
			return fmt.Errorf("no time in %v", m)
		}
		delete(m, "time")
	}
	if !reflect.DeepEqual(kit, other) {
		return fmt.Errorf("mainstay wrote %s, the peer %s", &ours, &theirs)
	}
	return nil
}

// nowhere is not io.Discard, for which a library might skip the work.
type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

func kitLogger(w io.Writer) *slog.Logger { return logging.New(w, nil) }

func byHandLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewJSONHandler(w, nil)) }

func wrappedLogger(w io.Writer) *slog.Logger { return slog.New(wrapper{slog.NewJSONHandler(w, nil)}) }

// wrapper is the handler that most services have, with the derivations that many of them forget.
type wrapper struct{ slog.Handler }

func (h wrapper) Handle(ctx context.Context, r slog.Record) error {
	id, t, s := ids(ctx)
	r = r.Clone()
	r.AddAttrs(id, t, s)
	return h.Handler.Handle(ctx, r)
}

// WithAttrs and WithGroup keep the IDs in loggers that are derived.
func (h wrapper) WithAttrs(attrs []slog.Attr) slog.Handler {
	return wrapper{h.Handler.WithAttrs(attrs)}
}

func (h wrapper) WithGroup(name string) slog.Handler { return wrapper{h.Handler.WithGroup(name)} }

// zapLogger writes with zap's encoder, whose names for time, level and message are slog's here.
func zapLogger(w io.Writer) *slog.Logger {
	c := zap.NewProductionEncoderConfig()
	c.TimeKey, c.LevelKey, c.MessageKey = slog.TimeKey, slog.LevelKey, slog.MessageKey
	c.EncodeTime, c.EncodeLevel = zapcore.RFC3339NanoTimeEncoder, zapcore.CapitalLevelEncoder
	core := zapcore.NewCore(zapcore.NewJSONEncoder(c), zapcore.Lock(zapcore.AddSync(w)), zapcore.InfoLevel)
	return slog.New(zapslog.NewHandler(core))
}
