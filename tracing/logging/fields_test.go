package logging_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/slogtest"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/tracing/logging"
)

func TestFields(t *testing.T) {
	const gcpIDs = `"correlation_id":"c-1","logging.googleapis.com/trace":"` + traceID + `",` +
		`"logging.googleapis.com/spanId":"` + spanID + `"`
	// The digits are what `python3 -c 'print(0x8448eb211c80319c, 0xb7ad6b7169203331)'` prints.
	const ddIDs = `"correlation_id":"c-1","dd.trace_id":"9532127138774266268","dd.span_id":"13235353014750950193"`
	at := time.Date(2026, 2, 3, 4, 5, 6, 7000, time.UTC)

	for name, c := range map[string]struct {
		fields logging.Fields
		level  slog.Level
		attrs  []slog.Attr
		want   string
	}{
		"PlainIsSlogs": {
			logging.Plain, slog.LevelWarn, []slog.Attr{slog.Int("k", 1)},
			`{"time":"2026-02-03T04:05:06.000007Z","level":"WARN","msg":"m",` + ids + `,"k":1}`,
		},
		"OfGCP": {
			logging.GCP, slog.LevelWarn, []slog.Attr{slog.Int("k", 1)},
			`{"time":"2026-02-03T04:05:06.000007Z","severity":"WARNING","message":"m",` + gcpIDs +
				`,"logging.googleapis.com/trace_sampled":false,"k":1}`,
		},
		"OfDatadog": {
			logging.Datadog, slog.LevelError, []slog.Attr{slog.Int("k", 1)},
			`{"timestamp":"2026-02-03T04:05:06.000007Z","status":"error","message":"m",` + ddIDs + `,"k":1}`,
		},
		"KeepTheProgramsOwnOfAnotherType": {
			logging.Datadog, slog.LevelInfo, []slog.Attr{slog.Int("level", 3), slog.String("time", "noon"),
				slog.Int("msg", 4), slog.String("source", "s")},
			`{"timestamp":"2026-02-03T04:05:06.000007Z","status":"info","message":"m",` + ddIDs +
				`,"level":3,"time":"noon","msg":4,"source":"s"}`,
		},
		"KeepWhatIsInGroups": {
			logging.Datadog, slog.LevelDebug, []slog.Attr{slog.Group("g", slog.String("msg", "x"), slog.Time("time", at),
				slog.Any("level", slog.LevelWarn))},
			`{"timestamp":"2026-02-03T04:05:06.000007Z","status":"debug","message":"m",` + ddIDs +
				`,"g":{"msg":"x","time":"2026-02-03T04:05:06.000007Z","level":"WARN"}}`,
		},
		"KeepIDsThatTheRecordHas": {
			logging.GCP, slog.LevelInfo, []slog.Attr{slog.String("logging.googleapis.com/trace", "t"),
				slog.String("logging.googleapis.com/spanId", "s"), slog.Bool("logging.googleapis.com/trace_sampled", true)},
			`{"time":"2026-02-03T04:05:06.000007Z","severity":"INFO","message":"m","correlation_id":"c-1",` +
				`"logging.googleapis.com/trace":"t","logging.googleapis.com/spanId":"s",` +
				`"logging.googleapis.com/trace_sampled":true}`,
		},
		"TakeNoOtherStoresNamesForIDs": {
			logging.Datadog, slog.LevelInfo, []slog.Attr{slog.String("trace_id", "t"), slog.String("span_id", "s")},
			`{"timestamp":"2026-02-03T04:05:06.000007Z","status":"info","message":"m",` + ddIDs +
				`,"trace_id":"t","span_id":"s"}`,
		},
		"KeepIDsThatTheRecordHasForDatadog": {
			logging.Datadog, slog.LevelInfo, []slog.Attr{slog.String("dd.trace_id", "t"), slog.String("dd.span_id", "s")},
			`{"timestamp":"2026-02-03T04:05:06.000007Z","status":"info","message":"m","correlation_id":"c-1",` +
				`"dd.trace_id":"t","dd.span_id":"s"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var buf bytes.Buffer
			h := logging.New(&buf, &logging.Options{Fields: c.fields, Level: slog.LevelDebug}).Handler()
			r := slog.NewRecord(at, c.level, "m", 0)
			r.AddAttrs(c.attrs...)
			if err := h.Handle(traced(t), r); err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSpace(buf.String()); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}

	t.Run("HaveANameForEveryLevel", func(t *testing.T) {
		for fields, c := range map[logging.Fields]struct{ key, want string }{
			logging.GCP:     {"severity", "DEBUG DEBUG INFO INFO WARNING WARNING ERROR ERROR"},
			logging.Datadog: {"status", "debug debug info info warning warning error error"},
		} {
			var got []string
			for _, level := range []slog.Level{-8, -1, 0, 3, 4, 7, 8, 12} {
				var buf bytes.Buffer
				logging.New(&buf, &logging.Options{Fields: fields, Level: slog.Level(-8)}).Log(t.Context(), level, "m")
				got = append(got, fmt.Sprint(decode(t, buf.Bytes())[c.key]))
			}
			if got := strings.Join(got, " "); got != c.want {
				t.Errorf("%s: got %s, want %s", c.key, got, c.want)
			}
		}
	})

	t.Run("OfGCPSayWhetherTheTraceIsSampled", func(t *testing.T) {
		var buf bytes.Buffer
		sc := trace.SpanContextFromContext(traced(t)).WithTraceFlags(trace.FlagsSampled)
		logging.New(&buf, &logging.Options{Fields: logging.GCP}).
			InfoContext(trace.ContextWithSpanContext(t.Context(), sc), "m")
		if got := decode(t, buf.Bytes())["logging.googleapis.com/trace_sampled"]; got != true {
			t.Errorf("got %v, want true", got)
		}
	})

	t.Run("HaveTheSourceWhenAskedFor", func(t *testing.T) {
		for fields, key := range map[logging.Fields]string{
			logging.Plain: "source", logging.GCP: "logging.googleapis.com/sourceLocation", logging.Datadog: "source_location",
		} {
			var buf bytes.Buffer
			_, file, line, _ := runtime.Caller(0)
			logging.New(&buf, &logging.Options{Fields: fields, AddSource: true}).WithGroup("g").Info("m", "k", 1)
			got, ok := decode(t, buf.Bytes())[key].(map[string]any)
			var number any = float64(line + 1)
			if fields == logging.GCP {
				number = fmt.Sprint(line + 1)
			}
			if !ok || got["file"] != file || got["line"] != number || !strings.Contains(got["function"].(string), "TestFields") {
				t.Errorf("got %s, want the source in %s, line %v", &buf, key, number)
			}

			buf.Reset()
			_ = logging.New(&buf, &logging.Options{Fields: fields, AddSource: true}).Handler().
				Handle(t.Context(), slog.NewRecord(time.Time{}, slog.LevelInfo, "m", 0))
			if strings.Contains(buf.String(), key) || strings.Contains(buf.String(), `"line"`) {
				t.Errorf("got %s, want no source where none is known", &buf)
			}
		}
	})

	t.Run("KeepTheRulesOfSlog", func(t *testing.T) {
		names := regexp.MustCompile(`"(severity|status|message|timestamp)":`)
		was := map[string]string{"severity": "level", "status": "level", "message": "msg", "timestamp": "time"}
		for _, fields := range []logging.Fields{logging.GCP, logging.Datadog} {
			var buf bytes.Buffer
			slogtest.Run(t, func(*testing.T) slog.Handler {
				buf.Reset()
				return logging.New(&buf, &logging.Options{Fields: fields}).Handler()
			}, func(t *testing.T) map[string]any {
				return decode(t, names.ReplaceAllFunc(buf.Bytes(), func(b []byte) []byte {
					return fmt.Appendf(nil, "%q:", was[strings.Trim(string(b), `":`)])
				}))
			})
		}
	})
}

func decode(t *testing.T, line []byte) map[string]any {
	t.Helper()
	m := map[string]any{}
	if err := json.Unmarshal(line, &m); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return m
}

func BenchmarkFields(b *testing.B) {
	for name, fields := range map[string]logging.Fields{
		"Plain": logging.Plain, "GCP": logging.GCP, "Datadog": logging.Datadog,
	} {
		b.Run(name, func(b *testing.B) {
			l := logging.New(nowhere{}, &logging.Options{Fields: fields})
			ctx := traced(b)
			b.ReportAllocs()
			for b.Loop() {
				l.LogAttrs(ctx, slog.LevelInfo, "order accepted", slog.String("order_id", "o-123"), slog.Int("amount", 5))
			}
		})
	}
}
