package logging_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"

	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/tracing/logging"
)

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	spanID  = "b7ad6b7169203331"
)

// traced returns a context with correlation ID c-1 and a span.
func traced(t testing.TB) context.Context {
	t.Helper()
	tid, _ := trace.TraceIDFromHex(traceID)
	sid, _ := trace.SpanIDFromHex(spanID)
	sc := trace.NewSpanContext(trace.SpanContextConfig{TraceID: tid, SpanID: sid})
	return correlation.NewContext(trace.ContextWithSpanContext(t.Context(), sc), "c-1")
}

// timeless makes two handlers' records comparable.
func timeless(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// over returns a logger that writes JSON without times to buf.
func over(buf *bytes.Buffer, o *logging.Options) *slog.Logger {
	return slog.New(logging.NewHandler(slog.NewJSONHandler(buf, &slog.HandlerOptions{ReplaceAttr: timeless}), o))
}

const ids = `"correlation_id":"c-1","trace_id":"` + traceID + `","span_id":"` + spanID + `"`

func TestHandler(t *testing.T) {
	for name, c := range map[string]struct {
		log  func(ctx context.Context, l *slog.Logger)
		want string
	}{
		"AddsTheIDs": {
			func(ctx context.Context, l *slog.Logger) { l.InfoContext(ctx, "m", "k", 1) },
			`{"level":"INFO","msg":"m",` + ids + `,"k":1}`,
		},
		"AddsThemAfterWith": {
			func(ctx context.Context, l *slog.Logger) { l.With("a", 1).InfoContext(ctx, "m") },
			`{"level":"INFO","msg":"m","a":1,` + ids + `}`,
		},
		"AddsThemAboveAGroup": {
			func(ctx context.Context, l *slog.Logger) {
				l.With("a", 1).WithGroup("payment").InfoContext(ctx, "m", "amount", 5)
			},
			`{"level":"INFO","msg":"m","a":1,` + ids + `,"payment":{"amount":5}}`,
		},
		"AddsThemAboveGroupsWithAttributes": {
			func(ctx context.Context, l *slog.Logger) {
				l.WithGroup("p").With("a", 1).WithGroup("q").With("b", 2).InfoContext(ctx, "m", "c", 3)
			},
			`{"level":"INFO","msg":"m",` + ids + `,"p":{"a":1,"q":{"b":2,"c":3}}}`,
		},
		"LeavesEmptyGroupsOut": {
			func(ctx context.Context, l *slog.Logger) {
				l.WithGroup("p").With("a", 1).WithGroup("q").WithGroup("r").InfoContext(ctx, "m")
			},
			`{"level":"INFO","msg":"m",` + ids + `,"p":{"a":1}}`,
		},
		"AddsNoneWithoutAContext": {
			func(_ context.Context, l *slog.Logger) { l.WithGroup("p").Info("m", "k", 1) },
			`{"level":"INFO","msg":"m","p":{"k":1}}`,
		},
		"KeepsAnIDThatTheRecordHas": {
			func(ctx context.Context, l *slog.Logger) { l.InfoContext(ctx, "m", "correlation_id", "mine") },
			`{"level":"INFO","msg":"m","trace_id":"` + traceID + `","span_id":"` + spanID + `","correlation_id":"mine"}`,
		},
		"KeepsTheFirstOfTwoIDsOfOneRecord": {
			func(_ context.Context, l *slog.Logger) {
				ctx := correlation.NewContext(context.Background(), "c-1")
				l.InfoContext(ctx, "m", "correlation_id", "a", "k", 1, "correlation_id", "b")
			},
			`{"level":"INFO","msg":"m","correlation_id":"a","k":1}`,
		},
		"KeepsTheLoggersIDBeforeTheRecords": {
			func(_ context.Context, l *slog.Logger) {
				l.With("correlation_id", "a").With("correlation_id", "b", "x", 1).Info("m", "correlation_id", "c", "k", 1)
			},
			`{"level":"INFO","msg":"m","correlation_id":"a","x":1,"k":1}`,
		},
		"KeepsIDsThatTheLoggerHas": {
			func(ctx context.Context, l *slog.Logger) {
				l.With("trace_id", "t", "span_id", "s").WithGroup("p").InfoContext(ctx, "m", "k", 1)
			},
			`{"level":"INFO","msg":"m","trace_id":"t","span_id":"s","correlation_id":"c-1","p":{"k":1}}`,
		},
		"DoesNotTakeAGroupsMemberForAnID": {
			func(ctx context.Context, l *slog.Logger) { l.WithGroup("p").InfoContext(ctx, "m", "trace_id", "t") },
			`{"level":"INFO","msg":"m",` + ids + `,"p":{"trace_id":"t"}}`,
		},
		"KeepsJSONWholeBesideAHollowGroup": {
			func(ctx context.Context, l *slog.Logger) { l.WithGroup("p").InfoContext(ctx, "m", slog.Attr{}) },
			`{"level":"INFO","msg":"m",` + ids + `}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var buf bytes.Buffer
			c.log(traced(t), over(&buf, nil))
			if got := strings.TrimSpace(buf.String()); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}

	t.Run("AddsThemOnceWhenStacked", func(t *testing.T) {
		var buf bytes.Buffer
		slog.New(logging.NewHandler(over(&buf, nil).Handler(), nil)).WithGroup("p").InfoContext(traced(t), "m", "k", 1)
		if got, want := strings.TrimSpace(buf.String()), `{"level":"INFO","msg":"m",`+ids+`,"p":{"k":1}}`; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})

	t.Run("LetsALoggerHaveManyHeirs", func(t *testing.T) {
		var buf bytes.Buffer
		// Three of each: slices that grew one by one then have room for a fourth, which heirs must not share.
		parent := over(&buf, nil).WithGroup("p").WithGroup("q").WithGroup("r").With("a", 1).With("b", 2).With("c", 3)
		first, second := parent.With("d", 4), parent.With("e", 5)
		third, fourth := parent.WithGroup("s"), parent.WithGroup("t")
		bare := over(&buf, nil).WithGroup("p").WithGroup("q").WithGroup("r")
		fifth, sixth := bare.WithGroup("s"), bare.WithGroup("t")
		for _, l := range []*slog.Logger{first, second, third, fourth, parent, fifth, sixth} {
			l.Info("m", "k", 0)
		}
		want := ""
		for _, own := range []string{`"d":4,"k":0`, `"e":5,"k":0`, `"s":{"k":0}`, `"t":{"k":0}`, `"k":0`} {
			want += `{"level":"INFO","msg":"m","p":{"q":{"r":{"a":1,"b":2,"c":3,` + own + "}}}}\n"
		}
		for _, own := range []string{"s", "t"} {
			want += `{"level":"INFO","msg":"m","p":{"q":{"r":{"` + own + "\":{\"k\":0}}}}}\n"
		}
		if got := buf.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})

	t.Run("KeepsTheIDsOfParallelRecordsApart", func(t *testing.T) {
		var buf bytes.Buffer
		root := logging.New(&buf, nil)
		nested := root.WithGroup("g").With("a", 1)
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				id := fmt.Sprintf("c-%d", i)
				ctx := correlation.NewContext(t.Context(), id)
				nested.InfoContext(ctx, "m", "id", id)
				root.InfoContext(ctx, "m", slog.Group("g", "id", id))
			})
		}
		wg.Wait()
		if got := strings.Count(buf.String(), "\n"); got != 200 {
			t.Errorf("got %d lines, want 200", got)
		}
		for line := range strings.Lines(buf.String()) {
			var got struct {
				ID    string              `json:"correlation_id"`
				Group struct{ ID string } `json:"g"`
			}
			if err := json.Unmarshal([]byte(line), &got); err != nil || got.ID == "" || got.ID != got.Group.ID {
				t.Fatalf("got %q (%v), want one ID in both places", line, err)
			}
		}
	})

	t.Run("IsItsOwnHeirWhenNothingIsAdded", func(t *testing.T) {
		h := over(&bytes.Buffer{}, nil).Handler()
		if got := h.WithGroup(""); got != h {
			t.Errorf("WithGroup of no name: got %v, want the handler itself", got)
		}
		if got := h.WithAttrs(nil); got != h {
			t.Errorf("WithAttrs of none: got %v, want the handler itself", got)
		}
	})

	t.Run("LeavesRecordsToAHandlerThatKeepsThem", func(t *testing.T) {
		var kept keeper
		root := slog.New(logging.NewHandler(&kept, nil))
		l := root.WithGroup("p").With("a", 1).WithGroup("q")
		for i := range 10 {
			l.InfoContext(traced(t), "m", "i", i)
			root.InfoContext(traced(t), "m", "i", i)
		}
		var buf bytes.Buffer
		want := ""
		for i, r := range kept.records {
			_ = slog.NewJSONHandler(&buf, &slog.HandlerOptions{ReplaceAttr: timeless}).Handle(t.Context(), r)
			own := `"i":%d`
			if i%2 == 0 {
				own = `"p":{"a":1,"q":{"i":%d}}`
			}
			want += fmt.Sprintf(`{"level":"INFO","msg":"m",%s,`+own+"}\n", ids, i/2)
		}
		if got := buf.String(); got != want || len(kept.records) != 20 {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})

	t.Run("GivesAHandlerThatKeepsThemNoGroupOfItsOwn", func(t *testing.T) {
		var kept keeper
		l := slog.New(logging.NewHandler(&kept, nil))
		for i := range 10 {
			l.InfoContext(traced(t), "m", "i", i, "a", 1, "b", 2, "c", 3)
		}
		for i, r := range kept.records {
			var got []string
			r.Attrs(func(a slog.Attr) bool {
				got = append(got, a.String())
				return true
			})
			want := []string{"correlation_id=c-1", "trace_id=" + traceID, "span_id=" + spanID, fmt.Sprintf("i=%d", i), "a=1",
				"b=2", "c=3"}
			if !slices.Equal(got, want) {
				t.Errorf("record %d: got %v, want %v", i, got, want)
			}
		}
		if len(kept.records) != 10 {
			t.Errorf("got %d records, want 10", len(kept.records))
		}
	})

	t.Run("PassesOnARecordThatNeedsNothing", func(t *testing.T) {
		h := logging.NewHandler(nothing{}, nil)
		var r slog.Record
		for i := range 10 { // more than a record has room for without an allocation, so that a copy would be one
			r.AddAttrs(slog.Int("number", i))
		}
		if got := testing.AllocsPerRun(100, func() { _ = h.Handle(t.Context(), r) }); got != 0 {
			t.Errorf("got %v allocations, want none", got)
		}
	})

	t.Run("ShowsReplaceAttrTheTopLevel", func(t *testing.T) {
		var buf bytes.Buffer
		h := slog.NewTextHandler(&buf, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == "k" {
				return slog.Attr{}
			}
			return timeless(groups, a)
		}})
		slog.New(logging.NewHandler(h, nil)).InfoContext(traced(t), "m", "k", 1, "l", 2)
		want := "level=INFO msg=m correlation_id=c-1 trace_id=" + traceID + " span_id=" + spanID + " l=2\n"
		if got := buf.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})

	t.Run("LogsWhileAnAttributeLogs", func(t *testing.T) {
		var buf bytes.Buffer
		root := over(&buf, nil)
		for _, l := range []*slog.Logger{root.WithGroup("g").With("a", 1), root} {
			inner := func() { l.Info("inner", "k", 2, "token", 3) }
			l.Info("outer", "v", logs(inner), "k", 4)
			l.Info("outer", "token", "hunter2", "v", encodes(inner), "k", 4)
		}
		want := `{"level":"INFO","msg":"inner","g":{"a":1,"k":2,"token":"[REDACTED]"}}
{"level":"INFO","msg":"outer","g":{"a":1,"v":"done","k":4}}
{"level":"INFO","msg":"inner","g":{"a":1,"k":2,"token":"[REDACTED]"}}
{"level":"INFO","msg":"outer","g":{"a":1,"token":"[REDACTED]","v":"done","k":4}}
{"level":"INFO","msg":"inner","k":2,"token":"[REDACTED]"}
{"level":"INFO","msg":"outer","v":"done","k":4}
{"level":"INFO","msg":"inner","k":2,"token":"[REDACTED]"}
{"level":"INFO","msg":"outer","token":"[REDACTED]","v":"done","k":4}
`
		if got := buf.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})

	t.Run("KeepsTheLineOfTheCaller", func(t *testing.T) {
		var buf bytes.Buffer
		h := logging.NewHandler(slog.NewJSONHandler(&buf, &slog.HandlerOptions{AddSource: true}), nil)
		slog.New(h).WithGroup("g").InfoContext(traced(t), "m", "k", 1)
		if !strings.Contains(buf.String(), "logging_test.go") {
			t.Errorf("got %s, want the source to be this file", buf.String())
		}
	})
}

// keeper keeps records, as a handler that writes later does.
type keeper struct {
	slog.Handler
	records []slog.Record
}

func (*keeper) Enabled(context.Context, slog.Level) bool { return true }

func (k *keeper) Handle(_ context.Context, r slog.Record) error {
	k.records = append(k.records, r.Clone())
	return nil
}

// nothing is a handler that does nothing.
type nothing struct{ slog.Handler }

func (nothing) Enabled(context.Context, slog.Level) bool { return true }

func (nothing) Handle(context.Context, slog.Record) error { return nil }

// logs is a value that logs when it is looked at.
type logs func()

func (f logs) LogValue() slog.Value {
	f()
	return slog.StringValue("done")
}

// encodes is a value that logs when it is written.
type encodes func()

func (f encodes) MarshalJSON() ([]byte, error) {
	f()
	return []byte(`"done"`), nil
}

func TestHandlerKeepsTheRulesOfSlog(t *testing.T) {
	for name, format := range map[string]logging.Format{"JSON": logging.JSON, "Text": logging.Text} {
		t.Run(name, func(t *testing.T) {
			var buf bytes.Buffer
			slogtest.Run(t, func(t *testing.T) slog.Handler {
				buf.Reset()
				return logging.New(&buf, &logging.Options{Format: format}).Handler()
			}, func(t *testing.T) map[string]any {
				if format == logging.Text {
					return parseText(buf.String())
				}
				m := map[string]any{}
				if err := json.Unmarshal(buf.Bytes(), &m); err != nil {
					t.Fatalf("%q: %v", buf.String(), err)
				}
				return m
			})
		})
	}
}

// parseText reads a line of slog.TextHandler whose values have no spaces.
func parseText(line string) map[string]any {
	top := map[string]any{}
	for field := range strings.FieldsSeq(line) {
		key, value, _ := strings.Cut(field, "=")
		m := top
		path := strings.Split(key, ".")
		for _, name := range path[:len(path)-1] {
			sub, ok := m[name].(map[string]any)
			if !ok {
				sub = map[string]any{}
				m[name] = sub
			}
			m = sub
		}
		m[path[len(path)-1]] = value
	}
	return top
}

func TestOptions(t *testing.T) {
	t.Run("LevelChangesAtRunTime", func(t *testing.T) {
		var buf bytes.Buffer
		level := new(slog.LevelVar)
		l := logging.New(&buf, &logging.Options{Level: level}).WithGroup("g").With("a", 1)
		l.Debug("no")
		level.Set(slog.LevelDebug)
		l.Debug("yes")
		level.Set(slog.LevelError)
		l.Warn("no")
		if got := buf.String(); strings.Contains(got, `"no"`) || !strings.Contains(got, `"yes"`) {
			t.Errorf("got %s, want yes alone", got)
		}
	})

	t.Run("DefaultsAreJSONFromInfoOn", func(t *testing.T) {
		var buf bytes.Buffer
		l := logging.New(&buf, nil)
		l.Debug("no")
		l.Info("yes")
		m := map[string]any{}
		if err := json.Unmarshal(buf.Bytes(), &m); err != nil || m["msg"] != "yes" {
			t.Errorf("got %q (%v), want one JSON record, yes", buf.String(), err)
		}
	})

	t.Run("AttrsAreAddedAtTheTopLevel", func(t *testing.T) {
		var buf bytes.Buffer
		type key struct{}
		tenant := func(ctx context.Context) []slog.Attr {
			name, ok := ctx.Value(key{}).(string)
			if !ok {
				return nil
			}
			return []slog.Attr{
				slog.String("tenant", name), slog.String("tenant_token", "hunter2"), slog.String("correlation_id", name),
			}
		}
		root := over(&buf, &logging.Options{Attrs: []func(context.Context) []slog.Attr{tenant}})
		l := root.WithGroup("g")
		acme := context.WithValue(t.Context(), key{}, "acme")
		l.InfoContext(acme, "m", "k", 1)
		l.InfoContext(t.Context(), "m", "k", 1)
		root.InfoContext(correlation.NewContext(acme, "c-1"), "m", "k", 1, "correlation_id", "mine")
		root.InfoContext(acme, "m", "number", 1)
		root.With("correlation_id", "mine").InfoContext(acme, "m")
		root.InfoContext(correlation.NewContext(acme, "c-1"), "m")
		want := `{"level":"INFO","msg":"m","tenant":"acme","tenant_token":"[REDACTED]","correlation_id":"acme","g":{"k":1}}
{"level":"INFO","msg":"m","g":{"k":1}}
{"level":"INFO","msg":"m","tenant":"acme","tenant_token":"[REDACTED]","k":1,"correlation_id":"mine"}
{"level":"INFO","msg":"m","tenant":"acme","tenant_token":"[REDACTED]","correlation_id":"acme","number":1}
{"level":"INFO","msg":"m","correlation_id":"mine","tenant":"acme","tenant_token":"[REDACTED]"}
{"level":"INFO","msg":"m","correlation_id":"c-1","tenant":"acme","tenant_token":"[REDACTED]"}
`
		if got := buf.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})

	t.Run("TextIsOneLineWhateverIsInIt", func(t *testing.T) {
		var buf bytes.Buffer
		ctx := correlation.NewContext(t.Context(), "abc\r\nX-Evil: 1")
		logging.New(&buf, &logging.Options{Format: logging.Text}).InfoContext(ctx, "two\nlines", "k\n", "v\n")
		if got := buf.String(); strings.Count(got, "\n") != 1 || strings.Contains(got, "X-Evil") {
			t.Errorf("got %q, want one line without the forged header", got)
		}
	})
}

// FuzzHandler compares with slog's own handler: whatever a logger is derived by, the records are the same, byte for
// byte, and with a context the IDs come on top.
func FuzzHandler(f *testing.F) {
	f.Add("wgwgr", "key")
	f.Add("gggrwr", "")
	f.Add("rrrrrrwwwgwwrrl", "trace_ID")
	f.Fuzz(func(t *testing.T, ops, key string) {
		if len(ops) > 50 || slices.Contains([]string{"correlation_id", "trace_id", "span_id", "level", "msg", "g0"}, key) {
			t.Skip()
		}
		var kit, with, plain bytes.Buffer
		opts := &slog.HandlerOptions{ReplaceAttr: timeless}
		ours := slog.New(logging.NewHandler(slog.NewJSONHandler(&kit, opts), nil))
		traces := slog.New(logging.NewHandler(slog.NewJSONHandler(&with, opts), nil))
		theirs := slog.New(slog.NewJSONHandler(&plain, opts))
		var args []any
		for i, op := range ops {
			attr := slog.Int(fmt.Sprintf("%s%d", key, i), i)
			switch op {
			case 'w':
				ours, traces, theirs = ours.With(attr), traces.With(attr), theirs.With(attr)
			case 'g':
				name := fmt.Sprintf("g%d", i%3)
				ours, traces, theirs = ours.WithGroup(name), traces.WithGroup(name), theirs.WithGroup(name)
			case 'l':
				args = append(args, slog.Group("lit", attr, slog.Group("", attr), slog.Group("empty")))
			case 'e':
				args = append(args, slog.Attr{})
			default:
				args = append(args, attr)
			}
		}
		ours.Info("m", args...)
		theirs.Info("m", args...)
		traces.InfoContext(traced(t), "m", args...)
		if kit.String() != plain.String() {
			t.Fatalf("got  %s\nwant %s", &kit, &plain)
		}
		if got := strings.Replace(with.String(), ","+ids, "", 1); got != plain.String() {
			t.Fatalf("got  %s\nwant %s\nand the IDs once", &with, &plain)
		}
		var top map[string]any
		if err := json.Unmarshal(with.Bytes(), &top); err != nil || top["trace_id"] != traceID {
			t.Fatalf("got %s (%v), want trace_id at the top level", &with, err)
		}
	})
}
