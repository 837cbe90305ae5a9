package logging_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/tracing/logging"
)

// sampled returns a logger that writes First records of a line in a minute.
func sampled(buf *bytes.Buffer, first int) *slog.Logger {
	return over(buf, &logging.Options{Sample: logging.Sample{Interval: time.Minute, First: first}})
}

func TestSample(t *testing.T) {
	for name, c := range map[string]struct {
		log  func(l *slog.Logger)
		want []string
	}{
		"WritesTheFirstAndCountsTheRest": {
			func(l *slog.Logger) {
				for i := range 10 {
					l.Info("m", "number", i)
				}
				time.Sleep(time.Minute)
				l.Info("m", "number", 10)
				time.Sleep(time.Minute)
				l.Info("m", "number", 11)
			},
			[]string{
				`{"level":"INFO","msg":"m","number":0}`, `{"level":"INFO","msg":"m","number":1}`,
				`{"level":"INFO","msg":"m","repeated":8,"number":10}`, `{"level":"INFO","msg":"m","number":11}`,
			},
		},
		"BeginsAnIntervalWithItsFirstRecord": {
			func(l *slog.Logger) {
				time.Sleep(time.Minute - 1)
				for range 2 {
					l.Info("m")
				}
				time.Sleep(time.Minute - 1)
				l.Info("m", "still", "counted")
				time.Sleep(time.Nanosecond)
				l.Info("m", "k", 1)
			},
			[]string{
				`{"level":"INFO","msg":"m"}`, `{"level":"INFO","msg":"m"}`, `{"level":"INFO","msg":"m","repeated":1,"k":1}`,
			},
		},
		"WritesACountAlone": {
			func(l *slog.Logger) {
				for range 5 {
					l.Warn("a")
				}
				for range 4 {
					l.WithGroup("g").With("k", 1).Info("b")
				}
				l.Info("c")
				time.Sleep(time.Minute)
				l.Info("d")
			},
			[]string{
				`{"level":"WARN","msg":"a"}`, `{"level":"WARN","msg":"a"}`,
				`{"level":"INFO","msg":"b","g":{"k":1}}`, `{"level":"INFO","msg":"b","g":{"k":1}}`,
				`{"level":"INFO","msg":"c"}`,
				`{"level":"WARN","msg":"a","repeated":3}`, `{"level":"INFO","msg":"b","repeated":2}`,
				`{"level":"INFO","msg":"d"}`,
			},
		},
		"WritesACountAloneBeforeAnError": {
			func(l *slog.Logger) {
				for range 3 {
					l.Info("m")
				}
				time.Sleep(time.Hour)
				l.Error("m")
			},
			[]string{
				`{"level":"INFO","msg":"m"}`, `{"level":"INFO","msg":"m"}`, `{"level":"INFO","msg":"m","repeated":1}`,
				`{"level":"ERROR","msg":"m"}`,
			},
		},
		"KeepsLevelsApart": {
			func(l *slog.Logger) {
				for range 2 {
					l.Info("m")
					l.Warn("m")
				}
			},
			[]string{
				`{"level":"INFO","msg":"m"}`, `{"level":"WARN","msg":"m"}`,
				`{"level":"INFO","msg":"m"}`, `{"level":"WARN","msg":"m"}`,
			},
		},
		"CountsAllLoggersTogether": {
			func(l *slog.Logger) {
				l.Info("m")
				l.With("k", 1).Info("m")
				l.WithGroup("g").Info("m", "not", "written")
			},
			[]string{`{"level":"INFO","msg":"m"}`, `{"level":"INFO","msg":"m","k":1}`},
		},
		"WritesTheCountAboveGroups": {
			func(l *slog.Logger) {
				for range 3 {
					l.Info("m")
				}
				time.Sleep(time.Minute)
				l.WithGroup("g").Info("m", "k", 1)
			},
			[]string{
				`{"level":"INFO","msg":"m"}`, `{"level":"INFO","msg":"m"}`,
				`{"level":"INFO","msg":"m","repeated":1,"g":{"k":1}}`,
			},
		},
		"TellsLongMessagesApartByTheirBeginning": {
			func(l *slog.Logger) {
				for i := range 3 {
					l.Info(strings.Repeat("x", 255) + fmt.Sprint(i, i)) // all differ at byte 255, the last that counts
				}
				for i := range 3 {
					l.Info(strings.Repeat("y", 256) + fmt.Sprint(i))
				}
			},
			[]string{
				`{"level":"INFO","msg":"` + strings.Repeat("x", 255) + `0 0"}`,
				`{"level":"INFO","msg":"` + strings.Repeat("x", 255) + `1 1"}`,
				`{"level":"INFO","msg":"` + strings.Repeat("x", 255) + `2 2"}`,
				`{"level":"INFO","msg":"` + strings.Repeat("y", 256) + `0"}`,
				`{"level":"INFO","msg":"` + strings.Repeat("y", 256) + `1"}`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var buf bytes.Buffer
				c.log(sampled(&buf, 2))
				if got, want := buf.String(), strings.Join(c.want, "\n")+"\n"; got != want {
					t.Errorf("got\n%swant\n%s", got, want)
				}
			})
		})
	}

	t.Run("NeverWithholdsErrors", func(t *testing.T) {
		var buf bytes.Buffer
		l := sampled(&buf, 1)
		for range 100 {
			l.Error("m")
			l.Log(t.Context(), slog.LevelError+4, "worse")
		}
		if got := strings.Count(buf.String(), "\n"); got != 200 {
			t.Errorf("got %d records, want 200", got)
		}
	})

	t.Run("IsOffByDefault", func(t *testing.T) {
		for _, o := range []logging.Sample{{}, {First: 1}, {Interval: -1, First: 1}} {
			var buf bytes.Buffer
			l := over(&buf, &logging.Options{Sample: o})
			for range 100 {
				l.Info("m")
			}
			if got := strings.Count(buf.String(), "\n"); got != 100 {
				t.Errorf("%+v: got %d records, want 100", o, got)
			}
		}
	})

	t.Run("WritesOneUnlessToldOtherwise", func(t *testing.T) {
		for _, first := range []int{0, -1, 1} {
			var buf bytes.Buffer
			l := sampled(&buf, first)
			for range 100 {
				l.Info("m")
			}
			if got := strings.Count(buf.String(), "\n"); got != 1 {
				t.Errorf("First %d: got %d records, want 1", first, got)
			}
		}
	})

	t.Run("LosesNoneOfParallelRecords", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var buf bytes.Buffer
			l := sampled(&buf, 3)
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					for range 1000 {
						l.Info("m", "k", 1)
						l.Info(fmt.Sprint("m", i), "k", 1)
						time.Sleep(time.Second)
					}
				})
			}
			wg.Wait()
			time.Sleep(time.Hour)
			l.Info("last", "k", 1)
			total := 0
			for text := range strings.Lines(buf.String()) {
				var record struct{ K, Repeated int }
				if err := json.Unmarshal([]byte(text), &record); err != nil {
					t.Fatalf("%q: %v", text, err)
				}
				total += record.K + record.Repeated // a count that is alone has no k
			}
			if total != 16001 {
				t.Errorf("got %d records, written or counted, want 16001", total)
			}
		})
	})

	t.Run("LeavesCountsOutThatTheLevelExcludes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var buf bytes.Buffer
			level := new(slog.LevelVar)
			l := logging.New(&buf, &logging.Options{Level: level, Sample: logging.Sample{Interval: time.Minute}})
			l.Info("m")
			l.Info("m")
			level.Set(slog.LevelWarn)
			time.Sleep(time.Minute)
			l.Warn("w")
			if got := buf.String(); strings.Contains(got, "repeated") {
				t.Errorf("got %s, want no count at a level that is off", got)
			}
		})
	})

	t.Run("ReturnsWhatWritingACountReturns", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			broken := errors.New("broken")
			h := logging.NewHandler(failing{broken}, &logging.Options{Sample: logging.Sample{Interval: time.Minute}})
			for range 2 {
				_ = h.Handle(t.Context(), slog.NewRecord(time.Now(), slog.LevelInfo, "m", 0))
			}
			time.Sleep(time.Minute)
			if err := h.Handle(t.Context(), slog.NewRecord(time.Now(), slog.LevelInfo, "ok", 0)); !errors.Is(err, broken) {
				t.Errorf("got %v, want %v", err, broken)
			}
		})
	})

	t.Run("RemembersABoundedNumberOfLines", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := slog.New(logging.NewHandler(slog.NewJSONHandler(nowhere{}, nil),
				&logging.Options{Sample: logging.Sample{Interval: time.Minute}}))
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			padding := strings.Repeat("x", 10_000)
			for i := range 20_000 {
				l.Info(fmt.Sprint(i, padding))
				if i%100 == 0 {
					time.Sleep(time.Second)
				}
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			if got := int64(after.HeapAlloc) - int64(before.HeapAlloc); got > 2<<20 {
				t.Errorf("got %d bytes more, want less than 2 MiB", got)
			}
			runtime.KeepAlive(l)
		})
	})

	t.Run("HidesNothingWhenItIsFull", func(t *testing.T) {
		var buf bytes.Buffer
		l := sampled(&buf, 1)
		for i := range 1024 {
			l.Info(fmt.Sprint("line ", i))
		}
		buf.Reset()
		for range 2 {
			l.Info("line 1024")
			l.Info("line 1023")
		}
		if got := strings.Count(buf.String(), "\n"); got != 2 || strings.Contains(buf.String(), "1023") {
			t.Errorf("got %s, want the new line twice and the known one not", &buf)
		}
	})

	t.Run("KeepsTheRulesOfSlog", func(t *testing.T) {
		var buf bytes.Buffer
		slogtest.Run(t, func(*testing.T) slog.Handler {
			buf.Reset()
			return logging.New(&buf, &logging.Options{Sample: logging.Sample{Interval: time.Minute}}).Handler()
		}, func(t *testing.T) map[string]any { return decode(t, buf.Bytes()) })
	})
}

// failing is a handler that fails for records that are counts, and for no others.
type failing struct{ err error }

func (failing) Enabled(context.Context, slog.Level) bool { return true }
func (f failing) WithAttrs([]slog.Attr) slog.Handler     { return f }
func (f failing) WithGroup(string) slog.Handler          { return f }
func (f failing) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "m" {
		return f.err
	}
	return nil
}

func BenchmarkSample(b *testing.B) {
	for name, o := range map[string]logging.Sample{
		"Off": {}, "Withheld": {Interval: time.Hour}, "Written": {Interval: time.Hour, First: 1 << 60},
	} {
		b.Run(name, func(b *testing.B) {
			l := logging.New(nowhere{}, &logging.Options{Sample: o})
			ctx := traced(b)
			b.ReportAllocs()
			for b.Loop() {
				l.LogAttrs(ctx, slog.LevelInfo, "order accepted", slog.String("order_id", "o-123"), slog.Int("amount", 5))
			}
		})
	}
}
